package health_test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
)

const second = time.Second

// liveAt tells, for each moment after a node was penalized, whether it is live.
func liveAt(w *world, node int, moments ...time.Duration) []bool {
	start := time.Now()
	var lives []bool
	for _, at := range moments {
		time.Sleep(time.Until(start.Add(at)))
		synctest.Wait()
		lives = append(lives, w.published(node).Live)
	}
	return lives
}

func TestPenaltyBoxLetsOutWhenAProbeSucceeds(t *testing.T) {
	cfg := health.Config{MinWait: second / 2, MaxWait: 2 * second}
	t.Run("a node that is well is back within a second", func(t *testing.T) {
		live(t, 2, cfg, func(w *world) {
			w.report(0, health.Hard, errRefused)
			assert.Equal(t, []bool{false, true}, liveAt(w, 0, 0, second))
			changes := w.transitions(0)
			require.Len(t, changes, 2)
			assert.True(t, changes[1].Live)
			assert.Equal(t, errRefused, changes[1].Cause)
			assert.Zero(t, changes[1].Wait)
			assert.Equal(t, changes[1].At, w.Status(0).Since)
			assert.Equal(t, uint64(1), changes[1].Generation)
			assert.Equal(t, errRefused, w.Status(0).Last)
			assert.NoError(t, w.Status(0).Cause)
			assert.Zero(t, w.Status(0).Until)
		})
	})
	t.Run("one that fails its first probe is back within two", func(t *testing.T) {
		live(t, 2, cfg, func(w *world) {
			w.servers[0].now(dead)
			w.report(0, health.Hard, errRefused)
			time.AfterFunc(second, func() { w.servers[0].now(answers) })
			assert.Equal(t, []bool{false, false, true}, liveAt(w, 0, 0, second, 2*second))
		})
	})
	t.Run("two penalized in the same instant are both back", func(t *testing.T) {
		live(t, 3, cfg, func(w *world) {
			w.report(0, health.Hard, errRefused)
			w.report(1, health.Hard, errRefused)
			assert.Equal(t, w.Status(0).Since, w.Status(1).Since)
			time.Sleep(second)
			synctest.Wait()
			assert.True(t, w.published(0).Live)
			assert.True(t, w.published(1).Live)
		})
	})
	t.Run("as many have to succeed as are asked for", func(t *testing.T) {
		cfg := cfg
		cfg.Successes = 3
		live(t, 2, cfg, func(w *world) {
			w.report(0, health.Hard, errRefused)
			assert.Equal(t, []bool{false, false, true}, liveAt(w, 0, 0, 1400*time.Millisecond, 1600*time.Millisecond))
		})
	})
	t.Run("successes count only in a row", func(t *testing.T) {
		cfg := cfg
		cfg.Successes = 2
		live(t, 2, cfg, func(w *world) {
			calls := 0
			w.servers[0].now(func(ctx context.Context, req health.ProbeRequest) health.Evidence {
				if calls++; calls%2 == 0 {
					return dead(ctx, req)
				}
				return answers(ctx, req)
			})
			w.report(0, health.Hard, errRefused)
			time.Sleep(time.Minute)
			assert.False(t, w.Status(0).Live)
		})
	})
}

// waitsOf penalizes a node of a server that does the same for ever, and returns
// its first waits.
func waitsOf(t *testing.T, cfg health.Config, does behaviour, n int) (waits []time.Duration) {
	live(t, 2, cfg, func(w *world) {
		w.servers[0].now(does)
		before := len(w.servers[0].probed())
		ev := does(w.t.Context(), health.ProbeRequest{})
		from := time.Now()
		w.report(0, ev.Class, ev.Cause)
		for len(waits) < n {
			time.Sleep(time.Millisecond)
			for _, at := range w.servers[0].probed()[before+len(waits):] {
				waits = append(waits, at.Sub(from))
				from = at
			}
		}
	})
	return waits[:n]
}

func TestWaitsInThePenaltyBox(t *testing.T) {
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		cfg  health.Config
		does behaviour
		want []time.Duration
	}{
		"defaults": {
			health.Config{},
			dead,
			[]time.Duration{250 * ms, 500 * ms, second, 2 * second, 4 * second, 8 * second, 10 * second, 10 * second},
		},
		"fractions of a second grow": {
			health.Config{MinWait: 500 * ms, Multiplier: 1.5},
			dead,
			[]time.Duration{500 * ms, 750 * ms, 1125 * ms, 1687500 * time.Microsecond},
		},
		"a minimum above the default maximum": {
			health.Config{MinWait: 20 * second},
			dead,
			[]time.Duration{20 * second, 20 * second},
		},
		"a maximum below the default minimum": {
			health.Config{MaxWait: 100 * ms},
			dead,
			[]time.Duration{100 * ms, 100 * ms},
		},
		"no growth": {
			health.Config{Multiplier: 1},
			dead,
			[]time.Duration{250 * ms, 250 * ms, 250 * ms},
		},
		"a server that refuses for now is probed steadily": {
			health.Config{},
			loading,
			[]time.Duration{250 * ms, 250 * ms, 250 * ms, 250 * ms, 250 * ms},
		},
		"a wrong password is tried seldom": {
			health.Config{},
			rejected,
			[]time.Duration{10 * second, 10 * second},
		},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, waitsOf(t, test.cfg, test.does, len(test.want)))
		})
	}
}

func TestWaitsAreCutByUpToAHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := 1.0
		w := jitteredWorld(t, 2, health.Config{MinWait: second}, func() float64 { return u })
		defer w.Close()
		w.Start()
		require.NoError(t, w.WaitReady(t.Context()))
		u = 0
		w.report(0, health.Hard, errRefused)
		assert.Equal(t, second/2, w.transitions(0)[0].Wait)
	})
}

func TestNodeThatIsSoonBackGoesOnFromItsLastWait(t *testing.T) {
	cfg := health.Config{MinWait: second, MaxWait: 8 * second, Failures: 1}
	penalizeAgain := func(w *world, clean time.Duration) time.Duration {
		for range 3 { // waits of 1, 2 and 4 s
			w.report(0, health.Hard, errRefused)
			w.until(0, true, time.Minute)
		}
		time.Sleep(clean)
		w.report(0, health.Hard, errRefused)
		return time.Until(w.Status(0).Until)
	}
	for clean, want := range map[time.Duration]time.Duration{
		0:             8 * second,
		7 * second:    8 * second,
		8 * second:    4 * second,
		16 * second:   2 * second,
		23 * second:   2 * second,
		24 * second:   second,
		1000 * second: second,
	} {
		t.Run("after "+clean.String(), func(t *testing.T) {
			live(t, 2, cfg, func(w *world) {
				assert.Equal(t, want, penalizeAgain(w, clean))
			})
		})
	}
}

func TestNodeIsNotProbedBeforeItsWaitIsOver(t *testing.T) {
	live(t, 2, health.Config{MinWait: 5 * second}, func(w *world) {
		before := len(w.servers[0].probed())
		w.report(0, health.Hard, errRefused)
		for range 499 {
			time.Sleep(10 * time.Millisecond)
			w.report(0, health.Ask, nil)
			w.report(0, health.Broken, errEOF)
		}
		require.NoError(t, w.WaitReady(w.t.Context()))
		assert.Len(t, w.servers[0].probed(), before)
		w.until(0, true, second)
	})
}

func TestCauseFollowsWhatTheNodeDoesInTheBox(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		w.servers[0].now(loading)
		w.report(0, health.Hard, errRefused)
		assert.True(t, w.published(0).Silent)
		time.Sleep(second)

		assert.False(t, w.published(0).Silent)
		assert.Equal(t, errLoading, w.published(0).Cause)
		assert.Equal(t, health.Refusing, w.Status(0).Class)
		assert.Equal(t, uint64(1), w.published(0).Generation)
		w.mu.Lock()
		last := w.changes[len(w.changes)-1]
		w.mu.Unlock()
		assert.True(t, last.Still)
		assert.False(t, last.Live)
		assert.False(t, last.Silent)
		assert.Equal(t, errLoading, last.Cause)
		assert.Equal(t, 250*time.Millisecond, last.Wait)
	})
}

func TestProbesInTheBoxDialAndWriteWhereAWriteFailed(t *testing.T) {
	for name, test := range map[string]struct {
		incident func(w *world) health.Evidence
		write    bool
	}{
		"refused":   {func(w *world) health.Evidence { return w.evidence(0, health.Hard, errRefused) }, false},
		"loading":   {func(w *world) health.Evidence { return w.evidence(0, health.Refusing, errLoading) }, false},
		"timed out": {func(w *world) health.Evidence { return w.timeout(0, 1, 0) }, true},
		"no replica": {func(w *world) health.Evidence {
			ev := w.evidence(0, health.Refusing, errLoading)
			ev.Write = true
			return ev
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, 2, health.Config{Failures: 1}, func(w *world) {
				w.servers[0].now(hangs)
				w.Report(w.t.Context(), 0, test.incident(w))
				w.until(0, false, second)
				w.servers[0].now(answers)
				w.until(0, true, 2*second)
				assert.Equal(t, health.ProbeRequest{Fresh: true, Write: test.write}, w.servers[0].last())
			})
		})
	}
}

// thaws is a server that was frozen and goes on after d, when it answers all that hangs.
func thaws(d time.Duration) behaviour {
	at := time.Now().Add(d)
	return func(ctx context.Context, req health.ProbeRequest) health.Evidence {
		return after(time.Until(at), answers)(ctx, req)
	}
}

// thawed lets a node that is out for its silence thaw d after its first probe in the box
// began, and returns when it was back after that, and what it was asked for meanwhile.
func thawed(t *testing.T, cfg health.Config, d time.Duration, jitter float64, class health.Class) (back time.Duration, probes int) {
	synctest.Test(t, func(t *testing.T) {
		var u atomic.Value
		u.Store(1.0)
		w := jitteredWorld(t, 2, cfg, func() float64 { return u.Load().(float64) })
		defer w.Close()
		w.Start()
		require.NoError(t, w.WaitReady(t.Context()))
		w.servers[0].now(hangs)
		w.report(0, class, errSilent)
		w.until(0, false, 2*second)
		began := w.Status(0).Until
		w.servers[0].now(thaws(time.Until(began) + d))
		before := w.Status(0).Probes
		time.Sleep(time.Until(began))
		u.Store(jitter)
		time.Sleep(d)
		back = w.until(0, true, time.Minute)
		probes = int(w.Status(0).Probes - before)
	})
	return back, probes
}

func TestANodeThatThawsUnderAProbeIsProbedOnceMoreWithinItsWait(t *testing.T) {
	const ms = time.Millisecond
	cfg := health.Config{MinWait: second, Failures: 1, Interval: time.Hour}
	for name, test := range map[string]struct {
		hung   time.Duration
		jitter float64
		class  health.Class
		back   time.Duration
		probes int
	}{
		"at the end of the wait":          {300 * ms, 1, health.Timeout, second, 2},
		"in its middle":                   {300 * ms, 0.5, health.Timeout, 500 * ms, 2},
		"at once, if so it falls":         {300 * ms, 0, health.Timeout, 0, 2},
		"not if it answered soon":         {40 * ms, 1, health.Timeout, 0, 1},
		"not if it was out for a refusal": {300 * ms, 1, health.Hard, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			back, probes := thawed(t, cfg, test.hung, test.jitter, test.class)
			assert.InDelta(t, test.back, back, float64(2*ms))
			assert.Equal(t, test.probes, probes)
		})
	}
}

// frozen is a world whose node 0 is out for its silence, and hangs.
func frozen(w *world) {
	w.servers[0].now(hangs)
	w.Report(w.t.Context(), 0, w.timeout(0, 1, 0))
	w.until(0, false, second)
	time.Sleep(health.DefaultTimeout + second/10) // the probe that still hangs is over
}

func TestANodeWhoseEveryAnswerIsLateIsBackAfterTheSecond(t *testing.T) {
	live(t, 2, health.Config{MinWait: second, Failures: 1, Interval: time.Hour}, func(w *world) {
		frozen(w)
		w.servers[0].now(after(second/5, answers))
		out := w.Status(0)
		w.until(0, true, time.Minute)
		assert.InDelta(t, 2*second+2*second/5, time.Since(out.Since), float64(second/100))
		assert.Equal(t, out.Probes+2, w.Status(0).Probes)
	})
}

func TestANodeThatThawsAndFreezesAgainWaitsAsIfItHadNotThawed(t *testing.T) {
	live(t, 2, health.Config{MinWait: second, Failures: 1, Interval: time.Hour}, func(w *world) {
		frozen(w)
		probed := func() (failures uint64, wait time.Duration) { // what the next probe leads to
			due := w.Status(0).Until
			for !w.Status(0).Until.After(due) {
				time.Sleep(time.Millisecond)
			}
			return w.Status(0).ProbeFailures, time.Until(w.Status(0).Until).Round(10 * time.Millisecond)
		}
		for _, level := range []time.Duration{second, 2 * second} {
			before := w.Status(0).ProbeFailures
			w.servers[0].now(after(second/5, answers))
			failures, wait := probed()
			assert.Equal(t, before, failures, "no failure")
			assert.Equal(t, level, wait, "the same level")
			w.servers[0].now(hangs)
			_, wait = probed()
			assert.Equal(t, 2*level, wait)
		}
		assert.Equal(t, uint64(1), w.Status(0).Penalties)
	})
}

func TestTheFirstNodeToThawIsSoonBackThoughWaitsWereLong(t *testing.T) {
	live(t, 2, health.Config{Failures: 1}, func(w *world) {
		frozen(w)
		time.Sleep(time.Minute) // its wait is at its longest
		w.servers[1].now(dead)
		w.report(1, health.Hard, errRefused)
		w.servers[0].now(after(second/5, answers))
		const twice = 2 * (second/2 + second/5) // it is waited for, and asked
		assert.LessOrEqual(t, w.until(0, true, time.Minute), health.DefaultTimeout+twice, "a probe may still hang")
	})
}

func TestAReplicaThatWasSilentReturnsThoughItRefusesTheWrite(t *testing.T) {
	refusesWrites := func(_ context.Context, req health.ProbeRequest) health.Evidence {
		if req.Write {
			return health.Evidence{Class: health.Refusing, Cause: errLoading, Write: true}
		}
		return health.Evidence{Class: health.Alive}
	}
	t.Run("out for its silence", func(t *testing.T) {
		live(t, 2, health.Config{Failures: 1}, func(w *world) {
			w.servers[0].now(hangs)
			w.Report(w.t.Context(), 0, w.timeout(0, 1, 0))
			w.until(0, false, second)
			w.servers[0].now(refusesWrites)
			w.until(0, true, 2*second)
		})
	})
	t.Run("out for a refused write", func(t *testing.T) {
		live(t, 2, health.Config{}, func(w *world) {
			w.servers[0].now(refusesWrites)
			ev := w.evidence(0, health.Refusing, errLoading)
			ev.Write = true
			w.Report(w.t.Context(), 0, ev)
			time.Sleep(time.Minute)
			assert.False(t, w.Status(0).Live)
		})
	})
}

func TestFlappingNodeIsOutLongerAndLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const half = 200 * time.Millisecond
		random := rand.New(rand.NewPCG(1, 2))
		w := jitteredWorld(t, 2, health.Config{MinWait: 100 * time.Millisecond, MaxWait: 2 * second}, random.Float64)
		defer w.Close()
		start := time.Now()
		up := func() bool { return time.Since(start)/half%2 == 0 }
		w.servers[0].now(func(ctx context.Context, req health.ProbeRequest) health.Evidence {
			if up() {
				return answers(ctx, req)
			}
			return dead(ctx, req)
		})
		w.Start()
		for time.Since(start) < time.Minute {
			time.Sleep(5 * time.Millisecond)
			if !up() {
				w.report(0, health.Hard, errRefused)
			}
		}
		assert.LessOrEqual(t, w.Status(0).Penalties, uint64(4+30))
		assert.Greater(t, w.Status(0).Penalties, uint64(10))
		changes := w.transitions(0)
		assert.LessOrEqual(t, changes[0].Wait, 100*time.Millisecond)
		for _, c := range changes[len(changes)/2:] {
			if !c.Live {
				assert.GreaterOrEqual(t, c.Wait, second)
			}
		}
	})
}

func TestMaxDownBoundsHowManyAreOut(t *testing.T) {
	live(t, 4, health.Config{MaxDown: 0.5}, func(w *world) {
		for node := range 3 {
			w.servers[node].now(dead)
			w.report(node, health.Hard, errRefused)
		}
		assert.False(t, w.published(0).Live)
		assert.False(t, w.published(1).Live)
		assert.True(t, w.published(2).Live)
		assert.Equal(t, uint64(1), w.Status(2).Refused)

		probes := w.Status(2).Probes
		time.Sleep(10 * second)
		s := w.Status(2)
		assert.True(t, s.Live)
		assert.Equal(t, uint64(1), s.Refused, "one episode counts once")
		assert.Zero(t, s.Penalties)
		assert.InDelta(t, 10, s.Probes-probes, 2, "it is probed on, at the pace of a live one")

		w.servers[0].now(answers)
		w.until(0, true, 11*second)
		synctest.Wait()
		assert.False(t, w.published(2).Live, "there is room, and it fails still")
	})
}

func TestNodeHeldBackIsForgivenWhenItAnswers(t *testing.T) {
	live(t, 3, health.Config{MaxDown: 0.4}, func(w *world) {
		w.servers[0].now(dead)
		w.report(0, health.Hard, errRefused)
		w.report(1, health.Hard, errRefused)
		assert.Equal(t, uint64(1), w.Status(1).Refused)
		time.Sleep(2 * second)
		w.servers[0].now(answers)
		w.until(0, true, 11*second)
		synctest.Wait()
		assert.Zero(t, w.Status(1).Penalties)
		assert.True(t, w.published(1).Live)

		w.report(0, health.Hard, errRefused)
		w.report(1, health.Hard, errRefused)
		assert.Equal(t, uint64(2), w.Status(1).Refused, "a new episode counts")
	})
}

func TestShareOfNodesThatMayBeOut(t *testing.T) {
	for _, test := range []struct {
		share float64
		nodes int
		most  int
	}{
		{0, 3, 3}, {1, 3, 3}, {0.5, 3, 1}, {0.5, 4, 2}, {0.1, 3, 0}, {0.1, 10, 1}, {0.7, 10, 7}, {2.0 / 3, 3, 2}, {0.29, 100, 29},
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, test.nodes, health.Config{MaxDown: test.share})
			defer w.Close()
			out := 0
			for node := range test.nodes {
				w.report(node, health.Hard, errRefused)
				if !w.Status(node).Live {
					out++
				}
			}
			assert.Equal(t, test.most, out, "%v of %d", test.share, test.nodes)
		})
	}
}

func TestWaitsEndSoonWhenTheLastNodeGoesOut(t *testing.T) {
	live(t, 2, health.Config{MinWait: second / 4, MaxWait: time.Hour, Multiplier: 1000}, func(w *world) {
		w.servers[0].now(dead)
		w.report(0, health.Hard, errRefused)
		time.Sleep(2 * second) // it waits for minutes now
		w.servers[0].now(answers)
		w.servers[1].now(dead)
		w.report(1, health.Hard, errRefused)
		assert.LessOrEqual(t, w.until(0, true, second), second/2+time.Millisecond, "looked at every millisecond")
	})
}

func TestFirstNodeBackServesWithinASecondThoughWaitsAreLong(t *testing.T) {
	live(t, 3, health.Config{}, func(w *world) {
		kill := func(node int) {
			w.servers[node].now(dead)
			w.report(node, health.Hard, errRefused)
		}
		kill(0)
		kill(1)
		time.Sleep(time.Minute) // their waits are at their longest
		kill(2)
		for _, node := range []int{0, 1} {
			assert.LessOrEqual(t, time.Until(w.Status(node).Until), second/2)
		}
		time.Sleep(time.Minute)
		before := len(w.servers[0].probed())
		time.Sleep(10 * second)
		assert.InDelta(t, 20, len(w.servers[0].probed())-before, 2, "no busy loop")

		w.servers[1].now(answers)
		assert.LessOrEqual(t, w.until(1, true, second), second)

		time.Sleep(time.Second)
		assert.LessOrEqual(t, time.Until(w.Status(0).Until), 2*second, "who comes back next is soon found, too")
		time.Sleep(20 * second)
		before = len(w.servers[0].probed())
		time.Sleep(time.Minute)
		assert.LessOrEqual(t, len(w.servers[0].probed())-before, 12, "waits are long again")
	})
}
