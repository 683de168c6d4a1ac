package fluster_test

import (
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// documented is a behaviour of redigo's pools and connections that its
// documentation promises. It is checked over a pool of redigo's own first: what
// does not hold there is none of its behaviours.
type documented struct {
	setUp     func(p *redis.Pool)              // of an unused pool; nil leaves it as it is
	usersDial bool                             // it is about a dial function of the user's own
	holds     func(t *testing.T, p *underTest) // fails t if it does not hold
}

// underTest is a pool, and who looks after it.
type underTest struct {
	*redis.Pool
	server  *redistest.Server
	wrapped bool // a cluster owns the pool
}

// TestAPoolInAClusterIsAPoolOfRedigos runs all tables over all kinds of pools.
func TestAPoolInAClusterIsAPoolOfRedigos(t *testing.T) {
	s := startServers(t, 1)[0]
	for about, table := range map[string]map[string]documented{
		"the pool": poolsAre, "the limits of a pool": poolsAreLimited, "the dial of a pool": poolsDial, "what a pool takes back": poolsReset,
		"a connection": connsAre, "the limits of a connection": connsAreLimited, "what is built on connections": connsCarry,
	} {
		for sentence, behaviour := range table {
			t.Run(about+": "+sentence, func(t *testing.T) {
				t.Run("redigo's own", func(t *testing.T) { behaviour.check(t, barePool(t, s, behaviour.setUp)) })
				t.Run("a user's, in a cluster", func(t *testing.T) { behaviour.check(t, ownedPool(t, s, behaviour.setUp)) })
				if !behaviour.usersDial {
					t.Run("built from a URL", func(t *testing.T) { behaviour.check(t, urlPool(t, s, behaviour.setUp)) })
				}
			})
		}
	}
}

func (d documented) check(t *testing.T, p *underTest) {
	p.server.Do("FLUSHALL")
	p.server.Do("SCRIPT", "FLUSH")
	d.holds(t, p)
}

func barePool(t *testing.T, s *redistest.Server, setUp func(*redis.Pool)) *underTest {
	p := &underTest{Pool: s.Pool(unhurried), server: s}
	if setUp != nil {
		setUp(p.Pool)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func ownedPool(t *testing.T, s *redistest.Server, setUp func(*redis.Pool)) *underTest {
	return inCluster(t, s, fluster.Node{Name: "a", Pool: s.Pool(unhurried)}, setUp)
}

func urlPool(t *testing.T, s *redistest.Server, setUp func(*redis.Pool)) *underTest {
	n, err := fluster.ParseNode(s.URL() + "?name=a&dial_timeout=30s&read_timeout=30s&write_timeout=30s")
	require.NoError(t, err)
	return inCluster(t, s, n, setUp)
}

// inCluster lets a cluster own n's pool, which is had back as a caller gets it.
func inCluster(t *testing.T, s *redistest.Server, n fluster.Node, setUp func(*redis.Pool)) *underTest {
	if setUp != nil {
		setUp(n.Pool)
	}
	c := newCluster(t, fluster.Config{Nodes: []fluster.Node{n}, Health: calmHealth})
	p, err := c.GetClient("any")
	require.NoError(t, err)
	require.Same(t, n.Pool, p)
	t.Cleanup(func() { requireNoPenalties(t, c) })
	return &underTest{Pool: p, server: s, wrapped: true}
}

// borrow takes a connection that works.
func (p *underTest) borrow(t *testing.T) redis.Conn {
	t.Helper()
	rc := p.Get()
	require.NoError(t, rc.Err())
	t.Cleanup(func() { _ = rc.Close() })
	return rc
}

// giveBack closes connections, which the pool takes back.
func giveBack(t *testing.T, conns ...redis.Conn) {
	t.Helper()
	for _, rc := range conns {
		require.NoError(t, rc.Close())
	}
}

// requireCounts checks how many connections the pool has, and how many are idle.
func (p *underTest) requireCounts(t *testing.T, active, idle int) {
	t.Helper()
	require.Equal(t, active, p.ActiveCount(), "active")
	require.Equal(t, idle, p.IdleCount(), "idle")
	stats := p.Stats()
	require.Equal(t, []int{active, idle}, []int{stats.ActiveCount, stats.IdleCount})
}

// idOf returns the server's number for a connection, which is in step if it says so.
func idOf(t *testing.T, rc redis.Conn) int64 {
	t.Helper()
	id, err := redis.Int64(rc.Do("CLIENT", "ID"))
	require.NoError(t, err)
	return id
}

// cut makes the server close a connection, once it knows it.
func (p *underTest) cut(t *testing.T, rc redis.Conn) {
	t.Helper()
	require.EqualValues(t, 1, p.server.Do("CLIENT", "KILL", "ID", idOf(t, rc)))
}

// assertFailed checks the error of a call that did not get an answer. That is
// where a cluster's pools differ: they say which node, and whether the command
// may have been executed, around the error that redigo gives.
func (p *underTest) assertFailed(t *testing.T, err error, maybe bool) {
	t.Helper()
	assert.Error(t, err)
	assert.NotErrorAs(t, err, new(redis.Error))
	var named *fluster.NodeError
	if !p.wrapped {
		assert.NotErrorAs(t, err, &named)
		return
	}
	require.ErrorAs(t, err, &named)
	assert.Equal(t, "a", named.Node)
	assert.Equal(t, maybe, fluster.MaybeExecuted(err), "%v", err)
	assert.Equal(t, !maybe, fluster.SafeToRetry(err), "%v", err)
}

// assertTimeout checks the error of a call that took too long.
func (p *underTest) assertTimeout(t *testing.T, err error, maybe bool) {
	t.Helper()
	p.assertFailed(t, err, maybe)
	var limit interface{ Timeout() bool }
	require.ErrorAs(t, err, &limit)
	assert.True(t, limit.Timeout(), "%v", err)
}
