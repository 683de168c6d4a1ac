package fluster_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/ring"
)

// idlePool is a pool that nobody is meant to dial.
func idlePool() *redis.Pool {
	return &redis.Pool{Dial: func() (redis.Conn, error) { return redis.Dial("tcp", "127.0.0.1:1") }}
}

// unprobed keeps the cluster from probing during a test.
var unprobed = health.Config{Interval: 1000 * time.Hour}

func TestNewNamesTheFieldThatIsWrong(t *testing.T) {
	redistest.NoLeaks(t)
	node := func(name string) fluster.Node { return fluster.Node{Name: name, Pool: idlePool()} }
	shared := idlePool()
	used := &redis.Pool{MaxIdle: 1, Dial: func() (redis.Conn, error) { return redistest.NewFake(t).Pool(redistest.PoolOptions{}).Get(), nil }}
	require.NoError(t, used.Get().Close())
	for name, tt := range map[string]struct {
		cfg  fluster.Config
		want string
	}{
		"no nodes":          {fluster.Config{}, "Config.Nodes is empty"},
		"nameless":          {fluster.Config{Nodes: []fluster.Node{node("a"), node("")}}, "Config.Nodes[1].Name is empty"},
		"doubled name":      {fluster.Config{Nodes: []fluster.Node{node("a"), node("b"), node("a")}}, `Config.Nodes[2].Name is "a", as is that of Config.Nodes[0]`},
		"no pool":           {fluster.Config{Nodes: []fluster.Node{{Name: "a"}}}, "Config.Nodes[0].Pool is nil"},
		"no dial":           {fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: &redis.Pool{}}}}, "Config.Nodes[0].Pool has neither Dial nor DialContext"},
		"pool given twice":  {fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: shared}, {Name: "b", Pool: shared}}}, "Config.Nodes[1].Pool is given twice"},
		"used pool":         {fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: used}}}, "Config.Nodes[0].Pool has connections already"},
		"negative weight":   {fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: idlePool(), Weight: -1}}}, "Config.Nodes[0].Weight is -1"},
		"huge weight":       {fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: idlePool(), Weight: 1 << 30}}}, "Weight"},
		"negative interval": {fluster.Config{Nodes: []fluster.Node{node("a")}, Health: health.Config{Interval: -1}}, "Interval"},
		"negative time-out": {fluster.Config{Nodes: []fluster.Node{node("a")}, Health: health.Config{Timeout: -1}}, "Timeout"},
		"negative pause":    {fluster.Config{Nodes: []fluster.Node{node("a")}, Retry: fluster.Retry{MinWait: -1}}, "Config.Retry.MinWait is -1ns"},
		"negative bound":    {fluster.Config{Nodes: []fluster.Node{node("a")}, Retry: fluster.Retry{MaxWait: -1}}, "Config.Retry.MaxWait is -1ns"},
		"share above one":   {fluster.Config{Nodes: []fluster.Node{node("a")}, Health: health.Config{MaxDown: 2}}, "MaxDown"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := fluster.New(tt.cfg)
			assert.Nil(t, c)
			require.ErrorContains(t, err, tt.want)
			assert.True(t, strings.HasPrefix(err.Error(), "fluster: "))
		})
	}

	c, err := fluster.New(fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: shared}}, Health: unprobed})
	require.NoError(t, err, "a refused pool is free again")
	defer c.Close()
	_, err = fluster.New(fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: shared}}})
	assert.ErrorContains(t, err, "belongs to a cluster already")
}

func TestNewDoesNotDependOnWhatTheCallerDoesWithItsListLater(t *testing.T) {
	nodes := []fluster.Node{{Name: "a", Pool: idlePool()}, {Name: "b", Pool: idlePool()}}
	c, err := fluster.New(fluster.Config{Nodes: nodes, Health: unprobed})
	require.NoError(t, err)
	defer c.Close()
	nodes[0] = fluster.Node{Name: "z"}
	_, found := c.Node("a")
	assert.True(t, found)
}

func TestOpenMakesTheSameClusterAsNodesByHand(t *testing.T) {
	redistest.NoLeaks(t)
	opened, err := fluster.Open("redis://127.0.0.1:1", "redis://127.0.0.1:2/3", "unix:///tmp/no-such-socket?name=c&weight=2")
	require.NoError(t, err)
	defer opened.Close()
	made, err := fluster.New(fluster.Config{Health: unprobed, Nodes: []fluster.Node{
		{Name: "c", Pool: idlePool(), Weight: 2},
		{Name: "127.0.0.1:2/3", Pool: idlePool()},
		{Name: "127.0.0.1:1", Pool: idlePool()},
	}})
	require.NoError(t, err)
	defer made.Close()
	assert.Equal(t, made.Fingerprint(), opened.Fingerprint(), "names and weights decide, the order does not")
}

func TestOpenSaysWhichURLIsWrongButNotWhatItHolds(t *testing.T) {
	c, err := fluster.Open("redis://127.0.0.1:1", "redis://:canary@127.0.0.1:notaport")
	assert.Nil(t, c)
	require.ErrorContains(t, err, "URL 2 of 2")
	assert.NotContains(t, err.Error(), "canary")
	_, err = fluster.Open()
	assert.ErrorContains(t, err, "Config.Nodes is empty")
}

func TestNodeFindsWhetherItLivesOrNot(t *testing.T) {
	c, err := fluster.New(fluster.Config{Nodes: []fluster.Node{{Name: "a", Addr: "somewhere", Pool: idlePool()}}})
	require.NoError(t, err)
	defer c.Close()
	redistest.WaitFor(t, 30*time.Second, func() bool { return !c.Nodes()[0].Live }, "nobody listens there")
	n, found := c.Node("a")
	assert.True(t, found)
	assert.Equal(t, "somewhere", n.Addr)
	_, found = c.Node("z")
	assert.False(t, found)
	assert.Equal(t, "fluster[a (somewhere) down]", c.String())
}

// byLength places a key by its length alone: any placement can take the
// default's place.
type byLength struct{}

func (byLength) Build(nodes []ring.Node) (ring.Ring, error) { return lengthRing(len(nodes)), nil }

type lengthRing int

func (r lengthRing) View([]bool) ring.View { return r }
func (r lengthRing) Fingerprint() uint64   { return uint64(r) }
func (r lengthRing) Locate(key string) int { return len(key) % int(r) }

func TestAPlacementOfTheUsersOwnDecides(t *testing.T) {
	c, err := fluster.New(fluster.Config{
		Nodes:     []fluster.Node{{Name: "a", Pool: idlePool()}, {Name: "b", Pool: idlePool()}},
		Placement: byLength{}, Health: unprobed,
	})
	require.NoError(t, err)
	defer c.Close()
	for key, want := range map[string]string{"": "a", "x": "b", "xx": "a", "xxx": "b"} {
		n, err := c.Locate(key)
		require.NoError(t, err)
		assert.Equal(t, want, n.Name)
	}
}

func TestGetClientDoesNotAllocate(t *testing.T) {
	c, err := fluster.New(fluster.Config{
		Nodes:  []fluster.Node{{Name: "a", Pool: idlePool()}, {Name: "b", Pool: idlePool()}},
		Health: unprobed,
	})
	require.NoError(t, err)
	defer c.Close()
	assert.Zero(t, testing.AllocsPerRun(1000, func() { _, _ = c.GetClient("user:{42}:name") }))
}
