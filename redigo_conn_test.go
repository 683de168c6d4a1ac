package fluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// short is a limit that runs out while nothing comes.
const short = 10 * time.Millisecond

var connsAre = map[string]documented{
	"replies have the types of the documentation's table": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		for _, row := range []struct {
			cmd  string
			args []any
			want any
		}{
			{"SET", []any{"s", "v\r\n\x00"}, "OK"},
			{"GET", []any{"s"}, []byte("v\r\n\x00")},
			{"GET", []any{"none"}, nil},
			{"SET", []any{"e", ""}, "OK"},
			{"GET", []any{"e"}, []byte{}},
			{"INCR", []any{"n"}, int64(1)},
			{"TYPE", []any{"n"}, "string"},
			{"RPUSH", []any{"l", "a", "b"}, int64(2)},
			{"LRANGE", []any{"l", 0, -1}, []any{[]byte("a"), []byte("b")}},
			{"LRANGE", []any{"none", 0, -1}, []any{}},
			{"BLPOP", []any{"none", "0.01"}, nil},
			{"MGET", []any{"n", "none"}, []any{[]byte("1"), nil}},
			{
				"EVAL",
				[]any{"return {1, {2, {'x', {err = 'MINE inside'}}}}", 0},
				[]any{int64(1), []any{int64(2), []any{[]byte("x"), redis.Error("MINE inside")}}},
			},
		} {
			got, err := rc.Do(row.cmd, row.args...)
			require.NoError(t, err, row.cmd)
			assert.Equal(t, row.want, got, "%s %v", row.cmd, row.args)
		}
	}},
	"an error reply is a bare redis.Error, and leaves the connection good": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		for _, want := range []redis.Error{"MINE own", "ERR plain"} {
			_, err := rc.Do("EVAL", "return redis.error_reply(ARGV[1])", 0, string(want))
			assert.Equal(t, want, err, "the very type")
			assert.NoError(t, rc.Err())
		}
		idOf(t, rc)
	}},
	"arguments become text as the documentation says": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		for _, row := range []struct {
			arg  any
			want string
		}{
			{"text", "text"},
			{[]byte("bytes"), "bytes"},
			{-7, "-7"},
			{int64(1) << 60, "1152921504606846976"},
			{2.5, "2.5"},
			{1e21, "1e+21"},
			{true, "1"},
			{false, "0"},
			{nil, ""},
			{uint16(9), "9"},
			{[]int{1, 2}, "[1 2]"},
			{time.Second, "1s"},
			{float32(0.5), "0.5"},
			{argument{[]byte("its own")}, "its own"},
			{argument{nil}, ""},
			{argument{argument{"inner"}}, "{inner}"},
			{&argument{true}, "1"},
		} {
			got, err := redis.String(rc.Do("ECHO", row.arg))
			require.NoError(t, err)
			assert.Equal(t, row.want, got, "%T %v", row.arg, row.arg)
		}
	}},
	"Send holds commands back until Flush, and Receive tells the replies in their order": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		require.NoError(t, rc.Send("INCR", "k"))
		require.NoError(t, rc.Send("LPUSH", "k", "x"))
		require.NoError(t, rc.Send("GET", "k"))
		assert.Nil(t, p.server.Do("GET", "k"), "nothing has left")
		require.NoError(t, rc.Flush())
		require.NoError(t, rc.Flush())
		one, err := rc.Receive()
		require.NoError(t, err)
		assert.Equal(t, int64(1), one)
		_, err = rc.Receive()
		assert.ErrorContains(t, err, "WRONGTYPE")
		assert.IsType(t, redis.Error(""), err)
		text, err := rc.Receive()
		require.NoError(t, err)
		assert.Equal(t, []byte("1"), text)
		idOf(t, rc)
	}},
	"Do sends what was held back, and gives the last reply with the first error": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		require.NoError(t, rc.Send("SET", "k", "v"))
		reply, err := rc.Do("GET", "k")
		require.NoError(t, err)
		assert.Equal(t, []byte("v"), reply)
		require.NoError(t, rc.Send("INCR", "k"))
		require.NoError(t, rc.Send("NOSUCH"))
		reply, err = rc.Do("GET", "k")
		assert.ErrorContains(t, err, "not an integer")
		assert.Equal(t, []byte("v"), reply)
		idOf(t, rc)
	}},
	"Do without a command collects all replies, errors among them": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		require.NoError(t, rc.Send("SET", "k", "v"))
		require.NoError(t, rc.Send("INCR", "k"))
		require.NoError(t, rc.Send("GET", "k"))
		replies, err := redis.Values(rc.Do(""))
		require.NoError(t, err)
		require.Len(t, replies, 3)
		assert.Equal(t, "OK", replies[0])
		assert.IsType(t, redis.Error(""), replies[1])
		assert.Equal(t, []byte("v"), replies[2])
		nothing, err := rc.Do("")
		require.NoError(t, err)
		assert.Nil(t, nothing)
	}},
	"EXEC tells what each command of the transaction replied": {holds: func(t *testing.T, p *underTest) {
		rc, other := p.borrow(t), p.borrow(t)
		require.NoError(t, rc.Send("MULTI"))
		require.NoError(t, rc.Send("SET", "k", "v"))
		require.NoError(t, rc.Send("INCR", "k"))
		replies, err := redis.Values(rc.Do("EXEC"))
		require.NoError(t, err)
		require.Len(t, replies, 2)
		assert.Equal(t, "OK", replies[0])
		assert.IsType(t, redis.Error(""), replies[1])

		_, err = rc.Do("WATCH", "k")
		require.NoError(t, err)
		_, err = other.Do("SET", "k", "changed")
		require.NoError(t, err)
		require.NoError(t, rc.Send("MULTI"))
		require.NoError(t, rc.Send("SET", "k", "never"))
		reply, err := rc.Do("EXEC")
		require.NoError(t, err)
		assert.Nil(t, reply, "it was aborted")
	}},
	"one goroutine may send and flush while another receives": {holds: func(t *testing.T, p *underTest) {
		const pings = 500
		rc := p.borrow(t)
		var both sync.WaitGroup
		both.Go(func() {
			for i := range pings {
				assert.NoError(t, rc.Send("ECHO", i))
				assert.NoError(t, rc.Flush())
			}
		})
		both.Go(func() {
			for i := range pings {
				got, err := redis.Int(rc.Receive())
				assert.NoError(t, err)
				assert.Equal(t, i, got)
			}
		})
		both.Wait()
		idOf(t, rc)
	}},
}

// argument is a type that says what it is as an argument.
type argument struct{ of any }

func (a argument) RedisArg() any { return a.of }

// connsAreLimited is about time-outs and contexts. In a cluster what comes of them
// is a NodeError.
var connsAreLimited = map[string]documented{
	"a limit that holds changes nothing": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		defer cancel()
		for n, do := range []func() (any, error){
			func() (any, error) { return redis.DoWithTimeout(rc, patient, "INCR", "n") },
			func() (any, error) { return redis.DoWithTimeout(rc, 0, "INCR", "n") },
			func() (any, error) { return redis.DoContext(rc, context.Background(), "INCR", "n") },
			func() (any, error) { return redis.DoContext(rc, ctx, "INCR", "n") },
			func() (any, error) { return sent(rc, redis.ReceiveWithTimeout, patient) },
			func() (any, error) { return sent(rc, redis.ReceiveWithTimeout, 0) },
			func() (any, error) { return sent(rc, redis.ReceiveContext, context.Background()) },
			func() (any, error) { return sent(rc, redis.ReceiveContext, ctx) },
		} {
			got, err := do()
			require.NoError(t, err)
			assert.Equal(t, int64(n+1), got)
		}
		idOf(t, rc)
	}},
	"a limit that runs out is a time-out, and breaks the connection": {holds: func(t *testing.T, p *underTest) {
		for _, wait := range []func(rc redis.Conn) error{
			func(rc redis.Conn) error {
				_, err := redis.DoWithTimeout(rc, short, "BLPOP", "none", 0)
				return err
			},
			func(rc redis.Conn) error {
				err := errors.Join(rc.Send("BLPOP", "none", 0), rc.Flush())
				_, late := redis.ReceiveWithTimeout(rc, short)
				if err != nil {
					return err
				}
				return late
			},
		} {
			rc := p.borrow(t)
			p.assertTimeout(t, wait(rc), true)
			assert.Error(t, rc.Err())
			_ = rc.Close()
			p.requireCounts(t, 0, 0)
		}
	}},
	"a context that is cancelled under way ends the wait, and breaks the connection": {holds: func(t *testing.T, p *underTest) {
		for _, wait := range waitsWithin {
			rc := p.borrow(t)
			err := outlive(t, rc, wait, func(limit time.Duration) (context.Context, func()) {
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(limit, cancel)
				return ctx, cancel
			})
			assert.ErrorIs(t, err, context.Canceled)
			p.assertFailed(t, err, true)
			assert.Error(t, rc.Err())
			_ = rc.Close()
			p.requireCounts(t, 0, 0)
		}
	}},
	"a context's deadline ends the wait, and breaks the connection": {holds: func(t *testing.T, p *underTest) {
		for _, wait := range waitsWithin {
			rc := p.borrow(t)
			err := outlive(t, rc, wait, func(limit time.Duration) (context.Context, func()) {
				return context.WithTimeout(t.Context(), limit)
			})
			p.assertTimeout(t, err, true)
			assert.Error(t, rc.Err())
			_ = rc.Close()
			p.requireCounts(t, 0, 0)
		}
	}},
	// redigo gives the connection up, although nothing was sent. In a cluster it stays good.
	"a context that is over before fails the call": {holds: func(t *testing.T, p *underTest) {
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
		defer cancel()
		rc := p.borrow(t)
		_, err := redis.DoContext(rc, ctx, "INCR", "k")
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		p.assertFailed(t, err, false)
		assert.Equal(t, p.wrapped, rc.Err() == nil, "%v", rc.Err())
		_ = rc.Close()
		assert.Nil(t, p.server.Do("GET", "k"))
		if p.wrapped {
			p.requireCounts(t, 1, 1)
		}
	}},
	// redigo refuses limits on a connection of another type that does not know them.
	// In a cluster contexts work: their end closes the connection.
	"a connection of the user's own need not know limits": {
		usersDial: true,
		setUp: func(p *redis.Pool) {
			dial := p.DialContext
			p.DialContext = func(ctx context.Context) (redis.Conn, error) {
				rc, err := dial(ctx)
				return struct{ redis.Conn }{rc}, err
			}
		},
		holds: func(t *testing.T, p *underTest) {
			rc := p.borrow(t)
			_, err := redis.DoWithTimeout(rc, patient, "PING")
			assert.EqualError(t, err, "redis: connection does not support ConnWithTimeout")
			_, err = redis.ReceiveWithTimeout(rc, patient)
			assert.EqualError(t, err, "redis: connection does not support ConnWithTimeout")
			_, err = redis.DoContext(rc, t.Context(), "PING")
			if p.wrapped {
				assert.NoError(t, err)
			} else {
				assert.EqualError(t, err, "redis: connection does not support ConnWithContext")
			}
			idOf(t, rc)
			giveBack(t, rc)
			p.requireCounts(t, 1, 1)
		},
	},
}

// waitsWithin are calls that only their context ends.
var waitsWithin = []func(ctx context.Context, rc redis.Conn) error{
	func(ctx context.Context, rc redis.Conn) error {
		_, err := redis.DoContext(rc, ctx, "BLPOP", "none", 0)
		return err
	},
	func(ctx context.Context, rc redis.Conn) error {
		if err := errors.Join(rc.Send("BLPOP", "none", 0), rc.Flush()); err != nil {
			return fmt.Errorf("send: %w", err)
		}
		_, err := redis.ReceiveContext(rc, ctx)
		return err
	},
}

// outlive lets a call wait until its context ends. One that ends before the call
// begins is another matter: it leaves the connection good, and a later end is tried.
func outlive(t *testing.T, rc redis.Conn, wait func(context.Context, redis.Conn) error, within func(time.Duration) (context.Context, func())) error {
	t.Helper()
	for limit := short; limit < patient; limit *= 4 {
		ctx, cancel := within(limit)
		err := wait(ctx, rc)
		cancel()
		if rc.Err() != nil {
			return err
		}
	}
	t.Fatal("no end of a context breaks the connection")
	return nil
}

// sent sends an INCR and receives its reply within a limit.
func sent[Limit any](rc redis.Conn, receive func(redis.Conn, Limit) (any, error), limit Limit) (any, error) {
	if err := errors.Join(rc.Send("INCR", "n"), rc.Flush()); err != nil {
		return nil, err
	}
	return receive(rc, limit)
}
