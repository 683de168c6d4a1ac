package fluster_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// cpuTime returns the processor time that this process has used.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func killAll(t *testing.T, f *fleet) {
	t.Helper()
	for i, s := range f.servers {
		s.Kill()
		waitDown(t, f.FlusterCluster, nodeName(i))
	}
}

func TestRow05AllDownIsSaidAtOnceWithEveryCause(t *testing.T) {
	r := beginTrial(t, 5, "every node dies", "kill -9")
	f := r.fleet(3, builders[0], fluster.Config{})
	killAll(t, f)

	_, err := f.GetClient("any")
	r.said.print(err)
	require.ErrorIs(t, err, fluster.ErrClusterEmpty)
	assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	assert.True(t, fluster.SafeToRetry(err))
	for i, s := range f.servers {
		assert.ErrorContains(t, err, nodeName(i)+": ")
		assert.ErrorContains(t, err, s.Addr())
	}
	_, err = f.Locate("any")
	assert.ErrorIs(t, err, fluster.ErrClusterEmpty)

	// No I/O: as cheap as when all live.
	assert.Zero(t, testing.AllocsPerRun(100, func() { _, _ = f.GetClient("any") }))
	begun := time.Now()
	_, err = f.Do(t.Context(), "INCR", "any")
	r.Longest = time.Since(begun)
	require.ErrorIs(t, err, fluster.ErrClusterEmpty)
	r.within(time.Millisecond, r.Longest, "to say so")

	// And no spinning: while it waits, the cluster costs next to nothing.
	r.watch.End() // which does cost
	before, begun := cpuTime(t), time.Now()
	time.Sleep(time.Second) // the span that is measured
	used := cpuTime(t) - before
	assert.Less(t, used, time.Since(begun)/20)
	r.Remark = fmt.Sprintf("%.1f %% of a processor meanwhile", 100*used.Seconds()/time.Since(begun).Seconds())
}

func TestRow05APoolThatWasKeptRefusesAtOnce(t *testing.T) {
	r := beginTrial(t, 5, "a node is a black hole: a pool that was kept", "SIGSTOP")
	f := r.fleet(3, builders[0], fluster.Config{})
	key := keyOf(t, f.FlusterCluster, "b")
	pool, err := f.GetClient(key)
	require.NoError(t, err)
	f.servers[1].Stop() // which a dial would have to wait for
	waitDown(t, f.FlusterCluster, "b")

	for range 1000 { // a dial would take its time-out, each time
		begun := time.Now()
		_, err := pool.GetContext(t.Context())
		r.Longest = max(r.Longest, time.Since(begun))
		var ne *fluster.NodeError
		require.ErrorAs(t, err, &ne)
		require.Equal(t, "b", ne.Node)
		require.True(t, fluster.SafeToRetry(err))
		require.ErrorContains(t, err, "penalty box")
	}
	r.within(quick.Connect/2, r.Longest, "a refusal")
}

func TestRow06TheFirstNodeBackServesWithinASecond(t *testing.T) {
	r := beginTrial(t, 6, "all die, one after the other returns", "kill -9, restart")
	f := r.fleet(3, builders[0], fluster.Config{})
	killAll(t, f)
	waitUntilGrown(t, f.FlusterCluster)

	f.servers[2].Restart()
	healed := time.Now()
	redistest.WaitFor(t, patient, func() bool { _, err := do(f.FlusterCluster, "any", "INCR"); return err == nil }, "the first node serves")
	r.back(healed, time.Second)

	for node, err := range f.Iter(t.Context()) { // in every part of the library
		require.NoError(t, err)
		assert.Equal(t, "c", node.Name)
		break
	}
	f.servers[0].Restart()
	f.servers[1].Restart()
	waitLive(t, f.FlusterCluster, "a")
	waitLive(t, f.FlusterCluster, "b")
}

// waitUntilGrown waits until the waits in the penalty box have grown past a second.
func waitUntilGrown(t *testing.T, c *fluster.FlusterCluster) {
	t.Helper()
	redistest.WaitFor(t, patient, func() bool {
		for _, st := range c.Nodes() {
			if st.ProbeFailures < 6 {
				return false
			}
		}
		return true
	}, "six failed probes of each node")
}

// atWork counts how many run at once.
type atWork struct{ now, most atomic.Int64 }

func (w *atWork) begin() {
	n := w.now.Add(1)
	for old := w.most.Load(); n > old && !w.most.CompareAndSwap(old, n); old = w.most.Load() {
	}
}

func (w *atWork) end() { w.now.Add(-1) }

func TestRow06AllNodesThatReturnTogetherAreBackAndDialedByFew(t *testing.T) {
	r := beginTrial(t, 6, "all die and return together under load", "kill -9, restart")
	f := &fleet{}
	for range 3 {
		f.servers = append(f.servers, redistest.Start(t, "--requirepass", canary))
	}
	nodes := r.nodes(f.servers, builders[0])
	dials := make([]atWork, len(nodes))
	for i := range nodes {
		plain := nodes[i].Pool.DialContext
		nodes[i].Pool.DialContext = func(ctx context.Context) (redis.Conn, error) {
			dials[i].begin()
			defer dials[i].end()
			return plain(ctx)
		}
	}
	f.FlusterCluster = r.cluster(fluster.Config{Nodes: nodes, Health: brisk})
	before := homes(t, f.FlusterCluster)
	l := startLoad(t, f.FlusterCluster, callers)
	l.goOn(t, 2000)
	killAll(t, f)
	waitUntilGrown(t, f.FlusterCluster)
	l.finish() // who meets an empty cluster does not wait
	var restarts sync.WaitGroup
	for _, s := range f.servers {
		restarts.Go(s.Restart)
	}
	restarts.Wait()
	healed := time.Now()
	l = startLoad(t, f.FlusterCluster, callers)
	for i := range f.servers {
		waitLive(t, f.FlusterCluster, nodeName(i))
	}
	r.back(healed, brisk.MaxWait+brisk.Interval)
	assert.Equal(t, before, homes(t, f.FlusterCluster))
	l.goOn(t, 2000)
	r.ended(f, l, true)
	r.Calls, r.Lost = 0, 0 // they do not wait while no node lives
	widest := int64(0)
	for i := range dials {
		widest = max(widest, dials[i].most.Load())
	}
	r.Remark = fmt.Sprintf("at most %d dial a node at once", widest)
	if r.calm() { // a dial that hangs gives its place away
		assert.LessOrEqual(t, widest, int64(8+1), "eight callers, and a probe")
	}
}

func TestCloseEndsCallsThatHang(t *testing.T) {
	f := openFleet(t, 1, "&read_timeout=0", fluster.Config{})
	ended := make(chan error)
	go func() {
		_, err := do(f.FlusterCluster, "queue", "BLPOP", 0)
		ended <- err
	}()
	redistest.WaitFor(t, patient, func() bool {
		return f.servers[0].Info("clients")["blocked_clients"] == "1"
	}, "the call blocks")
	require.NoError(t, f.Close())
	err := <-ended
	assert.ErrorIs(t, err, fluster.ErrClosed)
	assert.True(t, fluster.MaybeExecuted(err))
}
