package fluster_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// A node that moves to another address keeps its keys: its name decides, and
// every dial looks anew where it is.
func TestRow26ANodeThatMovesKeepsItsKeys(t *testing.T) {
	r := beginTrial(t, 26, "a node moves to another address", "a dial function that asks anew")
	servers := startServers(t, 4)
	var addr atomic.Value // of node b, as a name service would tell it
	addr.Store(servers[1].Addr())
	nodes := nodesOf(servers[:3], quick)
	nodes[1].Pool = &redis.Pool{MaxIdle: 4, DialContext: func(ctx context.Context) (redis.Conn, error) {
		return redis.DialContext(ctx, "tcp", addr.Load().(string),
			redis.DialConnectTimeout(quick.Connect), redis.DialReadTimeout(quick.Read), redis.DialWriteTimeout(quick.Write))
	}}
	c := r.cluster(fluster.Config{Nodes: nodes})
	before := homes(t, c)
	key := keyOf(t, c, "b")
	_, err := do(c, key, "INCR")
	require.NoError(t, err)

	addr.Store(servers[3].Addr())
	begun := time.Now()
	servers[1].Kill()
	redistest.WaitFor(t, patient, func() bool {
		_, err := do(c, key, "INCR")
		if r.Calls++; err != nil {
			r.Lost++
			r.said.print(err)
		}
		n, lerr := c.Locate(key)
		return err == nil && lerr == nil && n.Name == "b"
	}, "b serves its key from its new address")
	r.back(begun, 5*time.Second)
	assert.Equal(t, before, homes(t, c), "no key moved")
	assert.Positive(t, servers[3].Executed("incr"))
}

// Names that do not resolve are a fault of the node's, but not a certain one: it
// is out after several tries, and no call hangs.
func TestRow26ANameThatDoesNotResolvePutsTheNodeOut(t *testing.T) {
	r := beginTrial(t, 26, "a name does not resolve", "no-such-host.invalid")
	servers := startServers(t, 2)
	nodes := nodesOf(servers, quick)
	lost, err := fluster.ParseNode("redis://no-such-host.invalid:6379?name=lost")
	require.NoError(t, err)
	c := r.cluster(fluster.Config{Nodes: append(nodes, lost)})
	waitDown(t, c, "lost")
	for ; r.Calls < 100; r.Calls++ {
		_, err := do(c, "any", "INCR")
		require.NoError(t, err)
	}
	assert.ErrorContains(t, status(t, c, "lost").Cause, "no-such-host.invalid")
	r.onlyOut(c, "lost")
}
