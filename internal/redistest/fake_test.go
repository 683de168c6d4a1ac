package redistest_test

import (
	"context"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

// onBoth runs a test against a fake on the network, and against one without it
// in a bubble of fake time.
func onBoth(t *testing.T, test func(t *testing.T, f *redistest.Fake)) {
	t.Helper()
	t.Run("network", func(t *testing.T) { test(t, redistest.NewFake(t)) })
	t.Run("bubble", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) { test(t, redistest.NewPipeFake(t)) })
	})
}

// hasty is a time-out for replies that do not come.
const hasty = 50 * time.Millisecond

// dial connects with generous time-outs.
func dial(t *testing.T, f *redistest.Fake) redis.Conn {
	t.Helper()
	pool := f.Pool(redistest.PoolOptions{Connect: within, Read: within, Write: within})
	conn, err := pool.DialContext(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = conn.Close()
		_ = pool.Close()
	})
	return conn
}

func TestAFakeHasASmallMemory(t *testing.T) {
	const wrongType = redis.Error("WRONGTYPE Operation against a key holding the wrong kind of value")
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		conn := dial(t, f)
		for _, step := range []struct {
			cmd  string
			args []any
			want any
		}{
			{"PING", nil, "PONG"},
			{"PING", []any{"hi"}, []byte("hi")},
			{"echo", []any{"a\r\nb"}, []byte("a\r\nb")},
			{"AUTH", []any{"secret"}, "OK"},
			{"SELECT", []any{1}, "OK"},
			{"CLIENT", []any{"SETNAME", "me"}, "OK"},
			{"GET", []any{"k"}, nil},
			{"SET", []any{"k", "v"}, "OK"},
			{"GET", []any{"k"}, []byte("v")},
			{"INCR", []any{"k"}, redis.Error("ERR value is not an integer or out of range")},
			{"INCR", []any{"n"}, int64(1)},
			{"INCR", []any{"n"}, int64(2)},
			{"EXISTS", []any{"k", "n", "none"}, int64(2)},
			{"UNLINK", []any{"k", "none"}, int64(1)},
			{"DEL", []any{"n"}, int64(1)},
			{"RPUSH", []any{"l", "b", "c"}, int64(2)},
			{"LPUSH", []any{"l", "a"}, int64(3)},
			{"GET", []any{"l"}, wrongType},
			{"INCR", []any{"l"}, wrongType},
			{"LLEN", []any{"l"}, int64(3)},
			{"LPOP", []any{"l"}, []byte("a")},
			{"RPOP", []any{"l"}, []byte("c")},
			{"RPOP", []any{"l"}, []byte("b")},
			{"RPOP", []any{"l"}, nil},
			{"EXISTS", []any{"l"}, int64(0)},
			{"SET", []any{"k"}, redis.Error("ERR wrong number of arguments for 'set' command")},
			{"FLY", nil, redis.Error("ERR unknown command 'FLY', with args beginning with: ")},
		} {
			got, err := conn.Do(step.cmd, step.args...)
			if want, isError := step.want.(redis.Error); isError {
				assert.Equal(t, want, err, "%s %v", step.cmd, step.args)
				continue
			}
			require.NoError(t, err, "%s %v", step.cmd, step.args)
			assert.Equal(t, step.want, got, "%s %v", step.cmd, step.args)
		}
		assert.Equal(t, 3+1, f.Executed("incr"))
		assert.Equal(t, 27, f.Executed(""))
	})
}

func TestAFakeTakesAPipelineLongerThanAnyBuffer(t *testing.T) {
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		conn := dial(t, f)
		const n = 20_000
		for range n {
			require.NoError(t, conn.Send("INCR", "n"))
		}
		require.NoError(t, conn.Flush())
		for i := range n {
			got, err := redis.Int(conn.Receive())
			require.NoError(t, err)
			require.Equal(t, i+1, got)
		}
	})
}

func TestAHandlerAnswersWhatItWantsTo(t *testing.T) {
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		f.Handle(func(cmd []string) []byte {
			if cmd[0] == "ROLE" {
				return redistest.Array(redistest.Bulk("master"), redistest.Int(0), redistest.Nil)
			}
			return nil
		})
		conn := dial(t, f)
		role, err := redis.Values(conn.Do("ROLE"))
		require.NoError(t, err)
		assert.Equal(t, []any{[]byte("master"), int64(0), nil}, role)
		_, err = conn.Do("PING")
		require.NoError(t, err)
		f.Handle(nil)
		_, err = conn.Do("ROLE")
		assert.ErrorContains(t, err, "unknown command")
	})
}

func TestAHungFakeExecutesAfterwardsWhatItGot(t *testing.T) {
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		old := dial(t, f)
		f.Hang()
		for _, conn := range []redis.Conn{old, dial(t, f)} {
			_, err := redis.DoWithTimeout(conn, hasty, "INCR", "n")
			require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		}
		redistest.WaitFor(t, within, func() bool { return f.Received("INCR") == 2 }, "both to arrive")
		assert.Zero(t, f.Executed("INCR"))
		f.Resume()
		redistest.WaitFor(t, within, func() bool { return f.Executed("INCR") == 2 }, "both to be executed")
	})
}

func TestARefusingFakeServesWhoIsInAlready(t *testing.T) {
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		conn := dial(t, f)
		_, err := conn.Do("SET", "k", "v")
		require.NoError(t, err)
		f.Refuse()
		_, err = f.DialContext(t.Context(), "tcp", f.Addr())
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		require.ErrorAs(t, err, new(*net.OpError))
		_, err = conn.Do("PING")
		require.NoError(t, err)

		f.Resume()
		v, err := redis.String(dial(t, f).Do("GET", "k"))
		require.NoError(t, err)
		assert.Equal(t, "v", v)
		assert.Equal(t, 2, f.Accepted())
	})
}

func TestACrashedFakeDropsEverybody(t *testing.T) {
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		conn := dial(t, f)
		_, err := conn.Do("PING")
		require.NoError(t, err)
		f.Crash()
		_, err = conn.Do("PING")
		require.Error(t, err)
		_, err = f.DialContext(t.Context(), "tcp", f.Addr())
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		redistest.WaitFor(t, within, func() bool { return f.Conns() == 0 }, "connections to go")
	})
}

func TestAFakeCanCloseOnAccept(t *testing.T) {
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		f.CloseOnAccept()
		_, err := dial(t, f).Do("PING")
		require.Error(t, err)
		assert.NotErrorIs(t, err, os.ErrDeadlineExceeded)
		f.Resume()
		_, err = dial(t, f).Do("PING")
		require.NoError(t, err)
		assert.Equal(t, 1, f.Received(""))
	})
}

func TestAFailingFakeExecutesNothing(t *testing.T) {
	const loading = "LOADING Redis is loading the dataset in memory"
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		conn := dial(t, f)
		f.Fail(loading)
		_, err := conn.Do("INCR", "n")
		require.Equal(t, redis.Error(loading), err)
		assert.Zero(t, f.Executed("INCR"))
		f.Resume()
		_, err = conn.Do("INCR", "n")
		require.NoError(t, err)
		assert.Equal(t, 1, f.Executed("INCR"))
	})
}

func TestAFakeAnswersAnyBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		for raw, want := range map[string]string{
			"garbage\r\n": "redigo: unexpected response line",
			"$-2\r\n":     "redigo: illegal bytes in length",
		} {
			f.Answer(raw)
			_, err := dial(t, f).Do("INCR", "n")
			assert.ErrorContains(t, err, want, "%q", raw)
		}
		f.Answer("")
		_, err := redis.DoWithTimeout(dial(t, f), hasty, "INCR", "n")
		require.ErrorIs(t, err, os.ErrDeadlineExceeded)
		redistest.WaitFor(t, within, func() bool { return f.Executed("INCR") == 3 }, "all to be executed")

		f.Answer("+one\r\n+surplus\r\n")
		conn := dial(t, f)
		_, err = conn.Do("PING")
		require.NoError(t, err)
		surplus, err := conn.Receive()
		require.NoError(t, err)
		assert.Equal(t, "surplus", surplus)
	})
}

func TestAReplyCanBeCutAtEveryByte(t *testing.T) {
	const reply = ":1\r\n"
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		for n := range len(reply) + 1 {
			f.CutReply("incr", n)
			conn, err := f.DialContext(t.Context(), "tcp", f.Addr())
			require.NoError(t, err)
			_, err = io.WriteString(conn, "*1\r\n$4\r\nPING\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n")
			require.NoError(t, err)
			got, err := io.ReadAll(conn)
			require.NoError(t, err)
			assert.Equal(t, "+PONG\r\n"+reply[:n], string(got))
			assert.Equal(t, n+1, f.Executed("INCR"))
			_, err = dial(t, f).Do("DEL", "n")
			require.NoError(t, err)
		}
	})
}

func TestARequestCanBeCutAtEveryByte(t *testing.T) {
	const request = "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n"
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		for n := 1; n <= len(request); n++ {
			conn, err := f.DialContext(t.Context(), "tcp", f.Addr())
			require.NoError(t, err)
			redistest.WaitFor(t, within, func() bool { return f.Conns() == 1 }, "the connection to be accepted")
			f.CutRequests(n)
			_, _ = io.WriteString(conn, request)
			_, err = conn.Read(make([]byte, 1))
			require.Error(t, err, "cut after %d", n)
			require.NoError(t, conn.Close())
			redistest.WaitFor(t, within, func() bool { return f.Conns() == 0 }, "the connection to go")
			whole := 0
			if n == len(request) {
				whole = 1
			}
			require.Equal(t, whole, f.Executed("INCR"), "cut after %d", n)
		}
	})
}

func TestResetReachesTheClientAsSuch(t *testing.T) {
	f := redistest.NewFake(t)
	conn := dial(t, f)
	_, err := conn.Do("PING")
	require.NoError(t, err)
	f.Reset()
	_, err = conn.Receive()
	require.ErrorIs(t, err, syscall.ECONNRESET)
}

func TestAFakeClosesOnWhatIsNoCommand(t *testing.T) {
	onBoth(t, func(t *testing.T, f *redistest.Fake) {
		for _, request := range []string{"GET / HTTP/1.1\r\n", "*x\r\n", "*0\r\n", "*1\r\n+PING\r\n", "*1\r\n$4\r\nPINGxx", "*1\r\n$-1\r\n", "\n"} {
			conn, err := f.DialContext(t.Context(), "tcp", f.Addr())
			require.NoError(t, err)
			_, err = io.WriteString(conn, request)
			require.NoError(t, err)
			got, err := io.ReadAll(conn)
			require.NoError(t, err, "%q", request)
			assert.Equal(t, "-ERR Protocol error\r\n", string(got), "%q", request)
		}
		assert.Zero(t, f.Received(""))
	})
}

func TestADelayIsFakeTimeInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := redistest.NewPipeFake(t)
		f.Delay(time.Hour)
		pool := f.Pool(redistest.PoolOptions{Read: -1})
		conn := pool.Get()
		start := time.Now()
		_, err := conn.Do("PING")
		require.NoError(t, err)
		assert.Equal(t, time.Hour, time.Since(start))
		require.NoError(t, conn.Close())
		require.NoError(t, pool.Close())
	})
}

func TestADialThroughAPipeHonoursItsContext(t *testing.T) {
	f := redistest.NewPipeFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := f.DialContext(ctx, "tcp", f.Addr())
	require.ErrorIs(t, err, context.Canceled)
	assert.Zero(t, f.Accepted())
}

func TestClosingAFakeEndsItsGoroutines(t *testing.T) {
	redistest.NoLeaks(t)
	for _, f := range []*redistest.Fake{redistest.NewFake(t), redistest.NewPipeFake(t)} {
		f.Hang()
		conn, err := f.DialContext(t.Context(), "tcp", f.Addr())
		require.NoError(t, err)
		_, err = io.WriteString(conn, "*1\r\n$4\r\nPING\r\n")
		require.NoError(t, err)
		redistest.WaitFor(t, within, func() bool { return f.Received("PING") == 1 }, "the PING to arrive")
		f.Close()
		f.Close()
		f.Resume()
		require.NoError(t, conn.Close())
		_, err = f.DialContext(t.Context(), "tcp", f.Addr())
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
	}
}

func TestAConnectionsOwnHandlerKeepsItsState(t *testing.T) {
	f := redistest.NewFake(t)
	f.Handle(func(cmd []string) []byte {
		if cmd[0] == "NTH" {
			return redistest.Simple("nobody's")
		}
		return nil
	})
	f.HandleEach(func() redistest.Handler {
		n := 0
		return func(cmd []string) []byte {
			if cmd[0] != "NTH" {
				return nil
			}
			n++
			return redistest.Int(n)
		}
	})
	pool := f.Pool(redistest.PoolOptions{})
	defer pool.Close()
	for range 2 {
		c := pool.Get()
		defer c.Close()
		for want := int64(1); want <= 3; want++ {
			got, err := c.Do("NTH")
			require.NoError(t, err)
			require.Equal(t, want, got)
			_, err = c.Do("SET", "k", "v")
			require.NoError(t, err)
		}
	}
	f.HandleEach(nil)
	c := pool.Get()
	defer c.Close()
	got, err := c.Do("NTH")
	require.NoError(t, err)
	require.Equal(t, "nobody's", got)
}
