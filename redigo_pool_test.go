package fluster_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var poolsAre = map[string]documented{
	"nothing is dialed before the first Get": {holds: func(t *testing.T, p *underTest) {
		p.requireCounts(t, 0, 0)
		giveBack(t, p.borrow(t))
		p.requireCounts(t, 1, 1)
	}},
	"what is given back is lent again, the newest first": {holds: func(t *testing.T, p *underTest) {
		a, b := p.borrow(t), p.borrow(t)
		p.requireCounts(t, 2, 0)
		first, second := idOf(t, a), idOf(t, b)
		require.NotEqual(t, first, second)
		giveBack(t, a, b)
		p.requireCounts(t, 2, 2)
		assert.Equal(t, second, idOf(t, p.borrow(t)))
		assert.Equal(t, first, idOf(t, p.borrow(t)))
		p.requireCounts(t, 2, 0)
	}},
	"a connection that is given back is of no use to who had it": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		giveBack(t, rc, rc)
		p.requireCounts(t, 1, 1)
		_, done := rc.Do("PING")
		_, received := rc.Receive()
		for _, err := range []error{done, rc.Send("PING"), rc.Flush(), received, rc.Err()} {
			assert.EqualError(t, err, "redigo: connection closed")
		}
	}},
	"a context that ends after Get does nothing to the connection": {holds: func(t *testing.T, p *underTest) {
		ctx, cancel := context.WithCancel(t.Context())
		rc, err := p.GetContext(ctx)
		require.NoError(t, err)
		cancel()
		idOf(t, rc)
		giveBack(t, rc)
		p.requireCounts(t, 1, 1)
	}},
	"an idle connection is lent even for a context that is over": {holds: func(t *testing.T, p *underTest) {
		giveBack(t, p.borrow(t))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		rc, err := p.GetContext(ctx)
		require.NoError(t, err)
		giveBack(t, rc)
	}},
	"Close ends what is idle and refuses Get, and lets what is lent go on": {holds: func(t *testing.T, p *underTest) {
		lent, idle := p.borrow(t), p.borrow(t)
		giveBack(t, idle)
		require.NoError(t, p.Close())
		require.NoError(t, p.Close())
		p.requireCounts(t, 1, 0)
		_, err := p.GetContext(t.Context())
		assert.EqualError(t, err, "redigo: get on closed pool")
		assert.EqualError(t, p.Get().Err(), "redigo: get on closed pool")
		idOf(t, lent)
		giveBack(t, lent)
		p.requireCounts(t, 0, 0)
	}},
	"any number of goroutines may borrow at once": {holds: func(t *testing.T, p *underTest) {
		const borrowers, times = 8, 25
		var all sync.WaitGroup
		for range borrowers {
			all.Go(func() {
				for range times {
					rc := p.Get()
					_, err := rc.Do("INCR", "times")
					assert.NoError(t, err)
					assert.NoError(t, rc.Close())
				}
			})
		}
		all.Wait()
		assert.Equal(t, []byte("200"), p.server.Do("GET", "times"))
		assert.LessOrEqual(t, p.ActiveCount(), borrowers)
		assert.Equal(t, p.ActiveCount(), p.IdleCount())
	}},
}

var poolsAreLimited = map[string]documented{
	"more than MaxIdle are closed, the one that was idle longest first": {
		setUp: func(p *redis.Pool) { p.MaxIdle = 2 },
		holds: func(t *testing.T, p *underTest) {
			a, b, c := p.borrow(t), p.borrow(t), p.borrow(t)
			kept := []int64{idOf(t, b), idOf(t, c)}
			giveBack(t, a, b, c)
			p.requireCounts(t, 2, 2)
			assert.ElementsMatch(t, kept, []int64{idOf(t, p.borrow(t)), idOf(t, p.borrow(t))})
		},
	},
	"with MaxIdle zero no idle connection is kept": {
		setUp: func(p *redis.Pool) { p.MaxIdle = 0 },
		holds: func(t *testing.T, p *underTest) {
			giveBack(t, p.borrow(t))
			p.requireCounts(t, 0, 0)
		},
	},
	"MaxActive connections are lent, and then ErrPoolExhausted": {
		setUp: func(p *redis.Pool) { p.MaxActive = 2 },
		holds: func(t *testing.T, p *underTest) {
			a, _ := p.borrow(t), p.borrow(t)
			_, err := p.GetContext(t.Context())
			assert.Equal(t, redis.ErrPoolExhausted, err, "the very value")
			none := p.Get()
			_, err = none.Do("PING")
			assert.Equal(t, redis.ErrPoolExhausted, err)
			require.NoError(t, none.Close())
			p.requireCounts(t, 2, 0)
			giveBack(t, a)
			p.borrow(t)
			p.requireCounts(t, 2, 0)
		},
	},
	"with Wait, who comes too many waits for one that is given back": {
		setUp: func(p *redis.Pool) { p.MaxActive, p.Wait = 2, true },
		holds: func(t *testing.T, p *underTest) {
			var lent atomic.Int32
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					for range 25 {
						rc := p.Get()
						assert.LessOrEqual(t, lent.Add(1), int32(2))
						_, err := rc.Do("PING")
						lent.Add(-1)
						assert.NoError(t, err)
						assert.NoError(t, rc.Close())
					}
				})
			}
			all.Wait()
			assert.LessOrEqual(t, p.ActiveCount(), 2)
		},
	},
	"with Wait, a context that ends ends the wait, with its own error": {
		setUp: func(p *redis.Pool) { p.MaxActive, p.Wait = 1, true },
		holds: func(t *testing.T, p *underTest) {
			rc := p.borrow(t)
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			_, err := p.GetContext(ctx)
			assert.Equal(t, context.DeadlineExceeded, err, "the very value")
			p.requireCounts(t, 1, 0)
			giveBack(t, rc)
			idOf(t, p.borrow(t))
		},
	},
	"what is idle for longer than IdleTimeout is closed by the next Get": {
		setUp: func(p *redis.Pool) { p.IdleTimeout = time.Nanosecond },
		holds: func(t *testing.T, p *underTest) {
			rc := p.borrow(t)
			old := idOf(t, rc)
			giveBack(t, rc)
			assert.NotEqual(t, old, idOf(t, p.borrow(t)))
			p.requireCounts(t, 1, 0)
		},
	},
	"what is older than MaxConnLifetime is closed by the next Get": {
		setUp: func(p *redis.Pool) { p.MaxConnLifetime = time.Nanosecond },
		holds: func(t *testing.T, p *underTest) {
			rc := p.borrow(t)
			old := idOf(t, rc)
			giveBack(t, rc)
			assert.NotEqual(t, old, idOf(t, p.borrow(t)))
			p.requireCounts(t, 1, 0)
		},
	},
	"what is younger than both is kept": {
		setUp: func(p *redis.Pool) { p.IdleTimeout, p.MaxConnLifetime = time.Hour, time.Hour },
		holds: func(t *testing.T, p *underTest) {
			rc := p.borrow(t)
			id := idOf(t, rc)
			giveBack(t, rc)
			assert.Equal(t, id, idOf(t, p.borrow(t)))
		},
	},
	"TestOnBorrow is asked of idle connections with the time they came back, and closes those it refuses": {
		setUp: func(p *redis.Pool) {
			var refuse atomic.Int64
			p.TestOnBorrow = func(rc redis.Conn, back time.Time) error {
				if since := time.Since(back); since < 0 || since > patient {
					return errors.New("this is not when it came back")
				}
				if reply, err := redis.String(rc.Do("GET", "refuse")); err != nil || refuse.Add(1) > 1 {
					return errors.Join(errors.New("refused: "+reply), err)
				}
				return nil
			}
		},
		holds: func(t *testing.T, p *underTest) {
			p.server.Do("SET", "refuse", "from the second on")
			rc := p.borrow(t)
			id := idOf(t, rc)
			giveBack(t, rc)
			again := p.borrow(t)
			require.Equal(t, id, idOf(t, again), "it was asked and said yes")
			giveBack(t, again)
			require.NotEqual(t, id, idOf(t, p.borrow(t)), "it said no; a new one is not asked of")
			p.requireCounts(t, 1, 0)
		},
	},
	"TestOnBorrowContext is given the borrower's context, and is asked beside TestOnBorrow": {
		setUp: func(p *redis.Pool) {
			p.TestOnBorrow = func(rc redis.Conn, _ time.Time) error { return rc.Send("RPUSH", "asked", "TestOnBorrow") }
			p.TestOnBorrowContext = func(ctx context.Context, rc redis.Conn, _ time.Time) error {
				_, err := redis.DoContext(rc, ctx, "RPUSH", "asked", ctx.Value(ctxKey{}))
				return err
			}
		},
		holds: func(t *testing.T, p *underTest) {
			giveBack(t, p.borrow(t))
			rc, err := p.GetContext(context.WithValue(t.Context(), ctxKey{}, "the borrower's"))
			require.NoError(t, err)
			asked, err := redis.Strings(rc.Do("LRANGE", "asked", 0, -1))
			require.NoError(t, err)
			assert.Equal(t, []string{"TestOnBorrow", "the borrower's"}, asked)
			giveBack(t, rc)
		},
	},
}

// ctxKey is where a test's context keeps a value.
type ctxKey struct{}

// errDial is why a dial of a test's own fails.
var errDial = errors.New("no line")

// failIfTold makes dials fail with the error that their context has.
func failIfTold(p *redis.Pool) {
	dial := p.DialContext
	p.DialContext = func(ctx context.Context) (redis.Conn, error) {
		if err, told := ctx.Value(ctxKey{}).(error); told {
			return nil, err
		}
		return dial(ctx)
	}
}

var poolsDial = map[string]documented{
	"DialContext is given the borrower's context, and goes before Dial": {
		usersDial: true,
		setUp: func(p *redis.Pool) {
			dial := p.DialContext
			p.Dial = func() (redis.Conn, error) { return nil, errDial }
			p.DialContext = func(ctx context.Context) (redis.Conn, error) {
				rc, err := dial(ctx)
				if err != nil {
					return nil, err
				}
				if by := ctx.Value(ctxKey{}); by != nil { // a borrower, and not a probe
					_, err = rc.Do("SET", "dialed by", by)
				}
				return rc, err
			}
		},
		holds: func(t *testing.T, p *underTest) {
			rc, err := p.GetContext(context.WithValue(t.Context(), ctxKey{}, "the borrower"))
			require.NoError(t, err)
			giveBack(t, rc)
			assert.Equal(t, []byte("the borrower"), p.server.Do("GET", "dialed by"))
		},
	},
	"Dial serves where there is no DialContext": {
		usersDial: true,
		setUp: func(p *redis.Pool) {
			dial := p.DialContext
			p.DialContext = nil
			p.Dial = func() (redis.Conn, error) { return dial(context.Background()) }
		},
		holds: func(t *testing.T, p *underTest) {
			idOf(t, p.borrow(t))
			p.requireCounts(t, 1, 0)
		},
	},
	// In a cluster the error is a NodeError around the dial's.
	"a dial's error is told by Get and by all that is tried with what it returned": {
		usersDial: true,
		setUp:     failIfTold,
		holds: func(t *testing.T, p *underTest) {
			rc, got := p.GetContext(context.WithValue(t.Context(), ctxKey{}, errDial))
			_, done := rc.Do("PING")
			_, limited := redis.DoWithTimeout(rc, time.Second, "PING")
			_, within := redis.DoContext(rc, t.Context(), "PING")
			_, received := rc.Receive()
			for _, err := range []error{got, rc.Err(), done, limited, within, rc.Send("PING"), rc.Flush(), received} {
				assert.ErrorIs(t, err, errDial)
				p.assertFailed(t, err, false)
			}
			require.NoError(t, rc.Close())
			p.requireCounts(t, 0, 0)
		},
	},
	"a dial that failed takes no place of MaxActive": {
		usersDial: true,
		setUp: func(p *redis.Pool) {
			p.MaxActive, p.Wait = 1, true
			failIfTold(p)
		},
		holds: func(t *testing.T, p *underTest) {
			for range 2 { // a third in a row would put a node out
				_, err := p.GetContext(context.WithValue(t.Context(), ctxKey{}, errDial))
				require.ErrorIs(t, err, errDial)
			}
			idOf(t, p.borrow(t))
			p.requireCounts(t, 1, 0)
		},
	},
	// In a cluster the error is a NodeError around it.
	"a context that is over ends the dial": {holds: func(t *testing.T, p *underTest) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := p.GetContext(ctx)
		assert.ErrorIs(t, err, context.Canceled)
		p.assertFailed(t, err, false)
		p.requireCounts(t, 0, 0)
	}},
}
