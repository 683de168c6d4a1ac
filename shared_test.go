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
	r := beginTrial(t, 8, "a node freezes: shared connections", "SIGSTOP")
	f := r.fleet(3, builders[1], fluster.Config{Health: brisk})
	var calls, longest atomic.Int64
	var failed [64]atomic.Int64
	stop := atOnce(len(failed), func(g int) bool {
		begun := time.Now()
		_, err := f.Do(t.Context(), "INCR", fmt.Sprintf("n:%d:%d", g, calls.Add(1)%100))
		if took := int64(time.Since(begun)); took > longest.Load() {
			longest.Store(took)
		}
		if err != nil {
			failed[g].Add(1)
			r.said.print(err)
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
	healed := time.Now()
	waitLive(t, f.FlusterCluster, "b")
	r.back(healed, brisk.MaxWait)
	awaitMore(t, &calls, 10_000)
	stop()
	r.Calls, r.Longest = int(calls.Load()), time.Duration(longest.Load())
	r.within(longestCall, r.Longest, "the longest call")
	r.onlyOut(f.FlusterCluster, "b")
	for g := range failed {
		r.Lost += int(failed[g].Load())
		if r.calm() {
			assert.LessOrEqual(t, failed[g].Load(), int64(1), "caller %d", g)
		}
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
