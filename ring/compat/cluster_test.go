package compat_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

// patient is how long to wait for what comes at once, but on a busy machine.
const patient = 30 * time.Second

// startCluster runs a cluster of three servers whose first one is out.
func startCluster(t *testing.T, p ring.Placement) *fluster.FlusterCluster {
	redistest.NoLeaks(t)
	cfg := fluster.Config{Placement: p, Health: health.Config{Interval: 20 * time.Millisecond, Timeout: patient}}
	var first *redistest.Fake
	for i := range 3 {
		fake := redistest.NewFake(t)
		if i == 0 {
			first = fake
		}
		cfg.Nodes = append(cfg.Nodes, fluster.Node{
			Name: fmt.Sprintf("shard%d", i+1), Addr: fake.Addr(), Pool: fake.Pool(redistest.PoolOptions{Connect: patient, Read: patient, Write: patient}),
		})
	}
	c, err := fluster.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	first.Refuse()
	redistest.WaitFor(t, patient, func() bool { return !c.Nodes()[0].Live }, "the first node is out")
	return c
}

func TestWhereKeysStayACallForThemFailsAndTheOthersGoOn(t *testing.T) {
	for _, p := range []ring.Placement{
		compat.RedCluster{}, compat.Jedis{}, compat.Twemproxy{Hash: "md5"}, compat.PhpRedis{}, compat.PhpRedis{Consistent: true},
	} {
		t.Run(fmt.Sprintf("%T", p), func(t *testing.T) {
			c := startCluster(t, p)
			failed := 0
			for i := range 30 {
				key := fmt.Sprintf("user:%d", i)
				node, err := c.Locate(key)
				require.NoError(t, err)
				_, err = c.Do(t.Context(), "SET", key, "x")
				if node.Name != "shard1" {
					require.NoError(t, err)
					continue
				}
				failed++
				var nodeErr *fluster.NodeError
				require.ErrorAs(t, err, &nodeErr)
				assert.Equal(t, "shard1", nodeErr.Node)
			}
			assert.NotZero(t, failed)
		})
	}
}

func TestWhereKeysMoveCallsForThemAreServed(t *testing.T) {
	for _, p := range []ring.Placement{
		compat.RedisFluster{}, compat.GoRedisRing{}, compat.Twemproxy{AutoEject: true}, compat.RedisRb{}, compat.Predis{}, compat.Libketama{},
	} {
		t.Run(fmt.Sprintf("%T", p), func(t *testing.T) {
			c := startCluster(t, p)
			for i := range 30 {
				key := fmt.Sprintf("user:%d", i)
				_, err := c.Do(t.Context(), "SET", key, "x")
				require.NoError(t, err)
			}
		})
	}
}
