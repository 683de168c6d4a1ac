package node

import (
	"bytes"
	"errors"
	"io"
	"math"
	"net"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tape is a net.Conn that gives what it holds and keeps what it is given.
type tape struct {
	net.Conn
	in  io.Reader
	out bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error)      { return c.in.Read(p) }
func (c *tape) Write(p []byte) (int, error)     { return c.out.Write(p) }
func (c *tape) Close() error                    { return nil }
func (c *tape) SetReadDeadline(time.Time) error { return nil }

// redigos returns what redigo writes for a command.
func redigos(t testing.TB, cmd string, args []any) []byte {
	t.Helper()
	c := &tape{in: bytes.NewReader(nil)}
	rc := redis.NewConn(c, 0, 0)
	require.NoError(t, rc.Send(cmd, args...))
	require.NoError(t, rc.Flush())
	return c.out.Bytes()
}

func ours(cmd string, args []any) []byte {
	plain, _ := plainArgs(args)
	return appendCommand(nil, cmd, plain)
}

type (
	named    string
	spoken   struct{ n int }
	wrapped  struct{ arg any }
	listened []int
)

func (s spoken) String() string { return "spoken" }
func (w wrapped) RedisArg() any { return w.arg }

func TestArgumentsAreWrittenAsRedigoWritesThem(t *testing.T) {
	args := []any{
		"", "text", "\r\n", []byte(nil), []byte("bytes"), 0, -1, math.MaxInt, math.MinInt,
		int64(math.MinInt64), 0.1, 1e300, math.Inf(-1), math.NaN(), math.Copysign(0, -1), true, false, nil,
		int8(-8), uint64(math.MaxUint64), float32(0.1), 'r', named("named"),
		spoken{1},
		&spoken{2},
		listened{1, 2},
		errors.New("error"), time.Second,
		map[string]int{"a": 1},
		wrapped{"inner"},
		wrapped{7},
		wrapped{nil},
		wrapped{wrapped{"twice"}},
		wrapped{named("n")},
		wrapped{[]byte("b")},
	}
	for _, arg := range args {
		assert.Equal(t, string(redigos(t, "CMD", []any{arg})), string(ours("CMD", []any{arg})), "%T %v", arg, arg)
	}
	before := append([]any(nil), args[1:9]...)
	assert.Equal(t, string(redigos(t, "CMD", args[1:])), string(ours("CMD", args[1:])))
	assert.Equal(t, before, args[1:9], "the caller's arguments were changed")
	assert.Equal(t, string(redigos(t, "PING", nil)), string(ours("PING", nil)))
}

func FuzzArguments(f *testing.F) {
	f.Add("GET", "key", []byte("v"), int64(1), 0.5, true)
	f.Fuzz(func(t *testing.T, cmd, s string, b []byte, n int64, x float64, yes bool) {
		args := []any{s, b, n, int(n), x, yes, nil, named(s), uint32(n), wrapped{s}, wrapped{x}}
		require.Equal(t, redigos(t, cmd, args), ours(cmd, args))
		_, size := plainArgs(args)
		require.GreaterOrEqual(t, size, len(ours("", args))-len(ours("", nil)))
	})
}
