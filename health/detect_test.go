package health_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
)

func TestIdleNodeThatStopsAnsweringIsFound(t *testing.T) {
	for name, test := range map[string]struct {
		does   behaviour
		within time.Duration
		silent bool
	}{
		"frozen":                          {hangs, 3 * time.Second, true},
		"dead":                            {dead, 2 * time.Second, true},
		"dead, kept connection broke":     {droppedIdle(dead), 2 * time.Second, true},
		"accepts and closes":              {says(health.Broken, errEOF), 2 * time.Second, true},
		"loading":                         {loading, 2 * time.Second, false},
		"password rotated":                {rejected, 2 * time.Second, false},
		"soft":                            {says(health.Soft, errEOF), 2 * time.Second, false},
		"dead, found out slowly":          {after(400*time.Millisecond, dead), 2 * time.Second, true},
		"frozen after a dropped idle one": {droppedIdle(hangs), 3 * time.Second, true},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, 2, health.Config{}, func(w *world) {
				w.servers[0].now(test.does)
				w.until(0, false, test.within)
				assert.Equal(t, test.silent, w.published(0).Silent)
				assert.Equal(t, uint64(1), w.published(0).Generation)
				assert.Error(t, w.published(0).Cause)
				assert.True(t, w.Status(1).Live)
			})
		})
	}
}

func TestNodeThatAnswersIsProbedSteadilyAndNeverOut(t *testing.T) {
	for name, does := range map[string]behaviour{
		"at once":                     answers,
		"slowly":                      after(400*time.Millisecond, answers),
		"after dropping the kept one": droppedIdle(answers),
		"nothing of the node":         says(health.None, nil),
	} {
		t.Run(name, func(t *testing.T) {
			live(t, 1, health.Config{}, func(w *world) {
				w.servers[0].now(does)
				before := len(w.servers[0].probed())
				time.Sleep(time.Minute)
				rounds := len(w.servers[0].probed()) - before
				assert.GreaterOrEqual(t, rounds, 35, "probes in a minute")
				assert.LessOrEqual(t, rounds, 130, "probes in a minute")
				assert.Zero(t, w.Status(0).Penalties)
				assert.Zero(t, w.Status(0).Failures)
			})
		})
	}
}

func TestFirstProbesAreSpreadOverTheInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := 0.0
		w := jitteredWorld(t, 5, health.Config{}, func() float64 { u += 0.2; return u - 0.1 })
		defer w.Close()
		start := time.Now()
		w.Start()
		w.Start() // again: nothing more
		time.Sleep(time.Second)
		synctest.Wait()
		for i, s := range w.servers {
			require.NotEmpty(t, s.probed())
			want := 100*time.Millisecond + time.Duration(i)*200*time.Millisecond
			assert.InDelta(t, want, s.probed()[0].Sub(start), float64(time.Microsecond), "node %d", i)
		}
	})
}

func TestProbeThatIgnoresItsContext(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		unblock := make(chan struct{})
		w.servers[0].now(func(context.Context, health.ProbeRequest) health.Evidence {
			<-unblock
			return health.Evidence{Class: health.Alive}
		})
		before := w.Status(0)
		w.until(0, false, 3*time.Second)
		time.Sleep(time.Minute)

		s := w.Status(0)
		assert.Equal(t, before.Probes+1, s.Probes, "no second one is started")
		assert.Equal(t, before.ProbeFailures+1, s.ProbeFailures)
		assert.Equal(t, uint64(1), s.Penalties)
		assert.False(t, s.Live)

		w.servers[0].now(answers)
		close(unblock)
		w.until(0, true, time.Second)
		assert.Equal(t, before.Probes+2, w.Status(0).Probes, "its late answer releases nobody, the next one's does")
		assert.Equal(t, 1, w.servers[0].most)
	})
}

func TestHardEvidencePenalizesBeforeReportReturns(t *testing.T) {
	for _, class := range []health.Class{health.Hard, health.Refusing, health.Misconfigured} {
		t.Run(class.String(), func(t *testing.T) {
			live(t, 2, health.Config{}, func(w *world) {
				start := time.Now()
				w.report(0, class, errRefused)
				assert.False(t, w.published(0).Live)
				assert.Equal(t, class == health.Hard, w.published(0).Silent)
				assert.Zero(t, time.Since(start))

				changes := w.transitions(0)
				require.Len(t, changes, 1)
				assert.Equal(t, class, changes[0].Class)
				assert.Equal(t, errRefused, changes[0].Cause)
				assert.Equal(t, start, changes[0].At)
				assert.Equal(t, start.Add(changes[0].Wait), w.Status(0).Until)
				assert.Equal(t, start, w.Status(0).Since)
			})
		})
	}
}

func TestSoftEvidence(t *testing.T) {
	soft := func(w *world) { w.report(0, health.Soft, errSilent) }
	hung := func(t *testing.T, test func(w *world)) {
		live(t, 2, health.Config{}, func(w *world) {
			w.servers[0].now(hangs)
			test(w)
		})
	}
	t.Run("penalizes when there is enough of it in a second", func(t *testing.T) {
		hung(t, func(w *world) {
			soft(w)
			soft(w)
			assert.True(t, w.published(0).Live)
			assert.Equal(t, 2, w.Status(0).Failures)
			soft(w)
			assert.False(t, w.published(0).Live)
		})
	})
	t.Run("adds up with failed probes", func(t *testing.T) {
		hung(t, func(w *world) {
			soft(w)
			soft(w)
			assert.Less(t, w.until(0, false, time.Second), 600*time.Millisecond)
		})
	})
	t.Run("is forgotten when the node answers", func(t *testing.T) {
		live(t, 2, health.Config{}, func(w *world) {
			for range 20 {
				soft(w)
				soft(w)
				synctest.Wait() // for the probe that it woke
			}
			assert.Zero(t, w.Status(0).Penalties)
		})
	})
	t.Run("is forgotten when traffic shows life", func(t *testing.T) {
		hung(t, func(w *world) {
			for range 20 {
				soft(w)
				soft(w)
				w.report(0, health.Alive, nil)
			}
			assert.Zero(t, w.Status(0).Penalties)
			assert.Zero(t, w.Status(0).Failures)
		})
	})
	t.Run("asks for a probe that dials, if dialing is what failed", func(t *testing.T) {
		live(t, 2, health.Config{}, func(w *world) {
			for _, fresh := range []bool{false, true} {
				ev := w.evidence(0, health.Soft, errSilent)
				ev.Fresh = fresh
				w.Report(w.t.Context(), 0, ev)
				synctest.Wait()
				assert.Equal(t, fresh, w.servers[0].last().Fresh)
			}
		})
	})
}

func TestWhatSaysNothingOfTheNodeMovesNothing(t *testing.T) {
	live(t, 2, health.Config{Failures: 1}, func(w *world) {
		w.servers[0].now(after(10*time.Millisecond, answers))
		before := w.Status(0)
		for range 100 {
			w.report(0, health.None, errSilent)
			w.report(0, health.Ask, context.Canceled)
		}
		synctest.Wait()
		s := w.Status(0)
		assert.Equal(t, before.Probes+1, s.Probes, "Ask wakes the prober, once")
		assert.Zero(t, s.Penalties)
		assert.NoError(t, s.Last)
	})
}

func TestEvidenceOfAnOlderGenerationChangesNothing(t *testing.T) {
	live(t, 2, health.Config{Failures: 1}, func(w *world) {
		old := w.Status(0).Generation
		w.report(0, health.Hard, errRefused)
		w.until(0, true, time.Second)
		for class := health.None; class <= health.Misconfigured; class++ {
			w.Report(w.t.Context(), 0, health.Evidence{Class: class, Cause: errRefused, Generation: old})
			w.Report(w.t.Context(), 0, health.Evidence{Class: class, Cause: errRefused, Generation: old + 2})
		}
		assert.True(t, w.published(0).Live)
		assert.Equal(t, uint64(1), w.Status(0).Penalties)
		assert.Zero(t, w.Status(0).Failures)
	})
}

func TestEvidenceAgainstANodeThatIsOutChangesNothing(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		w.report(0, health.Hard, errRefused)
		before := w.Status(0)
		time.Sleep(100 * time.Millisecond)
		for class := health.None; class <= health.Misconfigured; class++ {
			w.report(0, class, errLogin)
		}
		assert.Equal(t, before, w.Status(0))
		assert.Len(t, w.transitions(0), 1)
	})
}
