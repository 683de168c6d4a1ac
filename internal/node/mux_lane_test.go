package node_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// lone is a node of a fake server over which one caller has called once.
func lone(t *testing.T, options string) (*redistest.Fake, *watched) {
	t.Helper()
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	w := watchURL(t, "redis://"+f.Addr(), options)
	_, err := w.share(t.Context(), t, "SET", "n", 0)
	require.NoError(t, err)
	return f, w
}

func TestALoneCallerKeepsToOneConnection(t *testing.T) {
	f, w := lone(t, "")
	for i := range 100 {
		require.NoError(t, w.assertEcho(t.Context(), t, i, ""))
	}
	assert.Equal(t, 1, f.Accepted())
	assert.Zero(t, w.Pool().ActiveCount())
	w.Close()
	redistest.WaitFor(t, longEnough, func() bool { return f.Conns() == 0 }, "its connection stays open")
}

func TestALoneCallerIsNotFailedByAConnectionThatBrokeMeanwhile(t *testing.T) {
	f, w := lone(t, "")
	for i := range 10 {
		f.Drop()
		redistest.WaitFor(t, longEnough, func() bool { return f.Conns() == 0 }, "the connection is open")
		require.NoError(t, w.assertEcho(t.Context(), t, i, ""))
	}
	assert.Empty(t, w.accusations())
}

func TestALoneCallerGetsNoReplyThatNobodyAskedFor(t *testing.T) {
	f, w := lone(t, "")
	f.Handle(func(cmd []string) []byte {
		if cmd[0] == "ECHO" {
			return []byte("$3\r\nyes\r\n+more\r\n")
		}
		return nil
	})
	for range 10 {
		got, err := redis.String(w.share(t.Context(), t, "ECHO", "yes"))
		require.NoError(t, err)
		require.Equal(t, "yes", got)
	}
}

func TestALoneCallersConnectionGrowsNoOlderThanThePoolsDo(t *testing.T) {
	for _, option := range []string{"?idle_timeout=1ns", "?max_lifetime=1ns"} {
		f, w := lone(t, option)
		for i := range 5 {
			require.NoError(t, w.assertEcho(t.Context(), t, i, ""))
		}
		assert.Equal(t, 6, f.Accepted(), option)
	}
}

func TestALoneCallersConnectionIsOfTheNodesGeneration(t *testing.T) {
	f, w := lone(t, "")
	w.SetState(health.State{Live: true, Generation: 1})
	w.Sever()
	redistest.WaitFor(t, longEnough, func() bool { return f.Conns() == 0 }, "an old idle connection stays open")
	require.NoError(t, w.assertEcho(t.Context(), t, 1, ""))
	w.SetState(silent(errors.New("it is frozen")))
	_, err := w.share(t.Context(), t, "PING")
	require.ErrorContains(t, err, "it is frozen")
}

func TestALoneCallerWhoseContextEndsIsLetGo(t *testing.T) {
	f, w := lone(t, "")
	f.Hang()
	ctx, cancel := context.WithCancel(t.Context())
	wait := background(func() error { return w.assertEcho(ctx, t, 1, "") })
	redistest.WaitFor(t, longEnough, func() bool { return f.Received("ECHO") > 0 }, "no call came")
	cancel()
	err := wait(t)
	require.ErrorIs(t, err, context.Canceled)
	assertFate(t, err, false, true)
	f.Resume()
	for i := range 10 {
		require.NoError(t, w.assertEcho(t.Context(), t, 2+i, ""))
	}
	assert.Empty(t, w.accusations())
}

func TestALoneCallerOfAFrozenServerIsTimedOut(t *testing.T) {
	f, w := lone(t, "?read_timeout=100ms")
	begun := time.Now()
	redistest.WaitFor(t, longEnough, func() bool { return time.Since(begun) > 90*time.Millisecond }, "time passes")
	f.Hang()
	begun = time.Now()
	_, err := w.share(t.Context(), t, "INCR", "n")
	assert.GreaterOrEqual(t, time.Since(begun), 100*time.Millisecond, "a limit set for an earlier call has cut it short")
	assertFate(t, err, false, true)
	require.Len(t, w.accusations(), 1)
	assert.Equal(t, health.Timeout, w.accusations()[0].Class)
}

func TestALoneCallersErrorReplyIsEvidence(t *testing.T) {
	f, w := lone(t, "")
	f.Fail("READONLY You can't write against a read only replica.")
	_, err := w.share(t.Context(), t, "INCR", "n")
	var reply redis.Error
	require.ErrorAs(t, err, &reply)
	assert.Contains(t, w.classes(), health.Refusing)
	f.Resume()
	require.NoError(t, w.assertEcho(t.Context(), t, 1, ""))
}

func TestWhatIsSaidOfALoneCallOnABrokenConnectionIsTrue(t *testing.T) {
	request := len("*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n")
	for cut := range request + 2 {
		f, w := lone(t, "")
		if cut%2 == 0 {
			f.CutReply("INCR", cut%5)
		} else {
			f.CutRequests(cut)
		}
		_, err := w.share(t.Context(), t, "INCR", "n")
		w.Close()
		f.Close()
		switch {
		case err == nil:
			assert.Equal(t, 1, f.Executed("INCR"), "cut %d", cut)
		case f.Executed("INCR") > 0:
			assert.True(t, node.MaybeExecuted(err), "cut %d: %v", cut, err)
		}
	}
}

func TestALoneCallTakesNoAllocationButForItsReply(t *testing.T) {
	w := watchURL(t, redistest.Start(t).URL(), "")
	set, get := []any{"k", "0123456789"}, []any{"k"}
	ctx := context.Background()
	call := func(cmd string, args []any) func() {
		return func() {
			if _, _, err := w.Do(ctx, cmd, args); err != nil {
				t.Error(err)
			}
		}
	}
	assert.Zero(t, testing.AllocsPerRun(200, call("SET", set)))
	assert.LessOrEqual(t, testing.AllocsPerRun(200, call("GET", get)), 1.0)
}
