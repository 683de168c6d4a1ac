package router_test

import (
	"errors"
	"net"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

// requirePlaced checks where an error says that it comes from.
func requirePlaced(t testing.TB, err error, index int, command string) router.PipelineError {
	t.Helper()
	var placed *router.PipelineError
	require.ErrorAs(t, err, &placed)
	require.Equal(t, index, placed.Index, "%v", err)
	require.Equal(t, command, placed.Command, "%v", err)
	return *placed
}

func TestAnErrorOfAPipelineTellsItsCommand(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, f := fakes(t, 2, "")
		prepare(t, r)
		f[1].Crash()
		c := r.conn()
		defer c.Close()
		send(t, c, "SET", "a", "1")
		send(t, c, "GET", "b:"+strings.Repeat("x", 100))
		send(t, c, "SET", "b", "secret")
		_, err := c.Receive()
		require.NoError(t, err)
		_, err = c.Receive()
		requirePlaced(t, err, 1, `GET "b:`+strings.Repeat("x", 38)+`"`)
		var broken *node.Error
		require.ErrorAs(t, err, &broken)
		assert.Equal(t, "B", broken.Node)
		_, err = c.Receive()
		requirePlaced(t, err, 2, `SET "b"`)
		assert.NotContains(t, err.Error(), "secret")

		send(t, c, "GET", "b")
		_, err = c.Receive()
		requirePlaced(t, err, 0, `GET "b"`)
	})
}

func TestWhatAServerRepliesToTheCommandThatWasAskedForStaysBare(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, _ := fakes(t, 2, "")
		prepare(t, r)
		c := r.conn()
		defer c.Close()
		send(t, c, "SET", "a", "1")
		send(t, c, "LPUSH", "a", "x")
		_, err := c.Receive()
		require.NoError(t, err)
		_, err = c.Receive()
		assert.IsType(t, redis.Error(""), err)

		send(t, c, "SET", "b", "1")
		_, err = c.Do("LPUSH", "a", "x")
		assert.IsType(t, redis.Error(""), err, "its own")

		send(t, c, "SET", "b", "1")
		send(t, c, "LPUSH", "a", "x")
		reply, err := c.Do("SET", "b", "2")
		assert.Equal(t, "OK", reply)
		placed := requirePlaced(t, err, 1, `LPUSH "a"`)
		assert.IsType(t, redis.Error(""), placed.Err, "another command's")
		var said redis.Error
		assert.ErrorAs(t, err, &said)
	})
}

func TestCommandsThatAreRefusedShowNoArguments(t *testing.T) {
	r, _ := fakes(t, 2, "")
	c := r.conn()
	defer c.Close()
	for _, call := range []struct {
		shown string
		cmd   string
		args  []any
	}{
		{`"AUTH"`, "AUTH", []any{"secret"}},
		{`"HELLO"`, "HELLO", []any{3, "AUTH", "user", "secret"}},
		{`"MIGRATE"`, "MIGRATE", []any{"host", 1, "a", 0, 1, "AUTH", "secret"}},
	} {
		send(t, c, call.cmd, call.args...)
		_, err := c.Receive()
		requirePlaced(t, err, 0, call.shown)
		assert.NotContains(t, err.Error(), "secret")
	}
}

func TestAPlacedErrorTellsATimeOut(t *testing.T) {
	r, f := fakes(t, 2, "read_timeout=500ms")
	c := r.conn()
	defer c.Close()
	must(t, c, "INCR", "a")
	f[0].Hang()
	send(t, c, "INCR", "a")
	_, err := c.Receive()
	requirePlaced(t, err, 0, `INCR "a"`)
	var late net.Error
	require.ErrorAs(t, err, &late)
	assert.True(t, late.Timeout())
	f[0].Resume()
}

func TestDoWithoutACommandKeepsWhatTheLiveNodesGave(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, f := fakes(t, 2, "")
		f[0].Handle(func(cmd []string) []byte {
			switch cmd[0] {
			case "MGET":
				return redistest.Array(redistest.Bulk("one"), redistest.Bulk("two"))
			case "DEL":
				return redistest.Int(1)
			}
			return nil
		})
		prepare(t, r)
		f[1].Crash()
		c := r.conn()
		defer c.Close()
		send(t, c, "GET", "b")
		send(t, c, "MGET", "a:1", "b:1", "a:2")
		send(t, c, "DEL", "a", "b")
		send(t, c, "INCR", "a:n")
		reply, err := c.Do("")
		requirePlaced(t, err, 0, `GET "b"`)
		replies := reply.([]any)
		require.Len(t, replies, 4)
		requirePlaced(t, replies[0].(error), 0, `GET "b"`)

		values := replies[1].([]any)
		assert.Equal(t, []byte("one"), values[0])
		assert.Equal(t, []byte("two"), values[2])
		var broken *node.Error
		require.ErrorAs(t, values[1].(error), &broken)
		assert.Equal(t, "B", broken.Node)

		placed := requirePlaced(t, replies[2].(error), 2, `DEL "a"`)
		assert.Equal(t, int64(1), placed.Reply)
		assert.Equal(t, int64(1), replies[3])
	})
}

func TestThePipelinesLengthIsKnown(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, _ := fakes(t, 2, "")
		prepare(t, r)
		c := r.conn().(*router.Conn)
		assert.Zero(t, c.Pending())
		for i, key := range []string{"a", "b", "a"} {
			send(t, c, "INCR", key)
			assert.Equal(t, i+1, c.Pending())
		}
		send(t, c, "SINTERSTORE", "a", "b")
		assert.Equal(t, 4, c.Pending(), "what is refused has a reply too")
		require.NoError(t, c.Flush())
		assert.Equal(t, 4, c.Pending())
		_, err := c.Receive()
		require.NoError(t, err)
		assert.Equal(t, 3, c.Pending())
		_, err = c.Do("")
		require.NoError(t, errorsOf(err))
		assert.Zero(t, c.Pending())
		require.NoError(t, c.Close())
		assert.Zero(t, c.Pending())
	})
}

// errorsOf drops the errors of commands that were refused.
func errorsOf(err error) error {
	if errors.Is(err, router.ErrCrossNode) {
		return nil
	}
	return err
}

func TestAnEmptyPipelineDoesNoIO(t *testing.T) {
	r, f := fakes(t, 2, "")
	c := r.conn()
	require.NoError(t, c.Flush())
	reply, err := c.Do("")
	require.NoError(t, err)
	assert.Nil(t, reply)
	require.NoError(t, c.Close())
	assert.Zero(t, f[0].Accepted()+f[1].Accepted())
}
