package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// crowd calls f from many goroutines at once, until it has been called often.
func crowd(goroutines, calls int, f func(i int)) {
	var wg sync.WaitGroup
	var next atomic.Int64
	for range goroutines {
		wg.Go(func() {
			for i := int(next.Add(1)); i <= calls; i = int(next.Add(1)) {
				f(i)
			}
		})
	}
	wg.Wait()
}

// share runs a command as callers of the cluster do.
func (w *watched) share(ctx context.Context, t testing.TB, cmd string, args ...any) (any, error) {
	reply, shared, err := w.Do(ctx, cmd, args)
	if !shared {
		t.Error("the command cannot be shared")
	}
	return reply, err
}

// assertEcho asks for a reply that nobody else gets.
func (w *watched) assertEcho(ctx context.Context, t testing.TB, i int, padding string) error {
	want := fmt.Sprint("nonce ", i, padding)
	got, err := redis.String(w.share(ctx, t, "ECHO", want))
	if err == nil {
		assert.Equal(t, want, got, "another call's reply")
	}
	return err
}

func TestManyCallersOfOneConnectionEachGetTheirOwnReply(t *testing.T) {
	redistest.NoLeaks(t)
	ca := redistest.NewCA(t)
	secure := redistest.StartTLS(t, ca, ca.Server())
	plain := redistest.Start(t)
	for name, w := range map[string]*watched{
		"plain": watchURL(t, plain.URL(), ""),
		"TLS":   watchURL(t, secure.URL(), "?read_timeout=30s&write_timeout=30s&dial_timeout=30s&"+trusting(t, secure)),
	} {
		t.Run(name, func(t *testing.T) {
			big := strings.Repeat("x", 12<<10)
			crowd(512, 20_000, func(i int) {
				padding := ""
				if i%50 == 0 {
					padding = big
				}
				assert.NoError(t, w.assertEcho(t.Context(), t, i, padding))
			})
			assert.Less(t, w.Pool().ActiveCount(), 128, "callers take connections of the pool")
			w.Close()
		})
	}
}

func TestACallerWhoLeavesTakesNobodyElsesReply(t *testing.T) {
	redistest.NoLeaks(t)
	w := watchURL(t, redistest.Start(t).URL(), "")
	var left atomic.Int64
	crowd(64, 20_000, func(i int) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(rand.IntN(400))*time.Microsecond)
		defer cancel()
		if err := w.assertEcho(ctx, t, i, ""); err != nil {
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			left.Add(1)
		}
	})
	assert.Positive(t, left.Load(), "nobody left")
	crowd(64, 1000, func(i int) { assert.NoError(t, w.assertEcho(t.Context(), t, i, "")) })
	assert.Empty(t, w.accusations())
	w.Close()
}

// gather has n callers run INCR at once over a shared connection to a fake that
// hangs, and returns what waits for their errors.
func gather(t *testing.T, w *watched, f *redistest.Fake, n int) func() []error {
	t.Helper()
	f.Hang()
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { _, errs[i] = w.share(t.Context(), t, "INCR", "n") })
	}
	return func() []error {
		wg.Wait()
		return errs
	}
}

// warmUp makes callers share a connection from now on.
func warmUp(t testing.TB, w *watched) {
	t.Helper()
	crowd(16, 200, func(int) {
		_, err := w.share(context.Background(), t, "PING")
		assert.NoError(t, err)
	})
}

func TestWhatIsSaidOfACallOnABrokenSharedConnectionIsTrue(t *testing.T) {
	redistest.NoLeaks(t)
	request := len("*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n")
	const callers = 8
	var allMaybe, allSafe int64
	for cut := range request*callers + 1 {
		f := redistest.NewFake(t)
		w := watchURL(t, "redis://"+f.Addr(), "")
		warmUp(t, w)
		if cut%2 == 0 {
			f.CutReply("INCR", cut%5)
		} else {
			f.CutRequests(cut)
		}
		var ok, maybe, safe atomic.Int64
		crowd(callers, callers, func(int) {
			_, err := w.share(t.Context(), t, "INCR", "n")
			switch {
			case err == nil:
				ok.Add(1)
			case node.MaybeExecuted(err):
				maybe.Add(1)
			default:
				assert.True(t, node.SafeToRetry(err), err)
				safe.Add(1)
			}
		})
		executed := int64(f.Executed("INCR"))
		require.GreaterOrEqual(t, executed, ok.Load(), "cut %d", cut)
		require.LessOrEqual(t, executed, ok.Load()+maybe.Load(), "cut %d: a call that was safe to retry ran", cut)
		allMaybe, allSafe = allMaybe+maybe.Load(), allSafe+safe.Load()
		w.Close()
		f.Close()
	}
	assert.Positive(t, allMaybe, "no call was cut")
	t.Log(allMaybe, "calls may have run,", allSafe, "cannot")
}

func TestAFrozenServersCallersAreTimedOut(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	w := watchURL(t, "redis://"+f.Addr(), "?read_timeout=100ms")
	warmUp(t, w)
	for _, err := range gather(t, w, f, 32)() {
		require.Error(t, err)
		var late interface{ Timeout() bool }
		assert.True(t, errors.As(err, &late) && late.Timeout(), err)
	}
	assert.GreaterOrEqual(t, len(w.accusations()), 3, "a stall of many calls is as good as many time-outs")
	for _, ev := range w.accusations() {
		assert.Equal(t, health.Timeout, ev.Class)
	}
	w.Close()
}

func TestCallersOfANodeThatIsPenalizedAreCutLoose(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	w := watchURL(t, "redis://"+f.Addr(), "")
	warmUp(t, w)
	wait := gather(t, w, f, 32)
	redistest.WaitFor(t, longEnough, func() bool { return f.Received("INCR") > 0 }, "no call came")
	cause := errors.New("it is frozen")
	w.SetState(silent(cause))
	w.Sever()
	for _, err := range wait() {
		require.ErrorIs(t, err, cause)
	}
	assert.Empty(t, w.accusations())
	w.Close()
}

func TestCloseEndsSharedCalls(t *testing.T) {
	redistest.NoLeaks(t)
	w := watchURL(t, redistest.Start(t).URL(), "")
	var closing sync.Once
	var after atomic.Int64
	crowd(64, 20_000, func(i int) {
		if i == 5000 {
			closing.Do(w.Close)
		}
		if err := w.assertEcho(t.Context(), t, i, ""); err != nil {
			assert.ErrorIs(t, err, node.ErrClosed)
			after.Add(1)
		}
	})
	assert.Greater(t, after.Load(), int64(10_000))
	assert.Empty(t, w.accusations())
}

func TestAKilledServersSharedCallsFailAndComeBack(t *testing.T) {
	redistest.NoLeaks(t)
	s := redistest.Start(t)
	w := watchURL(t, s.URL(), "")
	warmUp(t, w)
	var failed atomic.Int64
	crowd(64, 5000, func(i int) {
		if i == 1000 {
			s.Kill()
		}
		if w.assertEcho(t.Context(), t, i, "") != nil {
			failed.Add(1)
		}
	})
	assert.Positive(t, failed.Load())
	s.Restart()
	crowd(64, 1000, func(i int) { assert.NoError(t, w.assertEcho(t.Context(), t, i, "")) })
	w.Close()
}

func TestACallerWhoseContextEndsIsLetGoByAFrozenServer(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	w := watchURL(t, "redis://"+f.Addr(), "")
	warmUp(t, w)
	f.Hang()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			err := w.assertEcho(ctx, t, i, "")
			assert.ErrorIs(t, err, context.Canceled)
		})
	}
	redistest.WaitFor(t, longEnough, func() bool { return f.Received("ECHO") > 0 }, "no call came")
	cancel()
	wg.Wait()
	f.Resume()
	crowd(64, 500, func(i int) { assert.NoError(t, w.assertEcho(t.Context(), t, 1000+i, "")) })
	w.Close()
}

func TestLargeCommandsAndUsersPoolsAreNotShared(t *testing.T) {
	s := redistest.Start(t)
	w := watchURL(t, s.URL(), "")
	_, shared, err := w.Do(t.Context(), "SET", []any{"k", strings.Repeat("x", 70<<10)})
	require.NoError(t, err)
	assert.False(t, shared)
	_, shared, err = watchPool(t, s.Pool(unhurried)).Do(t.Context(), "GET", []any{"k"})
	require.NoError(t, err)
	assert.False(t, shared)
}

func TestAnErrorReplyOverASharedConnectionIsTheCallersAndEvidence(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	w := watchURL(t, "redis://"+f.Addr(), "")
	warmUp(t, w)
	f.Fail("READONLY You can't write against a read only replica.")
	crowd(32, 32, func(int) {
		_, err := w.share(t.Context(), t, "INCR", "n")
		var reply redis.Error
		assert.ErrorAs(t, err, &reply)
	})
	f.Resume()
	assert.Contains(t, w.classes(), health.Refusing)
	crowd(32, 320, func(i int) { assert.NoError(t, w.assertEcho(t.Context(), t, i, "")) })
	w.Close()
}

func TestCallsDoNotShareWhileRepliesAreLarge(t *testing.T) {
	redistest.NoLeaks(t)
	s := redistest.Start(t)
	w := watchURL(t, s.URL(), "")
	large := strings.Repeat("x", 1<<20)
	s.Do("SET", "large", large)
	warmUp(t, w)
	crowd(16, 200, func(int) {
		got, err := redis.String(w.share(t.Context(), t, "GET", "large"))
		assert.NoError(t, err)
		assert.Len(t, got, len(large))
	})
	clients, err := redis.String(s.Do("CLIENT", "LIST"), nil)
	require.NoError(t, err)
	assert.Greater(t, strings.Count(clients, "cmd=get"), 3, "large replies stand in one line")
	w.Close()
}

func TestASharedConnectionOutlivesItsTimeLimitWhileNothingIsDue(t *testing.T) {
	redistest.NoLeaks(t)
	const limit = 300 * time.Millisecond
	ca := redistest.NewCA(t)
	secure, plain := redistest.StartTLS(t, ca, ca.Server()), redistest.Start(t)
	for name, w := range map[string]*watched{
		"plain": watchURL(t, plain.URL(), "?read_timeout=300ms"),
		"TLS":   watchURL(t, secure.URL(), "?read_timeout=300ms&"+trusting(t, secure)),
	} {
		t.Run(name, func(t *testing.T) {
			_ = w.busiest(t)
			outlives := func() bool { // one that a busy machine holds up is replaced, too
				before, begun := w.busiest(t), time.Now()
				redistest.WaitFor(t, longEnough, func() bool { return time.Since(begun) > 3*limit }, "time passes")
				return before == w.busiest(t)
			}
			redistest.WaitFor(t, longEnough, outlives, "a shared connection outlives its limit")
			assert.Empty(t, w.accusations())
			w.Close()
		})
	}
}

// busiest returns the server's number for the connection that most of many calls
// go over.
func (w *watched) busiest(t testing.TB) (busiest int64) {
	var mu sync.Mutex
	calls := make(map[int64]int)
	crowd(32, 2000, func(int) {
		id, err := redis.Int64(w.share(t.Context(), t, "CLIENT", "ID"))
		assert.NoError(t, err)
		mu.Lock()
		defer mu.Unlock()
		if calls[id]++; calls[id] > calls[busiest] {
			busiest = id
		}
	})
	return busiest
}
