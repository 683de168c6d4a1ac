package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestACallWhoseContextIsOverSendsNothingAndLeavesTheConnectionGood(t *testing.T) {
	const calls = 3000
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		rc := w.borrow(t)
		cancelled, cancel := context.WithCancel(t.Context())
		cancel()
		expired, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
		defer cancel()
		for range calls / 2 {
			for _, ctx := range []context.Context{cancelled, expired} {
				_, err := redis.DoContext(rc, ctx, "INCR", "n")
				require.ErrorIs(t, err, ctx.Err())
				require.True(t, node.SafeToRetry(err))
			}
		}
		_, err := redis.ReceiveContext(rc, cancelled)
		require.ErrorIs(t, err, context.Canceled)
		requireHealthy(t, rc, 1)
		require.NoError(t, rc.Close())
		requireHealthy(t, w.borrow(t), 2)
		assert.Zero(t, f.Received("INCR"))
		assert.Equal(t, 1, f.Accepted())
		assert.Empty(t, w.all())
	})
}

func TestWhatIsDueBeforeACallWhoseContextIsOverIsStillDueAfterIt(t *testing.T) {
	onBothDialers(t, func(t *testing.T, _ *redistest.Fake, w *watched) {
		rc := w.borrow(t)
		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.NoError(t, rc.Send("ECHO", "one"))
		require.Error(t, second(redis.DoContext(rc, over, "ECHO", "two")))
		replies, err := redis.Strings(rc.Do(""))
		require.NoError(t, err)
		assert.Equal(t, []string{"one"}, replies)
		requireHealthy(t, rc, 1)
	})
}

// hangingCalls are calls with a context that wait for a reply that does not come.
var hangingCalls = map[string]func(ctx context.Context, rc redis.Conn) error{
	"DoContext": func(ctx context.Context, rc redis.Conn) error { return second(redis.DoContext(rc, ctx, "GET", "k")) },
	"DoContext behind what was sent": func(ctx context.Context, rc redis.Conn) error {
		return errors.Join(rc.Send("GET", "k"), second(redis.DoContext(rc, ctx, "GET", "k")))
	},
	"ReceiveContext": func(ctx context.Context, rc redis.Conn) error {
		return errors.Join(sendGet(rc), second(redis.ReceiveContext(rc, ctx)))
	},
	"a script": func(ctx context.Context, rc redis.Conn) error {
		return second(redis.NewScript(0, "return 1").DoContext(ctx, rc))
	},
	"a subscription": func(ctx context.Context, rc redis.Conn) error {
		psc := redis.PubSubConn{Conn: rc}
		if err := psc.Subscribe("channel"); err != nil {
			return err
		}
		err, _ := psc.ReceiveContext(ctx).(error)
		return err
	},
}

// heeded is a context that tells when somebody waits for its end.
type heeded struct {
	context.Context
	by atomic.Bool
}

func (c *heeded) Done() <-chan struct{} {
	c.by.Store(true)
	return c.Context.Done()
}

func TestAContextThatEndsUnderACallEndsItAndItsConnection(t *testing.T) {
	for name, call := range hangingCalls {
		t.Run(name, func(t *testing.T) {
			onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
				rc := w.borrow(t)
				f.Hang()
				ends, cancel := context.WithCancel(t.Context())
				ctx := &heeded{Context: ends}
				result := background(func() error { return call(ctx, rc) })
				redistest.WaitFor(t, longEnough, func() bool { return f.Received("") > 1 && ctx.by.Load() },
					"the command is sent, and the call that waits for its reply has begun")
				cancel()
				err := result(t)
				require.ErrorIs(t, err, context.Canceled)
				assert.True(t, node.MaybeExecuted(err))
				assert.Equal(t, []health.Class{health.Ask}, w.classes())
				assert.ErrorIs(t, rc.Err(), context.Canceled)
				_ = rc.Close()
				f.Resume()
				requireHealthy(t, w.borrow(t), 1)
				assert.Equal(t, 2, f.Accepted(), "the connection was dropped")
			})
		})
	}
}

func TestADeadlineThatPassesUnderACallIsTheCallersAndNotTheNodes(t *testing.T) {
	for name, call := range hangingCalls {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := redistest.NewPipeFake(t)
				w := watchPool(t, f.Pool(unhurried))
				rc := w.dialed(t)
				f.Hang()
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				begun := time.Now()
				err := call(ctx, rc)
				assert.Equal(t, time.Second, time.Since(begun))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				var typed *node.Error
				require.ErrorAs(t, err, &typed)
				assert.True(t, typed.Timeout())
				assert.Equal(t, []health.Class{health.Ask}, w.classes())
				assert.Error(t, rc.Err())
			})
		})
	}
}

func TestAConnectionsOwnTimeoutBeforeTheContextsDeadlineIsTheNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := redistest.NewPipeFake(t)
		w := watchPool(t, f.Pool(redistest.PoolOptions{Read: time.Second}))
		rc := w.dialed(t)
		f.Hang()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := redis.DoContext(rc, ctx, "GET", "k")
		var typed *node.Error
		require.ErrorAs(t, err, &typed)
		assert.True(t, typed.Timeout())
		assert.NotErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, []health.Class{health.Timeout}, w.classes())
	})
}

// The reply and the end of the context meet. Whoever wins, no reply may be left
// for the connection's next user.
func TestAContextThatEndsAsTheReplyArrivesNeverShiftsReplies(t *testing.T) {
	const workers, rounds = 4, 400
	onBothDialers(t, func(t *testing.T, _ *redistest.Fake, w *watched) {
		var replied, ended atomic.Int64
		var all sync.WaitGroup
		for worker := range workers {
			all.Go(func() {
				usual := 50 * time.Microsecond // what a call takes
				for round := range rounds {
					begun := time.Now()
					if echoWithin(t, w.Pool(), usual/2+rand.N(usual), fmt.Sprint(worker, ":", round)) {
						replied.Add(1)
						usual = (7*usual + time.Since(begun)) / 8
					} else {
						ended.Add(1)
						usual = min(usual*9/8, time.Second)
					}
				}
			})
		}
		all.Wait()
		assert.NotZero(t, replied.Load(), "no reply was in time")
		assert.NotZero(t, ended.Load(), "no context ended in time")
		requireHealthy(t, w.borrow(t), "last")
		assert.Empty(t, w.accusations())
	})
}

// echoWithin asks a pooled connection for an echo under a context that ends
// after limit, and reports whether it came.
func echoWithin(t *testing.T, pool *redis.Pool, limit time.Duration, nonce string) bool {
	rc := pool.Get()
	defer rc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	got, err := redis.String(redis.DoContext(rc, ctx, "ECHO", nonce))
	if err != nil {
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		return false
	}
	assert.Equal(t, nonce, got, "another caller's reply")
	return true
}
