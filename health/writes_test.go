package health_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redisfluster/fluster/health"
)

// leavesWrites answers PING and lets a write wait.
func leavesWrites(ctx context.Context, req health.ProbeRequest) health.Evidence {
	if req.Write {
		return hangs(ctx, req)
	}
	return health.Evidence{Class: health.Alive}
}

// takesNoWrites answers PING and refuses writes.
func takesNoWrites(_ context.Context, req health.ProbeRequest) health.Evidence {
	if req.Write {
		return health.Evidence{Class: health.Refusing, Cause: errLoading, Write: true}
	}
	return health.Evidence{Class: health.Alive}
}

func TestANodeThatAnswersPingAndLeavesWritesWaitingIsOutUntilItWrites(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		w.servers[0].now(leavesWrites)
		time.Sleep(10 * time.Second)
		assert.True(t, w.Status(0).Live, "nobody has complained")

		ev := w.timeout(0, 1, 0)
		ev.Replied = time.Now() // to those who read
		w.Report(w.t.Context(), 0, ev)
		w.until(0, false, 2*time.Second)
		time.Sleep(time.Minute)
		assert.False(t, w.Status(0).Live, "PING does not let it out")
		assert.Len(t, w.transitions(0), 1)

		w.servers[0].now(answers)
		w.until(0, true, 11*time.Second)
	})
}

func TestASlowCommandCostsTwoProbesAndNoMore(t *testing.T) {
	live(t, 1, health.Config{Interval: time.Hour}, func(w *world) {
		before := w.Status(0).Probes
		w.Report(w.t.Context(), 0, w.timeout(0, 1, 0))
		time.Sleep(time.Minute)
		assert.Equal(t, before+2, w.Status(0).Probes, "a PING, and a write")
		assert.True(t, w.servers[0].last().Write)
		assert.Zero(t, w.Status(0).Failures)

		w.Report(w.t.Context(), 0, w.evidence(0, health.Ask, nil))
		time.Sleep(time.Minute)
		assert.False(t, w.servers[0].last().Write, "the write was once")
	})
}

func TestANodeThatIsMeantToTakeNoWritesIsNotOutForASlowCommand(t *testing.T) {
	live(t, 1, health.Config{}, func(w *world) {
		w.servers[0].now(takesNoWrites)
		for range 5 {
			w.Report(w.t.Context(), 0, w.timeout(0, 1, 0))
			time.Sleep(time.Second)
		}
		assert.Zero(t, w.Status(0).Penalties)
	})
}

func TestANodeThatLeftWritesWaitingAndRefusesThemNowAnswers(t *testing.T) {
	live(t, 2, health.Config{}, func(w *world) {
		w.servers[0].now(leavesWrites)
		w.Report(w.t.Context(), 0, w.timeout(0, 1, 0))
		w.until(0, false, 2*time.Second)
		w.servers[0].now(takesNoWrites)
		w.until(0, true, 11*time.Second)
	})
}
