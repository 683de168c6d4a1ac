package router_test

import (
	"context"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

func TestASubscriptionStandsOnTheNodeOfItsChannels(t *testing.T) {
	r, s := servers(t, 2, "")
	ps := redis.PubSubConn{Conn: r.conn()}
	require.NoError(t, ps.Subscribe("b:1", "b:2"))
	for i, channel := range []string{"b:1", "b:2"} {
		assert.Equal(t, redis.Subscription{Kind: "subscribe", Channel: channel, Count: i + 1}, ps.Receive())
	}
	require.ErrorIs(t, ps.Subscribe("a:1"), router.ErrCrossNode)
	require.ErrorIs(t, ps.PSubscribe("b*"), router.ErrRefused)
	require.ErrorIs(t, ps.Conn.Send("GET", "b"), router.ErrRefused)
	_, err := ps.Conn.Do("GET", "b")
	require.ErrorIs(t, err, router.ErrRefused)

	_, err = r.Do(t.Context(), "PUBLISH", []any{"b:2", "hello"})
	require.NoError(t, err)
	assert.Equal(t, redis.Message{Channel: "b:2", Data: []byte("hello")}, ps.Receive())
	require.NoError(t, ps.Ping("are you there"))
	assert.Equal(t, redis.Pong{Data: "are you there"}, ps.Receive())
	require.NoError(t, ps.Unsubscribe())
	for count := 1; count >= 0; count-- {
		assert.Equal(t, count, ps.Receive().(redis.Subscription).Count)
	}
	assert.Zero(t, s[0].Executed("subscribe"))
	require.NoError(t, ps.Close())
	r.requireIdle(t)
}

func TestClosingASubscriptionGivesBackAnOrdinaryConnection(t *testing.T) {
	for _, cmd := range []string{"SUBSCRIBE", "SSUBSCRIBE"} {
		t.Run(cmd, func(t *testing.T) {
			redistest.NoLeaks(t)
			s := redistest.Start(t)
			// A pool that cannot see what is left to read on a connection.
			r := routeOver(t, s.Pool(redistest.PoolOptions{MaxActive: 1}))
			c := r.conn()
			reply, err := redis.Values(c.Do(cmd, "a"))
			require.NoError(t, err)
			assert.Equal(t, int64(1), reply[2], "Do returns the confirmation")
			s.Do(map[string]string{"SUBSCRIBE": "PUBLISH", "SSUBSCRIBE": "SPUBLISH"}[cmd], "a", "unread")
			require.NoError(t, c.Close())
			r.requireIdle(t)
			assert.Equal(t, 1, r.pools[0].IdleCount(), "it was good for another use")

			next := r.conn()
			assert.Equal(t, int64(1), must(t, next, "INCR", "a"))
			assert.Equal(t, int64(0), must(t, next, "PUBLISH", "a", "nobody hears"))
			require.NoError(t, next.Close())
		})
	}
}

func TestASubscriptionMayBeReadBeforeItBegins(t *testing.T) {
	r, _ := servers(t, 1, "")
	ps := redis.PubSubConn{Conn: r.conn()}
	got := make(chan any, 1)
	go func() { got <- ps.ReceiveWithTimeout(patient) }()
	require.NoError(t, ps.Subscribe("a"))
	assert.Equal(t, redis.Subscription{Kind: "subscribe", Channel: "a", Count: 1}, <-got)
	require.NoError(t, ps.Close())
}

func TestASubscriptionNeedsAConnectionWithNothingDue(t *testing.T) {
	r, _ := fakes(t, 1, "")
	c := r.conn()
	send(t, c, "INCR", "a")
	require.ErrorIs(t, c.Send("SUBSCRIBE", "a"), router.ErrRefused)
	n, err := redis.Int(c.Receive())
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	require.ErrorIs(t, c.Send("UNSUBSCRIBE", "a"), router.ErrRefused)
	_, err = c.Do("SUBSCRIBE")
	require.ErrorContains(t, err, "wrong number of arguments")
	must(t, c, "INCR", "a")
	require.NoError(t, c.Close())
}

func TestASubscriptionEndsWithItsContextAndWithItsNode(t *testing.T) {
	r, s := servers(t, 1, "read_timeout=0")
	ps := redis.PubSubConn{Conn: r.conn()}
	require.NoError(t, ps.Subscribe("a"))
	_ = ps.Receive()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err, _ := ps.ReceiveContext(ctx).(error)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Error(t, ps.Conn.Err())
	_ = ps.Close()

	ps = redis.PubSubConn{Conn: r.conn()}
	require.NoError(t, ps.Subscribe("a"))
	_ = ps.Receive()
	s[0].Kill()
	err, _ = ps.Receive().(error)
	require.Error(t, err)
	require.Error(t, ps.Conn.Err())
	_ = ps.Close()
	r.requireIdle(t)
}

func TestADeadNodeIsNotSubscribedTo(t *testing.T) {
	r, f := fakes(t, 1, "")
	f[0].Crash()
	c := r.conn()
	require.Error(t, c.Send("SUBSCRIBE", "a"))
	f[0].Resume()
	f[0].Handle(func(cmd []string) []byte {
		if cmd[0] != "SUBSCRIBE" {
			return nil
		}
		return redistest.Array(redistest.Bulk("subscribe"), redistest.Bulk(cmd[1]), redistest.Int(1))
	})
	require.NoError(t, c.Send("SUBSCRIBE", "a"))
	f[0].Crash()
	_ = c.Close()
}
