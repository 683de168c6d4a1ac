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

const (
	ms    = time.Millisecond
	bound = 50 * ms
)

func TestBrokenConnectionIsSettledBeforeReportReturns(t *testing.T) {
	for name, test := range map[string]struct {
		does   behaviour
		live   bool
		within time.Duration
	}{
		"the server lives":                        {after(5*ms, answers), true, 5 * ms},
		"it dropped the kept connection as well":  {droppedIdle(after(5*ms, answers)), true, 5 * ms},
		"it is gone":                              {after(5*ms, dead), false, 5 * ms},
		"it is gone, and the kept connection too": {droppedIdle(after(5*ms, dead)), false, 5 * ms},
		"it loads":                                {after(5*ms, loading), false, 5 * ms},
		"it does not answer":                      {hangs, true, bound},
		"the probe cannot tell":                   {says(health.None, nil), true, bound},
		"it accepts connections and closes them":  {says(health.Broken, errEOF), false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, 2, health.Config{}, func(w *world) {
				w.servers[0].now(test.does)
				start := time.Now()
				w.report(0, health.Broken, errEOF)
				assert.Equal(t, test.live, w.published(0).Live)
				assert.Equal(t, test.within, time.Since(start))
			})
		})
	}
}

func TestOneBrokenConnectionIsEnoughWhereOneFailureIs(t *testing.T) {
	live(t, 2, health.Config{Failures: 1}, func(w *world) {
		w.servers[0].now(hangs)
		w.report(0, health.Broken, errEOF)
		assert.False(t, w.published(0).Live)
	})
}

func TestBrokenConnectionsThatNoProbeExplainsAddUp(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		w.servers[0].now(hangs)
		for range 2 {
			w.report(0, health.Broken, errEOF)
			assert.True(t, w.published(0).Live)
		}
		w.report(0, health.Broken, errEOF)
		assert.False(t, w.published(0).Live)
	})
}

func TestManyConnectionsThatBreakTogetherAreOneIncident(t *testing.T) {
	breakAll := func(w *world) {
		var all []health.Evidence
		for conn := range uint64(200) {
			all = append(all, w.evidence(0, health.Broken, errEOF))
			all[conn].Conn = conn
		}
		w.reportAll(0, all[:100])
		w.reportAll(0, all[100:])
	}
	t.Run("which a probe explains away", func(t *testing.T) {
		live(t, 2, health.Config{Failures: 1}, func(w *world) {
			w.servers[0].now(after(3*ms, answers))
			before := w.Status(0).Probes
			for range 50 {
				start := time.Now()
				breakAll(w)
				assert.LessOrEqual(t, time.Since(start), 12*ms, "two waves, each of which waits for two probes at most")
			}
			s := w.Status(0)
			assert.Zero(t, s.Penalties)
			assert.Zero(t, s.Failures)
			assert.LessOrEqual(t, s.Probes-before, uint64(4*50), "all who ask share a probe")
		})
	})
	t.Run("or that counts once", func(t *testing.T) {
		live(t, 2, health.Config{}, func(w *world) {
			w.servers[0].now(hangs)
			var all []health.Evidence
			for range 200 {
				all = append(all, w.evidence(0, health.Broken, errEOF))
			}
			w.reportAll(0, all)
			assert.True(t, w.published(0).Live)
			assert.Equal(t, 1, w.Status(0).Failures)
		})
	})
}

func TestProbeThatHangsAlreadyIsNotWaitedForTwice(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		w.servers[0].now(after(30*ms, answers))
		w.report(0, health.Ask, nil)
		time.Sleep(20 * ms)
		start := time.Now()
		w.report(0, health.Broken, errEOF)
		assert.Equal(t, 40*ms, time.Since(start), "only a probe that began after the report settles it")

		w.servers[0].now(hangs)
		w.report(0, health.Ask, nil)
		time.Sleep(20 * ms)
		start = time.Now()
		w.report(0, health.Broken, errEOF)
		assert.Equal(t, 4*30*ms+10*ms, time.Since(start), "as long as the word of a far node may take")
	})
}

func TestClaimsReadOffAConnectionInUseNeedAProbesWord(t *testing.T) {
	for class := health.Soft; class <= health.Misconfigured; class++ {
		t.Run(class.String(), func(t *testing.T) {
			live(t, 2, health.Config{Failures: 1}, func(w *world) {
				claim := w.evidence(0, class, errLoading)
				claim.Verify, claim.Write = true, true
				w.servers[0].now(after(2*ms, answers))
				for range 5 {
					start := time.Now()
					w.Report(w.t.Context(), 0, claim)
					assert.Equal(t, 2*ms, time.Since(start))
				}
				assert.Zero(t, w.Status(0).Penalties)
				assert.True(t, w.servers[0].last().Write)

				w.servers[0].now(after(2*ms, loading))
				w.Report(w.t.Context(), 0, claim)
				assert.False(t, w.published(0).Live)
				assert.Equal(t, health.Refusing, w.Status(0).Class)

				w.servers[0].now(answers)
				w.until(0, true, second)
				assert.True(t, w.servers[0].last().Write, "only a probe that writes lets it out")
			})
		})
	}
}

func TestReportEndsWithItsContext(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		w.servers[0].now(hangs)
		ctx, cancel := context.WithTimeout(w.t.Context(), 7*ms)
		defer cancel()
		start := time.Now()
		w.Report(ctx, 0, w.evidence(0, health.Broken, errEOF))
		assert.Equal(t, 7*ms, time.Since(start))
	})
}

func TestReportEndsWithTheChecker(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		w.servers[0].now(hangs)
		time.AfterFunc(7*ms, w.Close)
		start := time.Now()
		w.report(0, health.Broken, errEOF)
		assert.Equal(t, 7*ms, time.Since(start))
		w.Close()
	})
}

func TestReportDoesNotWaitForProbesThatNobodyRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, health.Config{})
		defer w.Close()
		start := time.Now()
		w.report(0, health.Broken, errEOF)
		assert.Zero(t, time.Since(start))
		w.report(0, health.Hard, errRefused)
		assert.False(t, w.published(0).Live)
		w.Start()
		w.until(0, true, second)
	})
}

// timeouts are of commands sent 200 ms ago on as many connections.
func timeouts(w *world, conns ...uint64) []health.Evidence {
	var all []health.Evidence
	for _, conn := range conns {
		all = append(all, w.timeout(0, conn, 200*ms))
	}
	return all
}

func TestFrozenServerIsOutWhenTheFirstTimeoutsFire(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		time.Sleep(300 * ms) // since the last probe was answered
		w.servers[0].now(hangs)
		start := time.Now()
		w.reportAll(0, timeouts(w, 1, 2, 3))
		assert.False(t, w.published(0).Live)
		assert.Equal(t, 20*ms, time.Since(start))
		assert.Equal(t, health.Timeout, w.Status(0).Class)
		assert.True(t, w.published(0).Silent)
		assert.Equal(t, errSilent, w.published(0).Cause)
	})
}

func TestFrozenServerIsOutThoughAProbeHungBefore(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		time.Sleep(300 * ms)
		w.servers[0].now(hangs)
		w.report(0, health.Ask, nil)
		time.Sleep(200 * ms)
		start := time.Now()
		w.reportAll(0, timeouts(w, 1, 2, 3))
		assert.False(t, w.published(0).Live)
		assert.Equal(t, 20*ms, time.Since(start))
	})
}

func TestTimeoutsThatDoNotPenalize(t *testing.T) {
	for name, reports := range map[string]func(w *world){
		"all on one connection": func(w *world) {
			w.reportAll(0, timeouts(w, 1, 1, 1, 1, 1, 1))
		},
		"on too few": func(w *world) {
			w.reportAll(0, timeouts(w, 1, 2))
		},
		"spread over more than a second": func(w *world) {
			for conn := range uint64(3) {
				w.reportAll(0, timeouts(w, conn))
				time.Sleep(600 * ms)
			}
		},
		"of commands sent before another's reply": func(w *world) {
			all := timeouts(w, 1, 2, 3)
			all[2].Replied = time.Now().Add(-100 * ms)
			w.reportAll(0, all)
		},
		"of commands sent before a probe's reply": func(w *world) {
			var all []health.Evidence
			for conn := range uint64(9) {
				all = append(all, w.timeout(0, conn, 2*second))
			}
			w.reportAll(0, all)
		},
	} {
		t.Run(name, func(t *testing.T) {
			live(t, 2, health.Config{Timeout: 10 * second}, func(w *world) {
				time.Sleep(300 * ms)
				w.servers[0].now(hangs)
				reports(w)
				time.Sleep(200 * ms)
				assert.True(t, w.published(0).Live)
			})
		})
	}
}

func TestImpatientClientsOfAHealthyServerNeverPenalizeIt(t *testing.T) {
	for name, does := range map[string]behaviour{
		"near":                 after(ms, answers),
		"far":                  after(15*ms, answers),
		"on another continent": after(150*ms, answers),
	} {
		t.Run(name, func(t *testing.T) {
			live(t, 2, health.Config{}, func(w *world) {
				w.servers[0].now(does)
				time.Sleep(5 * second) // probed as far away as it is
				for range 200 {
					time.Sleep(30 * ms)
					w.reportAll(0, timeouts(w, 1, 2, 3, 4, 5, 6, 7, 8))
				}
				assert.Zero(t, w.Status(0).Penalties)
			})
		})
	}
}

func TestManyTimeoutsInARowDoNotPutOffTheVerdict(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		time.Sleep(300 * ms)
		w.servers[0].now(hangs)
		start := time.Now()
		ctx, cancel := context.WithCancel(w.t.Context())
		cancel() // so that Report does not wait
		for conn := uint64(0); w.published(0).Live; conn++ {
			w.Report(ctx, 0, w.timeout(0, conn, 200*ms))
			time.Sleep(ms)
			synctest.Wait()
			require.Less(t, time.Since(start), second)
		}
		assert.LessOrEqual(t, time.Since(start), 21*ms)
	})
}

func TestReportIsPromptForANodeThatTurnsOut(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		w.servers[0].now(hangs)
		time.AfterFunc(10*ms, func() { w.report(0, health.Hard, errRefused) })
		start := time.Now()
		w.report(0, health.Broken, errEOF)
		assert.Equal(t, 10*ms, time.Since(start))
	})
}
