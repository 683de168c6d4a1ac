package health_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redisfluster/fluster/health"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestWaitReadyReturnsWhenEveryNodeHasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, health.Config{})
		defer w.Close()
		w.servers[0].now(after(30*ms, answers))
		assert.False(t, w.Status(0).FirstAnswer)
		start := time.Now()
		w.Start()
		require.NoError(t, w.WaitReady(t.Context()))
		assert.Equal(t, 30*ms, time.Since(start), "all probes are woken at once")
		for node := range 3 {
			assert.True(t, w.Status(node).FirstAnswer)
		}

		w.servers[1].now(dead)
		w.report(1, health.Hard, errRefused)
		assert.NoError(t, w.WaitReady(t.Context()), "once is enough")
	})
}

func TestWaitReadyWakesProbesInThePenaltyBox(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, health.Config{MinWait: time.Minute, MaxWait: time.Minute})
		defer w.Close()
		w.servers[0].now(dead)
		w.Start()
		w.until(0, false, 2*second)
		w.servers[0].now(answers)
		start := time.Now()
		require.NoError(t, w.WaitReady(t.Context()))
		assert.Zero(t, time.Since(start))
		assert.True(t, w.published(0).Live)
	})
}

func TestWaitReadyTellsWhoHasNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, health.Config{})
		defer w.Close()
		w.servers[0].now(dead)
		w.servers[2].now(func(ctx context.Context, _ health.ProbeRequest) health.Evidence {
			<-ctx.Done()
			return health.Evidence{Class: health.None}
		})
		w.Start()
		ctx, cancel := context.WithTimeout(t.Context(), 5*second)
		defer cancel()
		err := w.WaitReady(ctx)
		var notReady *health.NotReadyError
		require.ErrorAs(t, err, &notReady)
		assert.Equal(t, []int{0, 2}, notReady.Nodes)
		assert.Equal(t, []string{"a", "c"}, notReady.Names)
		assert.Equal(t, []error{errRefused, nil}, notReady.Causes)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
	})
}

func TestProofOfLifeInTrafficMakesANodeReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, health.Config{})
		defer w.Close()
		w.report(0, health.Alive, nil)
		w.report(1, health.Alive, nil)
		assert.NoError(t, w.WaitReady(t.Context()))
	})
}

func TestWaitReadyEndsWithTheChecker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, health.Config{})
		w.servers[0].now(hangs)
		w.Start()
		time.AfterFunc(second, w.Close)
		assert.ErrorIs(t, w.WaitReady(t.Context()), health.ErrClosed)
		assert.ErrorIs(t, w.WaitReady(t.Context()), health.ErrClosed)
	})
}

func TestNothingChangesAfterClose(t *testing.T) {
	live(t, 2, health.Config{Failures: 1}, func(w *world) {
		w.report(0, health.Hard, errRefused)
		w.Close()
		w.Close()
		w.Start()
		before := [2]health.Status{w.Status(0), w.Status(1)}
		probes := len(w.servers[0].probed())
		for class := health.None; class <= health.Misconfigured; class++ {
			start := time.Now()
			w.report(1, class, errRefused)
			assert.Zero(t, time.Since(start))
		}
		time.Sleep(time.Minute)
		assert.Equal(t, before, [2]health.Status{w.Status(0), w.Status(1)})
		assert.Len(t, w.servers[0].probed(), probes)
		assert.Len(t, w.transitions(1), 0)
	})
}

func TestCloseBeforeStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, health.Config{})
		w.Close()
		w.Start()
		time.Sleep(time.Minute)
		assert.Empty(t, w.servers[0].probed())
	})
}

func TestCloseCancelsAProbeAndWaitsForIt(t *testing.T) {
	live(t, 1, health.Config{Timeout: time.Hour}, func(w *world) {
		w.servers[0].now(func(ctx context.Context, req health.ProbeRequest) health.Evidence {
			defer time.Sleep(10 * ms) // to hang up
			return hangs(ctx, req)
		})
		w.report(0, health.Ask, nil)
		synctest.Wait()
		start := time.Now()
		w.Close()
		assert.Equal(t, 10*ms, time.Since(start))
	})
}

func TestCloseLeavesAProbeThatIgnoresItsContext(t *testing.T) {
	live(t, 1, health.Config{}, func(w *world) {
		unblock := make(chan struct{})
		defer close(unblock)
		w.servers[0].now(func(context.Context, health.ProbeRequest) health.Evidence {
			<-unblock
			return health.Evidence{Class: health.Alive}
		})
		w.report(0, health.Ask, nil)
		synctest.Wait()
		start := time.Now()
		w.Close()
		assert.LessOrEqual(t, time.Since(start), 100*ms)
	})
}

func TestCloseDuringReports(t *testing.T) {
	for range 50 {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 3, health.Config{})
			w.Start()
			var reporters sync.WaitGroup
			for i := range 30 {
				reporters.Go(func() {
					class := health.Class(i % 9)
					for range 20 {
						w.report(i%3, class, errEOF)
						time.Sleep(time.Duration(rand.IntN(1000)) * time.Microsecond)
					}
				})
			}
			reporters.Go(func() { _ = w.WaitReady(t.Context()) })
			time.Sleep(time.Duration(rand.IntN(20)) * ms)
			var closers sync.WaitGroup
			for range 2 {
				closers.Go(w.Close)
			}
			closers.Wait()
			after := [3]health.Status{w.Status(0), w.Status(1), w.Status(2)}
			reporters.Wait()
			assert.Equal(t, after, [3]health.Status{w.Status(0), w.Status(1), w.Status(2)})
		})
	}
}

// TestChangesAreDeliveredOnceAndInOrder lets nodes flap under many reporters
// and a Changed that takes its time.
func TestChangesAreDeliveredOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 4
		var (
			mu        sync.Mutex
			published []health.State
			delivered [n][]health.Change
			inside    int
		)
		var targets []health.Target
		for range n {
			targets = append(targets, health.Target{Probe: health.ProbeFunc(answers)})
		}
		var c *health.Checker
		c, err := health.New(health.Config{MinWait: ms, MaxWait: ms}, targets, health.Hooks{
			Publish: func(states []health.State) {
				mu.Lock()
				defer mu.Unlock()
				published = states
			},
			Changed: func(change health.Change) {
				mu.Lock()
				inside++
				assert.Equal(t, 1, inside, "one at a time")
				assert.GreaterOrEqual(t, published[change.Node].Generation, change.Generation, "after Publish")
				delivered[change.Node] = append(delivered[change.Node], change)
				mu.Unlock()
				c.Status(change.Node) // no lock is held
				time.Sleep(time.Duration(rand.IntN(200)) * time.Microsecond)
				mu.Lock()
				inside--
				mu.Unlock()
			},
		})
		require.NoError(t, err)
		c.Start()
		var reporters sync.WaitGroup
		for i := range 4 * n {
			reporters.Go(func() {
				for range 100 {
					time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
					node := i % n
					generation := c.Status(node).Generation
					c.Report(t.Context(), node, health.Evidence{Class: health.Hard, Cause: errRefused, Generation: generation})
				}
			})
		}
		reporters.Wait()
		time.Sleep(second)
		c.Close()
		for node := range n {
			s := c.Status(node)
			require.NotZero(t, s.Penalties)
			assert.Equal(t, published[node], s.State)
			require.Len(t, delivered[node], int(2*s.Penalties), "each is delivered, once")
			for i, change := range delivered[node] {
				assert.Equal(t, i%2 == 1, change.Live)
				assert.Equal(t, uint64(i/2+1), change.Generation)
			}
		}
	})
}

func TestCallerWhoPenalizesHasItsChangeDelivered(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		w.report(0, health.Hard, errRefused)
		assert.Len(t, w.transitions(0), 1)
	})
}

func TestCountersAreExact(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		start := w.Status(0)
		w.servers[0].now(dead)
		w.report(0, health.Hard, errRefused)
		time.Sleep(2 * second) // probes at 250, 750 and 1750 ms
		w.servers[0].now(answers)
		w.until(0, true, 2*second)
		s := w.Status(0)
		assert.Equal(t, start.Probes+4, s.Probes)
		assert.Equal(t, start.ProbeFailures+3, s.ProbeFailures)
		assert.Equal(t, uint64(1), s.Penalties)
		assert.Equal(t, uint64(1), s.Generation)
		assert.Zero(t, s.Refused)
		assert.Len(t, w.servers[0].probed(), int(s.Probes))
	})
}

func TestEvidenceWithoutACauseStillHasOne(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		w.report(0, health.Hard, nil)
		assert.Error(t, w.published(0).Cause)
	})
}

func TestHooksMayBeAbsent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := health.New(health.Config{}, []health.Target{target()}, health.Hooks{})
		require.NoError(t, err)
		defer c.Close()
		c.Start()
		c.Report(t.Context(), 0, health.Evidence{Class: health.Hard, Cause: errRefused})
		assert.False(t, c.Status(0).Live)
		time.Sleep(second)
		assert.True(t, c.Status(0).Live)
	})
}
