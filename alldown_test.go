package fluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

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
	f := startFleet(t, 3, quick, fluster.Config{})
	killAll(t, f)

	_, err := f.GetClient("any")
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

	// And no spinning: while it waits, the cluster costs next to nothing.
	before, begun := cpuTime(t), time.Now()
	time.Sleep(time.Second) // the span that is measured
	assert.Less(t, cpuTime(t)-before, time.Since(begun)/20)
}

func TestRow05APoolThatWasKeptRefusesAtOnce(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	key := keyOf(t, f.FlusterCluster, "b")
	pool, err := f.GetClient(key)
	require.NoError(t, err)
	f.servers[1].Stop() // a black hole, which a dial would have to wait for
	waitDown(t, f.FlusterCluster, "b")

	for range 1000 { // a dial would take its time-out, each time
		_, err := pool.GetContext(t.Context())
		var ne *fluster.NodeError
		require.ErrorAs(t, err, &ne)
		require.Equal(t, "b", ne.Node)
		require.True(t, fluster.SafeToRetry(err))
		require.ErrorContains(t, err, "penalty box")
	}
}

func TestRow06TheFirstNodeBackServesWithinASecond(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	killAll(t, f)
	// Long enough for the waits in the penalty box to have grown past a second.
	redistest.WaitFor(t, patient, func() bool {
		for _, st := range f.Nodes() {
			if st.ProbeFailures < 6 {
				return false
			}
		}
		return true
	}, "six failed probes of each node")

	f.servers[2].Restart()
	w, begun := startStopwatch(), time.Now()
	redistest.WaitFor(t, patient, func() bool { _, err := do(f.FlusterCluster, "any", "INCR"); return err == nil }, "the first node serves")
	took := time.Since(begun)
	assert.Less(t, took, time.Second+w.slack())

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

func TestRow48CloseUnderTrafficFailsEveryCallWithErrClosed(t *testing.T) {
	servers := startServers(t, 3)
	for round := range 100 {
		o := quick
		o.MaxActive, o.Wait = 2, true
		cfg := fluster.Config{Nodes: nodesOf(servers, o)}
		c, err := fluster.New(cfg)
		require.NoError(t, err)

		var wg sync.WaitGroup
		started := make(chan struct{}, 50)
		for i := range 50 {
			wg.Go(func() { callUntilClosed(t, c, fmt.Sprintf("key:%d", i), started) })
		}
		for range 50 {
			<-started
		}
		require.NoError(t, c.Close())
		require.NoError(t, c.Close(), "round %d", round)
		wg.Wait()
		_, err = c.GetClient("any")
		require.ErrorIs(t, err, fluster.ErrClosed)
		for _, n := range cfg.Nodes {
			_, err := n.Pool.GetContext(t.Context())
			require.ErrorIs(t, err, fluster.ErrClosed)
		}
		steps := 0
		for _, err := range c.Iter(t.Context()) {
			require.ErrorIs(t, err, fluster.ErrClosed)
			steps++
		}
		require.Equal(t, 1, steps)
		require.ErrorIs(t, c.WaitReady(t.Context()), fluster.ErrClosed)
	}
}

// callUntilClosed calls with short deadlines, as one of many who share few
// connections, until the cluster is closed.
func callUntilClosed(t *testing.T, c *fluster.FlusterCluster, key string, started chan<- struct{}) {
	for i := 0; ; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		_, err := doContext(ctx, c, key, "INCR")
		cancel()
		if i == 0 {
			started <- struct{}{}
		}
		switch {
		case errors.Is(err, fluster.ErrClosed):
			return
		case err == nil, errors.Is(err, context.DeadlineExceeded):
		default:
			assert.NoError(t, err)
			return
		}
	}
}

func TestRow49APanicInAWalkLeavesEverythingUsable(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	assert.Panics(t, func() {
		for node, err := range f.Iter(t.Context()) {
			require.NoError(t, err)
			conn := node.Pool.Get()
			defer conn.Close()
			panic("in the walk's body")
		}
	})
	for _, st := range f.Nodes() {
		assert.Equal(t, st.PoolStats.IdleCount, st.PoolStats.ActiveCount, "node %s has all its connections back", st.Name)
	}
	visited := 0
	for _, err := range f.Rounds(t.Context(), 1) {
		require.NoError(t, err)
		visited++
	}
	assert.Equal(t, 3, visited)
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
