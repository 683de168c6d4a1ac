package fluster_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
)

func TestRow08AFreezeUnderSharedLoadFailsEachCallerAtMostOnce(t *testing.T) {
	const limit = 200 * time.Millisecond
	f := openFleet(t, 3, "&read_timeout=200ms&dial_timeout=200ms", fluster.Config{})
	var calls atomic.Int64
	var failed [64]atomic.Int64
	stop := atOnce(len(failed), func(g int) bool {
		_, err := f.Do(t.Context(), "INCR", fmt.Sprintf("n:%d:%d", g, calls.Add(1)%100))
		if err != nil {
			failed[g].Add(1)
			assert.NotEqual(t, fluster.SafeToRetry(err), fluster.MaybeExecuted(err), "%v", err)
		}
		return true
	})
	defer stop()
	awaitMore(t, &calls, 10_000)
	b := f.servers[1]
	b.Stop()
	begun := time.Now()
	waitDown(t, f.FlusterCluster, "b")
	t.Log("down after", time.Since(begun), "of a limit of", limit)
	awaitMore(t, &calls, 10_000)
	b.Cont()
	waitLive(t, f.FlusterCluster, "b")
	awaitMore(t, &calls, 10_000)
	for g := range failed {
		assert.LessOrEqual(t, failed[g].Load(), int64(1), "caller %d", g)
	}
}

func TestSharedCountersAreExactWhenConnectionsAreCut(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{})
	var calls, ok, maybe atomic.Int64
	stop := atOnce(64, func(int) bool {
		calls.Add(1)
		_, err := f.Do(t.Context(), "INCR", "n")
		switch {
		case err == nil:
			ok.Add(1)
		case fluster.MaybeExecuted(err):
			maybe.Add(1)
		}
		return true
	})
	for range 20 {
		awaitMore(t, &calls, 500)
		f.servers[0].Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	}
	stop()
	n, err := redis.Int64(f.servers[0].Do("GET", "n"), nil)
	require.NoError(t, err)
	assert.GreaterOrEqual(t, n, ok.Load())
	assert.LessOrEqual(t, n, ok.Load()+maybe.Load())
	assert.Positive(t, maybe.Load(), "no call was cut")
	requireNoPenalties(t, f.FlusterCluster)
}
