package node_test

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"weak"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestAPoolBelongsToOneCluster(t *testing.T) {
	p, other := &redis.Pool{MaxIdle: 1}, &redis.Pool{MaxIdle: 1}
	assert.True(t, node.Claim(p))
	assert.False(t, node.Claim(p))
	assert.True(t, node.Claim(other), "a pool is itself, not what it looks like")
	node.Unclaim(p)
	assert.True(t, node.Claim(p))
	assert.False(t, node.Claim(p))
	assert.False(t, node.Claim(other))
	node.Unclaim(&redis.Pool{})
}

func TestOfManyWhoClaimAPoolOneGetsIt(t *testing.T) {
	for range 100 {
		p := &redis.Pool{}
		var granted atomic.Int32
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if node.Claim(p) {
					granted.Add(1)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, granted.Load())
	}
}

// A claim must not keep a pool, with its node and its connections, in memory.
func TestAClaimDoesNotKeepAPoolAlive(t *testing.T) {
	gone := func() weak.Pointer[redis.Pool] {
		e := parsed(t, "redis://h")
		n := node.New(node.Config{Name: "n", Pool: e.NewPool(), Sink: (&recorder{}).take})
		assert.True(t, node.Claim(n.Pool()))
		n.Close()
		return weak.Make(n.Pool())
	}()
	redistest.WaitFor(t, ample, func() bool {
		runtime.GC()
		return gone.Value() == nil
	}, "the pool is collected")
}
