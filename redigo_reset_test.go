package fluster_test

import (
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// poolsReset is what becomes of what was going on when a connection came back.
var poolsReset = map[string]documented{
	"an error reply costs no connection": {holds: func(t *testing.T, p *underTest) {
		p.goesBack(t, func(rc redis.Conn) {
			_, err := rc.Do("NOSUCH")
			require.Error(t, err)
		})
	}},
	"replies that nobody received are not the next borrower's": {holds: func(t *testing.T, p *underTest) {
		p.goesBack(t, func(rc redis.Conn) {
			for range 3 {
				require.NoError(t, rc.Send("ECHO", "not yours"))
			}
			require.NoError(t, rc.Flush())
			_, err := rc.Receive()
			require.NoError(t, err)
		})
	}},
	"what was sent and not flushed is executed": {holds: func(t *testing.T, p *underTest) {
		p.goesBack(t, func(rc redis.Conn) { require.NoError(t, rc.Send("SET", "k", "late")) })
		assert.Equal(t, []byte("late"), p.server.Do("GET", "k"))
	}},
	"a transaction is discarded": {holds: func(t *testing.T, p *underTest) {
		p.goesBack(t, func(rc redis.Conn) {
			for _, call := range [][]any{{"WATCH", "k"}, {"MULTI"}, {"INCR", "k"}} {
				_, err := rc.Do(call[0].(string), call[1:]...)
				require.NoError(t, err)
			}
		})
		assert.Nil(t, p.server.Do("GET", "k"))
	}},
	"a transaction that was sent is discarded": {holds: func(t *testing.T, p *underTest) {
		p.goesBack(t, func(rc redis.Conn) {
			require.NoError(t, rc.Send("MULTI"))
			require.NoError(t, rc.Send("INCR", "k"))
		})
		assert.Nil(t, p.server.Do("GET", "k"))
	}},
	"watched keys are watched no more": {holds: func(t *testing.T, p *underTest) {
		p.goesBack(t, func(rc redis.Conn) {
			_, err := rc.Do("WATCH", "k")
			require.NoError(t, err)
		})
		p.server.Do("INCR", "k")
		rc := p.borrow(t)
		require.NoError(t, rc.Send("MULTI"))
		require.NoError(t, rc.Send("INCR", "k"))
		reply, err := redis.Values(rc.Do("EXEC"))
		require.NoError(t, err)
		assert.Equal(t, []any{int64(2)}, reply)
	}},
	"a subscription is ended, whatever it was still told": {holds: func(t *testing.T, p *underTest) {
		p.goesBack(t, func(rc redis.Conn) {
			ps := redis.PubSubConn{Conn: rc}
			require.NoError(t, ps.Subscribe("news"))
			require.NoError(t, ps.PSubscribe("new?"))
			require.IsType(t, redis.Subscription{}, ps.Receive())
			require.IsType(t, redis.Subscription{}, ps.Receive())
			require.EqualValues(t, 2, p.server.Do("PUBLISH", "news", "to nobody"))
		})
		assert.EqualValues(t, 0, p.server.Do("PUBLISH", "news", "to nobody"))
	}},
	"a monitor is closed": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		_, err := rc.Do("MONITOR")
		require.NoError(t, err)
		giveBack(t, rc)
		p.requireCounts(t, 0, 0)
	}},
	// In a cluster the error of the call is a NodeError.
	"a connection that broke says so, fails all that follows, and is not kept": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		id := idOf(t, rc)
		require.NoError(t, rc.Err())
		p.cut(t, rc)
		_, err := rc.Do("PING")
		require.Error(t, err)
		p.assertFailed(t, err, true)
		assert.Error(t, rc.Err())
		_, err = rc.Do("PING")
		assert.Error(t, err)
		assert.Error(t, rc.Send("PING"))
		assert.Error(t, rc.Flush())
		_, err = rc.Receive()
		assert.Error(t, err)
		_ = rc.Close()
		p.requireCounts(t, 0, 0)
		assert.NotEqual(t, id, idOf(t, p.borrow(t)))
	}},
	"a connection whose reply was given up is not kept": {holds: func(t *testing.T, p *underTest) {
		rc := p.borrow(t)
		_, err := redis.DoWithTimeout(rc, short, "BLPOP", "never", 0)
		require.Error(t, err)
		_ = rc.Close()
		p.requireCounts(t, 0, 0)
	}},
}

// goesBack leaves a connection as use does, and checks that it goes on as if new.
func (p *underTest) goesBack(t *testing.T, use func(rc redis.Conn)) {
	t.Helper()
	rc := p.borrow(t)
	id := idOf(t, rc)
	use(rc)
	giveBack(t, rc)
	p.requireCounts(t, 1, 1)
	next := p.Get()
	assert.Equal(t, id, idOf(t, next), "the same connection, and in step")
	pong, err := redis.String(next.Do("PING"))
	require.NoError(t, err)
	assert.Equal(t, "PONG", pong, "in no transaction and no subscription")
	giveBack(t, next)
}
