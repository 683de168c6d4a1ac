package fluster_test

import (
	"errors"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
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
	most := 1 + again(in.slack)
	var last time.Duration
	for _, f := range in.failed {
		var ne *fluster.NodeError
		if !errors.As(f.err, &ne) || ne.Node != "b" {
			require.Greater(t, in.slack, quick.Read, "%v", f.err)
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

// incident is what a fault under load did.
type incident struct {
	failed []failedCall
	fault  time.Time
	slack  time.Duration // by which bounds are eased on a slow machine
}

// faultUnderLoad runs the load, lets cause a fault of node b and mend it, and
// returns the calls that failed and when the fault was.
func faultUnderLoad(t *testing.T, f *fleet, cause, mend func()) incident {
	w := startStopwatch()
	l := startLoad(t, f.FlusterCluster, callers)
	fault, _ := faultUnder(t, l, f, cause, mend)
	l.goOn(t, 5000)
	return incident{l.finish(), fault, w.slack()}
}

// faultUnder lets cause a fault of node b under the load and mend it, and returns when
// each was.
func faultUnder(t *testing.T, l *load, f *fleet, cause, mend func()) (fault, healed time.Time) {
	t.Helper()
	l.goOn(t, 2000)
	fault = time.Now()
	cause()
	waitDown(t, f.FlusterCluster, "b")
	l.goOn(t, 5000)
	mend()
	healed = time.Now()
	waitLive(t, f.FlusterCluster, "b")
	return fault, healed
}

// meet is a row in which node b fails under load and comes back. within is how long
// after the fault the last call may fail. Calls that a fault of one node costs are one
// of each caller at most.
func (r *trial) meet(f *fleet, within time.Duration, forgets bool, cause, mend func()) {
	r.t.Helper()
	before := homes(r.t, f.FlusterCluster)
	l := startLoad(r.t, f.FlusterCluster, callers)
	fault, healed := faultUnder(r.t, l, f, cause, mend)
	r.back(healed, brisk.MaxWait)
	redistest.WaitFor(r.t, patient, func() bool { return maps.Equal(before, homes(r.t, f.FlusterCluster)) }, "every key is at home again")
	l.goOn(r.t, 5000)
	failed := r.ended(f, l, forgets)
	requireOnceEach(r.t, incident{failed, fault, r.slack()}, within)
	r.onlyOut(f.FlusterCluster, "b")
	if r.calm() {
		assert.Equal(r.t, uint64(1), status(r.t, f.FlusterCluster, "b").Penalties, "one fault is one penalty")
	}
}

func TestRow01KillUnderLoadFailsEachCallerAtMostOnce(t *testing.T) {
	eachBuilder(t, 1, "a node dies", "kill -9", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk})
		r.meet(f, 300*time.Millisecond, true, f.servers[1].Kill, f.servers[1].Restart)
	})
}

func TestRow02ShutdownUnderLoadFailsEachCallerAtMostOnce(t *testing.T) {
	eachBuilder(t, 2, "a node is shut down", "SHUTDOWN NOSAVE", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk})
		r.meet(f, time.Second, true, f.servers[1].Shutdown, f.servers[1].Restart) // it takes its time to go
	})
}

func TestRow08FreezeUnderLoadFailsEachCallerAtMostOnce(t *testing.T) {
	eachBuilder(t, 8, "a node freezes", "SIGSTOP", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk})
		r.meet(f, quick.Read+100*time.Millisecond, false, f.servers[1].Stop, f.servers[1].Cont)
	})
}

// homes returns where each of 5,000 keys is now, "" if no node lives.
func homes(t *testing.T, c *fluster.FlusterCluster) map[string]string {
	t.Helper()
	at := make(map[string]string)
	for i := range 5000 {
		key := fmt.Sprintf("user:%d", i)
		n, err := c.Locate(key)
		require.True(t, err == nil || errors.Is(err, fluster.ErrClusterEmpty), "%v", err)
		at[key] = n.Name
	}
	return at
}

func TestRow04And07FailuresMoveOnlyTheDeadNodesKeysAndReturnsBringThemHome(t *testing.T) {
	home := redistest.Faults(t, 4, "a node returns", "restart")
	r := beginTrial(t, 7, "a second node dies while one is out: placement", "kill -9")
	f := r.fleet(5, builders[0], fluster.Config{})
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

	r.comesBack(f, 3)
	assert.Equal(t, one, homes(t, f.FlusterCluster))
	r.comesBack(f, 1)
	assert.Equal(t, before, homes(t, f.FlusterCluster))
	home.Recovered, home.Remark = r.Recovered, "every key is where it was"
	r.onlyOut(f.FlusterCluster, "b", "d")
}

// comesBack lets a dead node serve again, which the next probe of it is to see.
func (r *trial) comesBack(f *fleet, i int) {
	r.t.Helper()
	f.servers[i].Restart()
	healed := time.Now()
	due := healed
	redistest.WaitFor(r.t, patient, func() bool { // no probe is under way that began before
		st := status(r.t, f.FlusterCluster, nodeName(i))
		due = st.Until
		return st.Live || due.After(time.Now())
	}, "a probe is due, or was")
	waitLive(r.t, f.FlusterCluster, nodeName(i))
	r.back(healed, max(0, due.Sub(healed))+health.DefaultTimeout)
}

func TestRow07ASecondNodeMayDieWhileTheFirstIsOut(t *testing.T) {
	eachBuilder(t, 7, "a second node dies while one is out", "kill -9", func(r *trial, builder string) {
		t := r.t
		f := r.fleet(3, builder, fluster.Config{Health: brisk})
		l := startLoad(t, f.FlusterCluster, callers)
		l.goOn(t, 2000)
		f.servers[1].Kill()
		waitDown(t, f.FlusterCluster, "b")
		l.goOn(t, 1000)
		f.servers[2].Kill()
		waitDown(t, f.FlusterCluster, "c")
		l.goOn(t, 1000)
		f.servers[1].Restart()
		f.servers[2].Restart()
		healed := time.Now()
		waitLive(t, f.FlusterCluster, "b")
		waitLive(t, f.FlusterCluster, "c")
		r.back(healed, brisk.MaxWait)
		l.goOn(t, 2000)
		failed := r.ended(f, l, true)
		assert.LessOrEqual(t, most(failed, "b", "c"), 2+again(r.slack()), "once for each node that died")
		r.onlyOut(f.FlusterCluster, "b", "c")
	})
}

func TestRow09IdleClusterFindsAFrozenNodeWithinThreeSeconds(t *testing.T) {
	eachBuilder(t, 9, "a node freezes while nobody calls", "SIGSTOP", func(r *trial, builder string) {
		t := r.t
		f := r.fleet(3, builder, fluster.Config{})
		require.NoError(t, f.WaitReady(t.Context()))
		begun := time.Now()
		f.servers[1].Stop()
		waitDown(t, f.FlusterCluster, "b")
		took := time.Since(begun)
		r.within(3*time.Second, took, "until it is out")
		r.Remark = fmt.Sprintf("out after %v, probed once a second", took.Round(time.Millisecond))
		f.servers[1].Cont()
		healed := time.Now()
		waitLive(t, f.FlusterCluster, "b")
		r.back(healed, health.DefaultMaxWait)
		r.onlyOut(f.FlusterCluster, "b")
	})
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
	f := startFleet(t, 3, quick, fluster.Config{Health: health.Config{Interval: time.Minute}}) // no probe is to know first
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

// A connection of the library's own is looked at before it is used again. Of a user's
// nothing can be seen: there each stale connection costs a call, once, as it does
// without the library.
func TestRow03NoCallFailsAfterARestartWithTwentyIdleConnections(t *testing.T) {
	eachBuilder(t, 3, "a node restarts under 20 idle connections", "kill -9, restart", func(r *trial, builder string) {
		t := r.t
		f := r.fleet(1, builder, fluster.Config{Health: health.Config{Interval: time.Minute}}) // which finds nothing out
		require.NoError(t, f.WaitReady(t.Context()))
		pool, err := f.GetClient("any")
		require.NoError(t, err)
		fillPool(t, pool, 20)
		require.Equal(t, 20, pool.IdleCount())

		f.servers[0].Kill()
		f.servers[0].Restart()
		for r.Calls = 0; r.Calls < 40; r.Calls++ {
			begun := time.Now()
			_, err := do(f.FlusterCluster, "any", "INCR")
			r.Longest = max(r.Longest, time.Since(begun))
			if err != nil {
				r.Lost++
				r.said.print(err)
				require.True(t, fluster.MaybeExecuted(err), "%v", err)
			}
		}
		if builder == builders[0] {
			assert.LessOrEqual(t, r.Lost, 20)
			r.Remark = "as many as without the library: nobody can look at a socket that redigo hides"
		} else if r.calm() {
			assert.Zero(t, r.Lost)
		}
		r.within(longestCall, r.Longest, "the longest call")
		requireNoPenalties(t, f.FlusterCluster)
		executed := f.servers[0].Executed("incr")
		assert.LessOrEqual(t, 40-r.Lost, executed)
		assert.LessOrEqual(t, executed, 40)
	})
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
