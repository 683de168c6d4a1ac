package fluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// callers is how many goroutines call in the tests of failures under load.
const callers = 64

// quick is a user's pool with short time-outs.
var quick = redistest.PoolOptions{Connect: 200 * time.Millisecond, Read: 200 * time.Millisecond, Write: 200 * time.Millisecond}

// failuresOf returns how many calls of each goroutine failed.
func failuresOf(failed []failedCall) map[int]int {
	n := make(map[int]int)
	for _, f := range failed {
		n[f.goroutine]++
	}
	return n
}

// requireOnceEach checks that no caller failed twice, and that none failed later
// than within after the fault.
func requireOnceEach(t *testing.T, failed []failedCall, fault time.Time, within time.Duration) {
	t.Helper()
	for g, n := range failuresOf(failed) {
		if !assert.LessOrEqual(t, n, 1, "failed calls of goroutine %d", g) {
			for _, f := range failed {
				if f.goroutine == g {
					t.Logf("goroutine %d, %v after the fault, after %v: %v", g, f.at.Sub(fault), f.took, f.err)
				}
			}
		}
	}
	var last time.Duration
	for _, f := range failed {
		last = max(last, f.at.Sub(fault))
		var ne *fluster.NodeError
		require.ErrorAs(t, f.err, &ne)
		require.Equal(t, "b", ne.Node, "the fault is b's")
	}
	assert.LessOrEqual(t, last, within, "the last failure")
	t.Logf("%d calls failed, the last %v after the fault", len(failed), last)
}

func TestKillUnderLoadFailsEachCallerAtMostOnce(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	l := startLoad(t, f.FlusterCluster, callers)
	l.goOn(t, 2000)

	fault := time.Now()
	f.servers[1].Kill()
	waitDown(t, f.FlusterCluster, "b")
	l.goOn(t, 5000)
	f.servers[1].Restart()
	waitLive(t, f.FlusterCluster, "b")
	l.goOn(t, 5000)

	requireOnceEach(t, l.finish(), fault, 300*time.Millisecond)
}

func TestFreezeUnderLoadFailsEachCallerAtMostOnce(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	l := startLoad(t, f.FlusterCluster, callers)
	l.goOn(t, 2000)

	fault := time.Now()
	f.servers[1].Stop()
	waitDown(t, f.FlusterCluster, "b")
	l.goOn(t, 5000)
	f.servers[1].Cont()
	waitLive(t, f.FlusterCluster, "b")
	l.goOn(t, 5000)

	requireOnceEach(t, l.finish(), fault, 500*time.Millisecond)
}
