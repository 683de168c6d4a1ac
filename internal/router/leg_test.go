package router_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestABlockingCommandWaitsAsLongAsItWasToldTo(t *testing.T) {
	r, s := servers(t, 2, "read_timeout=100ms")
	c := r.conn()
	defer c.Close()
	send(t, c, "SET", "a:1", "one")
	send(t, c, "BLPOP", "a:list", 0.5)
	send(t, c, "SET", "a:2", "two")
	send(t, c, "INCR", "b")
	require.NoError(t, c.Flush())
	_, err := c.Receive()
	require.NoError(t, err)
	assert.Nil(t, s[0].Do("GET", "a:2"), "what follows on the node waits its turn")
	reply, err := c.Receive()
	require.NoError(t, err)
	assert.Nil(t, reply)
	_, err = c.Receive()
	require.NoError(t, err)
	_, err = c.Receive()
	require.NoError(t, err)
}

func TestABlockingCommandOfATransactionDoesNotBlock(t *testing.T) {
	r, _ := servers(t, 1, "")
	c := r.conn()
	defer c.Close()
	send(t, c, "MULTI")
	send(t, c, "BLPOP", "a", 0)
	send(t, c, "SET", "a:1", "x")
	reply, err := redis.Values(c.Do("EXEC"))
	require.NoError(t, err)
	assert.Equal(t, []any{nil, "OK"}, reply)
}

func TestABlockingCommandThatNobodyWaitsForTakesNothing(t *testing.T) {
	r, s := servers(t, 1, "")
	c := r.conn()
	send(t, c, "INCR", "a")
	send(t, c, "BLPOP", "a:list", 0)
	_, err := c.Receive()
	require.NoError(t, err)
	_, err = redis.ReceiveWithTimeout(c, 50*time.Millisecond)
	require.Error(t, err)
	redistest.WaitFor(t, patient, func() bool {
		return s[0].Info("clients")["blocked_clients"] == "0"
	}, "the connection was closed")
	s[0].Do("RPUSH", "a:list", "x")
	assert.Equal(t, int64(1), s[0].Do("LLEN", "a:list"))
	require.NoError(t, c.Close())
}

func TestABigPipelineDoesNotLockUp(t *testing.T) {
	r, s := servers(t, 3, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
	const n = 100_000
	value := strings.Repeat("x", 100)
	c := r.conn()
	for i := range n {
		send(t, c, "SET", fmt.Sprintf("%c:%d", 'a'+i%3, i), value)
	}
	for range n {
		reply, err := c.Receive()
		require.NoError(t, err)
		require.Equal(t, "OK", reply)
	}
	require.NoError(t, c.Close())
	r.requireIdle(t)
	sum := 0
	for _, one := range s {
		sum += int(one.Do("DBSIZE").(int64))
	}
	assert.Equal(t, n, sum)
}

func TestBigValuesInPipelinesDoNotLockUp(t *testing.T) {
	r, _ := servers(t, 2, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
	big := strings.Repeat("x", 10<<20)
	c := r.conn()
	for i := range 3 {
		for _, key := range []string{"a", "b"} {
			send(t, c, "SET", fmt.Sprintf("%s:%d", key, i), big)
			send(t, c, "GET", fmt.Sprintf("%s:%d", key, i))
		}
	}
	for i := range 12 {
		reply, err := redis.String(c.Receive())
		require.NoError(t, err)
		if i%2 == 1 {
			require.Len(t, reply, len(big))
		}
	}
	require.NoError(t, c.Close())
}

func TestSplitsAndFanOutsStandInPipelines(t *testing.T) {
	r, f := fakes(t, 3, "")
	for n := range f {
		f[n].Handle(func(cmd []string) []byte {
			switch cmd[0] {
			case "MGET":
				values := make([][]byte, len(cmd)-1)
				for i, key := range cmd[1:] {
					values[i] = redistest.Bulk("value of " + key)
				}
				return redistest.Array(values...)
			case "DBSIZE":
				return redistest.Int(10 + n)
			}
			return nil
		})
	}
	c := r.conn()
	send(t, c, "SET", "a", "1")
	send(t, c, "MGET", "c:1", "a:1", "b:1", "a:2")
	send(t, c, "DBSIZE")
	send(t, c, "DEL", "a", "b", "c")
	send(t, c, "GET", "a")
	require.NoError(t, c.Flush())
	_, err := c.Receive()
	require.NoError(t, err)
	values, err := redis.Strings(c.Receive())
	require.NoError(t, err)
	assert.Equal(t, []string{"value of c:1", "value of a:1", "value of b:1", "value of a:2"}, values)
	sum, err := redis.Int(c.Receive())
	require.NoError(t, err)
	assert.Equal(t, 33, sum)
	gone, err := redis.Int(c.Receive())
	require.NoError(t, err)
	assert.Equal(t, 1, gone)
	reply, err := c.Receive()
	require.NoError(t, err)
	assert.Nil(t, reply, "the order of one node's commands is kept")
	require.NoError(t, c.Close())
	r.requireIdle(t)
}

func TestWhatWasNotSentWhenTheCallerLeftIsNotSentLater(t *testing.T) {
	r, f := fakes(t, 1, "")
	c := r.conn()
	must(t, c, "EXISTS", "a") // since the PING of a dial would hang too
	f[0].Hang()
	send(t, c, "INCR", "a")
	require.NoError(t, c.Flush())
	redistest.WaitFor(t, patient, func() bool { return f[0].Received("INCR") == 1 }, "the first is on its way")
	send(t, c, "DEL", "a")
	require.NoError(t, c.Flush())
	_, err := redis.ReceiveWithTimeout(c, 10*time.Millisecond)
	require.Error(t, err)
	f[0].Resume()
	redistest.WaitFor(t, patient, func() bool { return f[0].Executed("INCR") == 1 }, "the first is done")
	redistest.WaitFor(t, patient, func() bool { return r.pools[0].IdleCount() == 1 }, "the connection is back")
	assert.Zero(t, f[0].Received("DEL"))
	require.NoError(t, c.Close())
}

func TestWhatWasNotWrittenWhenAConnectionBrokeIsSafeToRepeat(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=30s&write_timeout=30s")
	c := r.conn()
	must(t, c, "INCR", "a")
	f[0].CutRequests(1000)
	big := strings.Repeat("x", 1<<20)
	const n = 100
	for range n {
		send(t, c, "RPUSH", "a:list", big)
	}
	for i := range n {
		_, err := c.Receive()
		require.Error(t, err)
		if i == 0 {
			assert.True(t, node.MaybeExecuted(err), "%v", err)
		}
		if i == n-1 {
			assert.True(t, node.SafeToRetry(err), "%v", err)
		}
	}
	require.NoError(t, c.Close())
	r.requireIdle(t)
	assert.Zero(t, f[0].Executed("RPUSH"))
}

// slowToClose is a connection whose end takes a while, and is noted.
type slowToClose struct {
	redis.Conn
	closed *atomic.Int64
}

func (c slowToClose) Close() error {
	for range 1000 {
		runtime.Gosched()
	}
	c.closed.Add(1)
	return c.Conn.Close()
}

func TestTheLastReplyIsToldWhenTheConnectionIsBack(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	var closed atomic.Int64
	r := routeOver(t, &redis.Pool{DialContext: func(ctx context.Context) (redis.Conn, error) {
		c, err := redis.DialContext(ctx, "tcp", f.Addr())
		return slowToClose{c, &closed}, err
	}})
	c := r.conn()
	for i := range 50 {
		send(t, c, "INCR", "a")
		send(t, c, "INCR", "a")
		for range 2 {
			_, err := c.Receive()
			require.NoError(t, err)
		}
		require.Equal(t, int64(i+1), closed.Load())
	}
	require.NoError(t, c.Close())
}
