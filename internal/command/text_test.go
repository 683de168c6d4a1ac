package command_test

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
)

// nested is an argument that gives another one, which redigo prints.
type nested struct{ inner any }

func (n nested) RedisArg() any { return n.inner }

func TestTextIsWhatRedigoWrites(t *testing.T) {
	for name, arg := range map[string]any{
		"string":             "a\r\nb",
		"empty string":       "",
		"bytes":              []byte{0, 255},
		"nil bytes":          []byte(nil),
		"int":                -7,
		"int64":              int64(math.MinInt64),
		"float64":            0.1,
		"large float64":      1e21,
		"infinity":           math.Inf(-1),
		"true":               true,
		"false":              false,
		"nil":                nil,
		"float32":            float32(0.1),
		"uint8":              uint8(200),
		"a named string":     word("x"),
		"a Stringer":         bytes.NewBufferString("text"),
		"an argument":        nested{int64(5)},
		"an argument, float": nested{1e21},
		"an argument, twice": nested{nested{true}},
		"a struct":           struct{ A, B int }{1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			got := command.Text(arg)
			assert.Equal(t, fmt.Sprintf("*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n", len(got), got), written(t, arg))
		})
	}
}

// recorder is a connection that keeps what is written.
type recorder struct {
	net.Conn
	wire bytes.Buffer
}

func (r *recorder) Write(p []byte) (int, error) { return r.wire.Write(p) }

// written returns what redigo sends for ECHO with an argument.
func written(t *testing.T, arg any) string {
	t.Helper()
	var r recorder
	conn := redis.NewConn(&r, 0, 0)
	require.NoError(t, conn.Send("ECHO", arg))
	require.NoError(t, conn.Flush())
	return r.wire.String()
}
