package node_test

import (
	"context"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// panicking are replies that redigo's reader panics on.
var panicking = map[string]string{
	"a bulk string": "$9223372036854775807\r\n",
	"an array":      "*9223372036854775807\r\n",
	"in an array":   "*2\r\n:1\r\n*1\r\n$9223372036854775807\r\n",
}

// readings are the ways to come by a reply.
var readings = map[string]func(rc redis.Conn) error{
	"Do":            func(rc redis.Conn) error { return second(rc.Do("INCR", "k")) },
	"DoWithTimeout": func(rc redis.Conn) error { return second(redis.DoWithTimeout(rc, ample, "INCR", "k")) },
	"DoContext":     func(rc redis.Conn) error { return second(redis.DoContext(rc, context.Background(), "INCR", "k")) },
	"DoContext with a limit": func(rc redis.Conn) error {
		return second(redis.DoContext(rc, node.WithReadLimit(context.Background(), ample), "INCR", "k"))
	},
	"DoContext that may end": func(rc redis.Conn) error {
		ctx, cancel := context.WithTimeout(context.Background(), ample)
		defer cancel()
		return second(redis.DoContext(rc, ctx, "INCR", "k"))
	},
	"Do for all that was sent": sending(func(rc redis.Conn) error { return second(rc.Do("")) }),
	"Do behind what was sent":  sending(func(rc redis.Conn) error { return second(rc.Do("PING")) }),
	"Receive":                  sending(func(rc redis.Conn) error { return second(rc.Receive()) }),
	"ReceiveWithTimeout":       sending(func(rc redis.Conn) error { return second(redis.ReceiveWithTimeout(rc, ample)) }),
	"ReceiveContext": sending(func(rc redis.Conn) error {
		return second(redis.ReceiveContext(rc, context.Background()))
	}),
}

// sending sends two commands before it reads.
func sending(read func(rc redis.Conn) error) func(rc redis.Conn) error {
	return func(rc redis.Conn) error {
		for range 2 {
			if err := rc.Send("INCR", "k"); err != nil {
				return err
			}
		}
		if err := rc.Flush(); err != nil {
			return err
		}
		return read(rc)
	}
}

func TestAPanicOfRedigosReaderIsAnErrorOfItsConnection(t *testing.T) {
	f := redistest.NewFake(t)
	for what, raw := range panicking {
		for how, read := range readings {
			t.Run(what+", "+how, func(t *testing.T) {
				w := watchPool(t, f.Pool(unhurried))
				rc := w.borrow(t)
				f.Answer(raw)
				defer f.Resume()
				err := read(rc)
				assert.ErrorContains(t, err, "redigo's reader panicked: runtime error: makeslice")
				require.ErrorAs(t, err, new(*node.Error))
				assertFate(t, err, false, true)
				assert.Error(t, rc.Err())
				assert.ErrorContains(t, second(rc.Do("PING")), "panicked", "what broke it is repeated")
				_ = rc.Close()
				assert.Zero(t, w.Pool().ActiveCount(), "the pool drops it")
				assert.Equal(t, []health.Class{health.Soft}, w.classes())
				f.Resume()
				requireHealthy(t, w.borrow(t), how)
			})
		}
	}
}

func TestAPanicOfRedigosReaderWhileThePoolTakesAConnectionBackDropsIt(t *testing.T) {
	f := redistest.NewFake(t)
	for name, leave := range map[string]func(rc redis.Conn) error{
		"with a reply due": func(rc redis.Conn) error { return rc.Send("INCR", "k") },
		"in a transaction": func(rc redis.Conn) error { return second(rc.Do("MULTI")) },
		"with a key watched": func(rc redis.Conn) error {
			return second(rc.Do("WATCH", "k"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f.Handle(func([]string) []byte { return redistest.Simple("OK") })
			w := watchPool(t, f.Pool(unhurried))
			rc := w.borrow(t)
			require.NoError(t, leave(rc))
			f.Answer("$9223372036854775807\r\n")
			defer f.Resume()
			assert.ErrorContains(t, rc.Close(), "panicked")
			assert.Zero(t, w.Pool().ActiveCount())
			assert.Equal(t, []health.Class{health.Soft}, w.classes())
		})
	}
}

func TestAPanicOfRedigosReaderInADialOrABorrowCheckFailsThat(t *testing.T) {
	f := redistest.NewFake(t)
	pool := f.Pool(unhurried)
	dial := pool.DialContext
	pool.DialContext = func(ctx context.Context) (redis.Conn, error) {
		rc, err := dial(ctx)
		if err == nil {
			_, err = rc.Do("AUTH", "word")
		}
		return rc, err
	}
	pool.TestOnBorrow = func(rc redis.Conn, _ time.Time) error { return second(rc.Do("PING")) }
	w := watchPool(t, pool)
	fill(t, pool, 2)
	f.Answer("$9223372036854775807\r\n")
	_, err := pool.GetContext(t.Context())
	assert.ErrorContains(t, err, "dial: reply refused: redigo's reader panicked")
	assertFate(t, err, true, false)
	assert.Equal(t, []health.Class{health.Soft, health.Soft, health.Soft}, w.classes(), "two idle ones, and a dial")
	assert.Zero(t, pool.ActiveCount())
	f.Resume()
	requireHealthy(t, w.borrow(t), 1)
}

// mine is an argument with a fault.
type mine struct{}

func (mine) RedisArg() any { panic("a fault of the caller's") }

func TestAPanicOfTheCallersOwnGoesOn(t *testing.T) {
	f := redistest.NewFake(t)
	w := watchPool(t, f.Pool(unhurried))
	rc := w.borrow(t)
	assert.PanicsWithValue(t, "a fault of the caller's", func() { _, _ = rc.Do("SET", "k", mine{}) })
	assert.Empty(t, w.all())
}
