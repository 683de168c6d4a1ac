package node_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// closing closes the node and returns what waits for the end of that.
func (w *watched) closing() (wait func(t testing.TB) error) {
	return background(func() error { w.Close(); return nil })
}

// awaitRefusal waits until new calls are refused.
func (w *watched) awaitRefusal(t *testing.T) {
	t.Helper()
	redistest.WaitFor(t, longEnough, func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, _, err := w.Do(ctx, "PING", nil)
		return assert.ErrorIs(new(testing.T), err, node.ErrClosed)
	}, "calls go on")
}

func TestCloseLetsCallsUnderWayHaveTheirReplies(t *testing.T) {
	for name, callers := range map[string]int{"alone": 1, "shared": 32} {
		t.Run(name, func(t *testing.T) {
			redistest.NoLeaks(t)
			f := redistest.NewFake(t)
			w := watchURL(t, "redis://"+f.Addr(), "")
			if callers > 1 {
				warmUp(t, w)
			} else {
				_, err := w.share(t.Context(), t, "PING")
				require.NoError(t, err)
			}
			wait := gather(t, w, f, callers)
			redistest.WaitFor(t, longEnough, func() bool { return f.Received("INCR") > 0 }, "no call came")
			closed := w.closing()
			w.awaitRefusal(t)
			f.Resume()
			for _, err := range wait() {
				if err != nil { // it had not begun
					require.ErrorIs(t, err, node.ErrClosed)
					require.True(t, node.SafeToRetry(err))
					callers--
				}
			}
			assert.Equal(t, callers, f.Executed("INCR"))
			assert.Positive(t, callers)
			require.NoError(t, closed(t))
			assert.Empty(t, w.accusations())
		})
	}
}

func TestCloseDoesNotWaitForAServerThatIsFrozen(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	w := watchURL(t, "redis://"+f.Addr(), "?read_timeout=0s") // so no call would end by itself
	warmUp(t, w)
	wait := gather(t, w, f, 32)
	redistest.WaitFor(t, longEnough, func() bool { return f.Received("INCR") > 0 }, "no call came")
	require.NoError(t, w.closing()(t))
	for _, err := range wait() {
		require.ErrorIs(t, err, node.ErrClosed)
	}
	assert.Empty(t, w.accusations())
}

func TestCloseWaitsForNobodyWhoIsRefused(t *testing.T) {
	redistest.NoLeaks(t)
	w := watchURL(t, redistest.Start(t).URL(), "?read_timeout=1h")
	warmUp(t, w)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 32 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _, _ = w.Do(context.Background(), "PING", nil)
				}
			}
		})
	}
	require.NoError(t, w.closing()(t))
	close(stop)
	wg.Wait()
}

func TestOnlyCallsInFlightFailWhenAServerIsKilled(t *testing.T) {
	redistest.NoLeaks(t)
	const callers = 64
	s := redistest.Start(t)
	w := watchURL(t, s.URL(), "")
	warmUp(t, w)
	var calls, inFlight atomic.Int64
	var told atomic.Bool // some caller knows that the server is gone
	var wg sync.WaitGroup
	for i := range callers {
		wg.Go(func() {
			for {
				calls.Add(1)
				late := told.Load()
				err := w.assertEcho(context.Background(), t, i, "")
				if err == nil {
					continue
				}
				told.Store(true)
				if !node.MaybeExecuted(err) {
					assert.True(t, node.SafeToRetry(err), err)
					return
				}
				assert.False(t, late, "a call went to a connection that was known to be broken: %v", err)
				inFlight.Add(1)
			}
		})
	}
	redistest.WaitFor(t, longEnough, func() bool { return calls.Load() > 1000 }, "no calls")
	s.Kill()
	wg.Wait()
	assert.LessOrEqual(t, inFlight.Load(), int64(callers), "some caller failed twice")
}
