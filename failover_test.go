package fluster_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// callers is how many goroutines call in the tests of failures under load.
const callers = 64

// quick is a user's pool with short time-outs.
var quick = redistest.PoolOptions{Connect: 200 * time.Millisecond, Read: 200 * time.Millisecond, Write: 200 * time.Millisecond}

// requireOnceEach checks that no caller failed twice, that none failed later than
// within after the fault, and that all failures are node b's, but for what a machine
// did that stalled for as long as a time-out.
func requireOnceEach(t *testing.T, in incident, within time.Duration) {
	t.Helper()
	failures := make(map[int]int)
	most := 1 + int(in.slack/quick.Read)
	var last time.Duration
	for _, f := range in.failed {
		var ne *fluster.NodeError
		require.ErrorAs(t, f.err, &ne)
		if ne.Node != "b" {
			require.True(t, ne.Timeout() && in.slack > quick.Read, "%v", f.err)
			continue
		}
		failures[f.goroutine]++
		last = max(last, f.at.Sub(in.fault))
		assert.LessOrEqual(t, failures[f.goroutine], most, "goroutine %d failed again %v after the fault, after %v: %v",
			f.goroutine, f.at.Sub(in.fault), f.took, f.err)
	}
	assert.LessOrEqual(t, last, within+in.slack, "the last failure")
	t.Logf("%d calls failed, the last %v after the fault (bounds eased by %v)", len(in.failed), last, in.slack)
}

// faultUnderLoad runs the load, lets cause a fault of node b and mend it, and
// returns the calls that failed and when the fault was.
func faultUnderLoad(t *testing.T, f *fleet, cause, mend func()) incident {
	w := startStopwatch()
	l := startLoad(t, f.FlusterCluster, callers)
	l.goOn(t, 2000)
	fault := time.Now()
	cause()
	waitDown(t, f.FlusterCluster, "b")
	l.goOn(t, 5000)
	mend()
	waitLive(t, f.FlusterCluster, "b")
	l.goOn(t, 5000)
	return incident{l.finish(), fault, w.slack()}
}

// incident is what a fault under load did.
type incident struct {
	failed []failedCall
	fault  time.Time
	slack  time.Duration // by which bounds are eased on a slow machine
}

func TestRow01KillUnderLoadFailsEachCallerAtMostOnce(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	b := f.servers[1]
	in := faultUnderLoad(t, f, b.Kill, b.Restart)
	requireOnceEach(t, in, 300*time.Millisecond)
}

func TestRow01KillUnderLoadIsExactAboutWhatWasSent(t *testing.T) {
	f := openFleet(t, 3, "&read_timeout=200ms", fluster.Config{})
	b := f.servers[1]
	in := faultUnderLoad(t, f, b.Kill, b.Restart)
	requireOnceEach(t, in, 300*time.Millisecond)
	for _, call := range in.failed {
		assert.NotEqual(t, fluster.SafeToRetry(call.err), fluster.MaybeExecuted(call.err), "%v", call.err)
	}
}

func TestRow02ShutdownUnderLoadFailsEachCallerAtMostOnce(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	b := f.servers[1]
	in := faultUnderLoad(t, f, b.Shutdown, b.Restart)
	requireOnceEach(t, in, time.Second) // the server takes its time to go
}

func TestRow08FreezeUnderLoadFailsEachCallerAtMostOnce(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	b := f.servers[1]
	in := faultUnderLoad(t, f, b.Stop, b.Cont)
	requireOnceEach(t, in, 500*time.Millisecond)
}

// homes returns where each of 5,000 keys is now.
func homes(t *testing.T, c *fluster.FlusterCluster) map[string]string {
	t.Helper()
	at := make(map[string]string)
	for i := range 5000 {
		key := fmt.Sprintf("user:%d", i)
		n, err := c.Locate(key)
		require.NoError(t, err)
		at[key] = n.Name
	}
	return at
}

func TestRow04And07FailuresMoveOnlyTheDeadNodesKeysAndReturnsBringThemHome(t *testing.T) {
	f := startFleet(t, 5, quick, fluster.Config{})
	before := homes(t, f.FlusterCluster)

	f.servers[1].Kill()
	waitDown(t, f.FlusterCluster, "b")
	one := homes(t, f.FlusterCluster)
	for key, home := range before {
		if home == "b" {
			assert.NotEqual(t, "b", one[key])
		} else {
			assert.Equal(t, home, one[key], "a living node's key moved")
		}
	}

	f.servers[3].Kill()
	waitDown(t, f.FlusterCluster, "d")
	two := homes(t, f.FlusterCluster)
	for key, at := range one {
		if at == "d" {
			assert.NotContains(t, []string{"b", "d"}, two[key])
		} else {
			assert.Equal(t, at, two[key], "a key moved whose stand-in lives")
		}
	}

	f.servers[3].Restart()
	waitLive(t, f.FlusterCluster, "d")
	assert.Equal(t, one, homes(t, f.FlusterCluster))
	f.servers[1].Restart()
	waitLive(t, f.FlusterCluster, "b")
	assert.Equal(t, before, homes(t, f.FlusterCluster))
}

func TestRow09IdleClusterFindsAFrozenNodeWithinThreeSeconds(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	require.NoError(t, f.WaitReady(t.Context()))
	w, begun := startStopwatch(), time.Now()
	f.servers[1].Stop()
	waitDown(t, f.FlusterCluster, "b")
	took := time.Since(begun)
	assert.Less(t, took, 3*time.Second+w.slack())
}

func TestIdleClusterFindsADeadNodeWithinTwoSeconds(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	require.NoError(t, f.WaitReady(t.Context()))
	w, begun := startStopwatch(), time.Now()
	f.servers[1].Kill()
	waitDown(t, f.FlusterCluster, "b")
	took := time.Since(begun)
	assert.Less(t, took, 2*time.Second+w.slack())
}

func TestTheCallAfterAFailedOneGetsALivingNode(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	key := keyOf(t, f.FlusterCluster, "b")
	_, err := do(f.FlusterCluster, key, "INCR")
	require.NoError(t, err)

	f.servers[1].Kill()
	_, err = do(f.FlusterCluster, key, "INCR")
	require.Error(t, err)
	assert.True(t, fluster.MaybeExecuted(err), "a user's dial function hides what was sent")
	n, err := redis.Int(do(f.FlusterCluster, key, "INCR"))
	require.NoError(t, err)
	assert.Equal(t, 1, n, "on the stand-in")

	f.servers[1].Restart()
	waitLive(t, f.FlusterCluster, "b")
	n, err = redis.Int(do(f.FlusterCluster, key, "INCR"))
	require.NoError(t, err)
	assert.Equal(t, 1, n, "at home again, where the restart emptied the node")
}

func TestRow03NoCallFailsAfterARestartWithTwentyIdleConnections(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{})
	pool, err := f.GetClient("any")
	require.NoError(t, err)
	fillPool(t, pool, 20)
	require.Equal(t, 20, pool.IdleCount())

	f.servers[0].Kill()
	f.servers[0].Restart()
	waitLive(t, f.FlusterCluster, "a")
	for range 40 {
		_, err := do(f.FlusterCluster, "any", "INCR")
		require.NoError(t, err)
	}
}

// fillPool leaves n idle connections in pool.
func fillPool(t *testing.T, pool *redis.Pool, n int) {
	t.Helper()
	conns := make([]redis.Conn, n)
	for i := range conns {
		conns[i] = pool.Get()
		_, err := conns[i].Do("PING")
		require.NoError(t, err)
	}
	for _, c := range conns {
		require.NoError(t, c.Close())
	}
}
