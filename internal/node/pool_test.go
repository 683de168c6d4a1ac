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

// poolHabits are what a pool's fields mean in redigo. Each sets up an unused
// pool, uses it, and writes down what happens. They run under fake time.
var poolHabits = map[string]struct {
	setUp func(p *redis.Pool, tr *transcript)
	use   func(p *redis.Pool, tr *transcript)
}{
	"MaxIdle": {
		func(p *redis.Pool, _ *transcript) { p.MaxIdle = 2 },
		func(p *redis.Pool, tr *transcript) {
			a, b, c := p.Get(), p.Get(), p.Get()
			tr.figures(p)
			for _, rc := range []redis.Conn{a, b, c} {
				tr.note(rc.Do("PING"))
				tr.note(nil, rc.Close())
				tr.figures(p)
			}
		},
	},
	"MaxActive": {
		func(p *redis.Pool, _ *transcript) { p.MaxActive = 2 },
		func(p *redis.Pool, tr *transcript) {
			a, b, c := p.Get(), p.Get(), p.Get()
			tr.note(errors.Is(c.Err(), redis.ErrPoolExhausted), nil)
			tr.note(errors.Is(second(c.Do("PING")), redis.ErrPoolExhausted), nil)
			tr.note(nil, c.Close())
			tr.note(nil, b.Close())
			tr.note(p.Get().Do("PING"))
			tr.figures(p)
			tr.note(nil, a.Close())
		},
	},
	"MaxActive after a dial that failed": {
		func(p *redis.Pool, _ *transcript) {
			p.MaxActive = 1
			p.DialContext = failingFirst(p.DialContext)
		},
		func(p *redis.Pool, tr *transcript) {
			tr.note(nil, p.Get().Err())
			tr.note(p.Get().Do("PING"))
			tr.figures(p)
		},
	},
	"Wait": {
		func(p *redis.Pool, _ *transcript) { p.MaxActive, p.Wait = 1, true },
		func(p *redis.Pool, tr *transcript) {
			a := p.Get()
			ctx, cancel := context.WithTimeout(context.Background(), time.Second)
			defer cancel()
			_, err := p.GetContext(ctx)
			tr.note(errors.Is(err, context.DeadlineExceeded), nil)
			time.AfterFunc(time.Second, func() { _ = a.Close() })
			b, err := p.GetContext(context.Background())
			tr.note(nil, err)
			tr.note(b.Do("PING"))
			tr.note(p.Stats().WaitCount, nil)
			tr.note(p.Stats().WaitDuration, nil)
			tr.figures(p)
			tr.note(nil, b.Close())
		},
	},
	"IdleTimeout": {
		func(p *redis.Pool, _ *transcript) { p.IdleTimeout = time.Minute },
		func(p *redis.Pool, tr *transcript) { tr.ages(p, 30*time.Second, time.Minute, time.Minute+1, time.Hour) },
	},
	"MaxConnLifetime": {
		func(p *redis.Pool, _ *transcript) { p.MaxConnLifetime = time.Minute },
		func(p *redis.Pool, tr *transcript) {
			tr.ages(p, 30*time.Second, 30*time.Second, 30*time.Second, time.Hour)
		},
	},
	"TestOnBorrow": {
		func(p *redis.Pool, tr *transcript) {
			p.TestOnBorrow = func(rc redis.Conn, lastUsed time.Time) error {
				tr.note(time.Since(lastUsed), nil)
				tr.note(rc.Do("PING"))
				if time.Since(lastUsed) > time.Minute {
					return errors.New("too old")
				}
				return nil
			}
		},
		func(p *redis.Pool, tr *transcript) { tr.ages(p, 30*time.Second, 2*time.Minute, 0) },
	},
	"TestOnBorrowContext": {
		func(p *redis.Pool, tr *transcript) {
			p.TestOnBorrowContext = func(ctx context.Context, rc redis.Conn, lastUsed time.Time) error {
				tr.note(ctx.Value(ctxKey{}), nil)
				tr.note(redis.DoContext(rc, ctx, "PING"))
				if time.Since(lastUsed) > time.Minute {
					return errors.New("too old")
				}
				return nil
			}
		},
		func(p *redis.Pool, tr *transcript) { tr.ages(p, 30*time.Second, 2*time.Minute, 0) },
	},
	"Dial without a context": {
		func(p *redis.Pool, _ *transcript) {
			dial := p.DialContext
			p.DialContext = nil
			p.Dial = func() (redis.Conn, error) { return dial(context.Background()) }
		},
		func(p *redis.Pool, tr *transcript) { tr.ages(p, 0, 0) },
	},
	"what is lent in a special state": {
		func(*redis.Pool, *transcript) {},
		func(p *redis.Pool, tr *transcript) {
			rc := p.Get()
			tr.note(nil, rc.Send("ECHO", "never received"))
			tr.note(nil, rc.Close())
			tr.figures(p)
			tr.ages(p, 0)
		},
	},
}

// ctxKey is where a test's context keeps a value.
type ctxKey struct{}

// figures writes down how many connections a pool has.
func (tr *transcript) figures(p *redis.Pool) {
	tr.note(fmt.Sprint(p.ActiveCount(), " active, ", p.IdleCount(), " idle"), nil)
}

// ages borrows a connection, once for each pause before.
func (tr *transcript) ages(p *redis.Pool, pauses ...time.Duration) {
	ctx := context.WithValue(context.Background(), ctxKey{}, "the borrower's")
	for _, pause := range append([]time.Duration{0}, pauses...) {
		time.Sleep(pause)
		rc, err := p.GetContext(ctx)
		tr.note(nil, err)
		tr.note(rc.Do("INCR", "uses"))
		tr.note(nil, rc.Close())
		tr.figures(p)
	}
}

// failingFirst is a dial function that fails once.
func failingFirst(dial func(context.Context) (redis.Conn, error)) func(context.Context) (redis.Conn, error) {
	var tried atomic.Bool
	return func(ctx context.Context) (redis.Conn, error) {
		if !tried.Swap(true) {
			return nil, errors.New("not yet")
		}
		return dial(ctx)
	}
}

func TestAPoolsFieldsMeanWhatTheyMeanInRedigo(t *testing.T) {
	for name, habit := range poolHabits {
		t.Run(name, func(t *testing.T) {
			run := func(wrap func(testing.TB, *redis.Pool)) (tr transcript, accepted int) {
				synctest.Test(t, func(t *testing.T) {
					f := redistest.NewPipeFake(t)
					p := f.Pool(unhurried)
					habit.setUp(p, &tr)
					wrap(t, p)
					habit.use(p, &tr)
					require.NoError(t, p.Close())
					accepted = f.Accepted()
				})
				return tr, accepted
			}
			want, wantAccepted := run(func(testing.TB, *redis.Pool) {})
			got, gotAccepted := run(func(t testing.TB, p *redis.Pool) { watchPool(t, p) })
			assert.NotEmpty(t, want)
			assert.Equal(t, want, got)
			assert.Equal(t, wantAccepted, gotAccepted, "connections dialed")
		})
	}
}

func TestTheSettingsOfAURLAreThoseOfItsPool(t *testing.T) {
	p := urlPool(t, "redis://h", "?max_idle=3&pool_size=7&pool_wait=true&idle_timeout=1m&max_lifetime=1h")
	watchPool(t, p)
	assert.Equal(t, 3, p.MaxIdle)
	assert.Equal(t, 7, p.MaxActive)
	assert.True(t, p.Wait)
	assert.Equal(t, time.Minute, p.IdleTimeout)
	assert.Equal(t, time.Hour, p.MaxConnLifetime)
}

func TestIdleConnectionsOfBeforeAPenaltyAreNeverUsedAgain(t *testing.T) {
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		fill(t, w.Pool(), 5)
		lent := w.borrow(t)
		for generation, st := range []health.State{
			{Generation: 1, Cause: errors.New("refuses")}, // out, but not silent: lent connections go on
			{Generation: 1, Live: true},
		} {
			w.SetState(st)
			w.Sever()
			requireHealthy(t, lent, generation)
		}
		require.Equal(t, 5, f.Accepted())
		requireHealthy(t, w.borrow(t), "new")
		assert.Equal(t, 6, f.Accepted(), "the idle connections were not used")
		require.NoError(t, lent.Close())
		requireHealthy(t, w.borrow(t), "newer")
		assert.Equal(t, 7, f.Accepted(), "nor was the one that was lent")
	})
}

func TestANodeThatIsSilentIsNotDialed(t *testing.T) {
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		fill(t, w.Pool(), 3)
		cause := errors.New("found silent")
		w.SetState(silent(cause))
		w.Sever()
		_, err := w.Pool().GetContext(t.Context())
		assert.ErrorIs(t, err, cause)
		assert.True(t, node.SafeToRetry(err))
		assert.Equal(t, 3, f.Accepted())
		w.SetState(health.State{Live: true, Generation: 1})
		requireHealthy(t, w.borrow(t), 1)
		assert.Equal(t, 4, f.Accepted())
	})
}

func TestAClosedNodeLendsAndDialsNothing(t *testing.T) {
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		fill(t, w.Pool(), 3)
		lent := w.borrow(t)
		f.Hang()
		waits := background(func() error { return second(lent.Do("GET", "k")) })
		redistest.WaitFor(t, longEnough, func() bool { return f.Received("GET") > 0 }, "the command is sent")
		for range 3 {
			w.Close()
			for range 5 {
				_, err := w.Pool().GetContext(t.Context())
				require.ErrorIs(t, err, node.ErrClosed)
				require.True(t, node.SafeToRetry(err))
				rc := w.Pool().Get()
				require.ErrorIs(t, second(rc.Do("PING")), node.ErrClosed)
				require.NoError(t, rc.Close())
			}
		}
		require.ErrorIs(t, waits(t), node.ErrClosed)
		require.ErrorIs(t, lent.Err(), node.ErrClosed)
		_ = lent.Close()
		assert.Equal(t, 3, f.Accepted(), "no dial")
		assert.Zero(t, w.Pool().ActiveCount())
		f.Resume()
		redistest.WaitFor(t, longEnough, func() bool { return f.Conns() == 0 }, "all connections are closed")
		assert.Empty(t, w.accusations())
	})
}

// In redigo, Pool.Close makes those who wait with a context that ends panic.
func TestRow48ClosingANodeWithWaitersPanicsNobody(t *testing.T) {
	const rounds, waiters = 100, 50
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	for range rounds {
		w := watchPool(t, f.Pool(redistest.PoolOptions{MaxActive: 2, Wait: true}))
		lent := []redis.Conn{w.borrow(t), w.borrow(t)}
		var all sync.WaitGroup
		for range waiters {
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), rand.N(2*time.Millisecond))
				defer cancel()
				rc, err := w.Pool().GetContext(ctx)
				if err != nil {
					assert.True(t, errors.Is(err, node.ErrClosed) || errors.Is(err, context.DeadlineExceeded), "%v", err)
					return
				}
				_ = rc.Close()
			})
		}
		all.Go(w.Close)
		all.Go(func() { _ = lent[0].Close() })
		all.Go(func() { _ = lent[1].Close() })
		all.Wait()
		accepted := f.Accepted()
		require.ErrorIs(t, w.Pool().Get().Err(), node.ErrClosed)
		require.Equal(t, accepted, f.Accepted(), "no dial after Close")
	}
}

func TestClosingUnderLoadFailsCallsAndNothingElse(t *testing.T) {
	const callers = 8
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		var all sync.WaitGroup
		var calls atomic.Int64
		for caller := range callers {
			all.Go(func() {
				for i := 0; ; i++ {
					nonce := fmt.Sprint(caller, ":", i)
					rc := w.Pool().Get()
					got, err := redis.String(rc.Do("ECHO", nonce))
					_ = rc.Close()
					if err != nil {
						assert.ErrorIs(t, err, node.ErrClosed)
						return
					}
					assert.Equal(t, nonce, got)
					calls.Add(1)
				}
			})
		}
		redistest.WaitFor(t, longEnough, func() bool { return calls.Load() > 100 }, "calls are made")
		w.Close()
		all.Wait()
		assert.Empty(t, w.accusations())
		assert.Zero(t, w.Pool().ActiveCount())
		redistest.WaitFor(t, longEnough, func() bool { return f.Conns() == 0 }, "all connections are closed")
	})
}
