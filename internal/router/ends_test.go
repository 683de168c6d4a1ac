package router_test

import (
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

// A Do behind other commands returns the first error of all. Whoever decides by that
// whether to call again must not run his own command twice.
func TestTheErrorOfAnotherCommandIsNoReasonToRepeatTheLast(t *testing.T) {
	for name, tc := range map[string]struct {
		cut   string
		first []any
	}{
		"the last ran":           {"", []any{"INCR", "a"}},
		"the last may have run":  {"SET", []any{"INCR", "a"}},
		"the first was refused":  {"SET", []any{"MGET", "a", "b"}},
		"the first is not known": {"SET", []any{"SCAN", 0}},
	} {
		t.Run(name, func(t *testing.T) {
			r, f := fakes(t, 2, "")
			c := r.conn()
			must(t, c, "SET", "b", 1)
			f[0].Crash()
			if tc.cut != "" {
				f[1].CutReply(tc.cut, 1)
			}
			send(t, c, tc.first[0].(string), tc.first[1:]...)
			_, err := c.Do("SET", "b", 2)
			require.Error(t, err)
			assert.Equal(t, 2, f[1].Executed("SET"))
			assert.False(t, node.SafeToRetry(err), "%v", err)
			assert.True(t, node.MaybeExecuted(err), "%v", err)
			require.NoError(t, c.Close())
		})
	}
}

func TestAPipelineOfWhichNothingRanIsSafeToRepeat(t *testing.T) {
	r, f := fakes(t, 2, "")
	for _, one := range f {
		one.Crash()
	}
	c := r.conn()
	send(t, c, "INCR", "a")
	_, err := c.Do("SET", "b", 2)
	assert.True(t, node.SafeToRetry(err), "%v", err)
	send(t, c, "INCR", "a")
	send(t, c, "SET", "b", 2)
	replies, err := redis.Values(c.Do(""))
	assert.True(t, node.SafeToRetry(err), "%v", err)
	assert.Nil(t, replies)

	f[1].Resume()
	send(t, c, "INCR", "a")
	send(t, c, "SET", "b", 2)
	all, err := c.Do("")
	require.Error(t, err)
	assert.False(t, node.SafeToRetry(err), "a part of it ran: %v", err)
	first, ok := all.([]any)[0].(error)
	require.True(t, ok)
	assert.True(t, node.SafeToRetry(first), "that one did not: %v", first)
	require.NoError(t, c.Close())
}

func TestCloseWaitsForNothingThatBlocks(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, c redis.Conn, s *redistest.Server){
		"not flushed": func(t *testing.T, c redis.Conn, _ *redistest.Server) {
			send(t, c, "BLPOP", "a:list", 0)
		},
		"behind others": func(t *testing.T, c redis.Conn, _ *redistest.Server) {
			send(t, c, "SET", "a:key", 1)
			send(t, c, "BLPOP", "a:list", 0)
			send(t, c, "BLMOVE", "a:list", "a:other", "LEFT", "LEFT", 0)
			send(t, c, "SET", "a:key", 2)
		},
		"flushed": func(t *testing.T, c redis.Conn, s *redistest.Server) {
			send(t, c, "BLPOP", "a:list", 0)
			require.NoError(t, c.Flush())
			redistest.WaitFor(t, patient, func() bool { return s.Info("clients")["blocked_clients"] == "1" }, "it blocks")
		},
		"streams": func(t *testing.T, c redis.Conn, _ *redistest.Server) {
			send(t, c, "XREAD", "BLOCK", 0, "STREAMS", "a:stream", "$")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := servers(t, 1, "read_timeout=0")
			c := r.conn()
			prepare(t, c, s[0])
			_ = c.Close()
			redistest.WaitFor(t, patient, func() bool { return s[0].Info("clients")["blocked_clients"] == "0" }, "nobody blocks")
			s[0].Do("RPUSH", "a:list", "x")
			assert.Equal(t, int64(1), s[0].Do("LLEN", "a:list"), "and nobody takes what comes")
			r.requireIdle(t)
		})
	}
}

func TestABlockingCommandOnEveryNodeWaitsAsLongAsItWasToldTo(t *testing.T) {
	r, s := servers(t, 2, "read_timeout=100ms")
	for _, reply := range r.Fan(t.Context(), []int{0, 1}, "BLPOP", []any{"list", 0.3}) {
		require.NoError(t, reply.Err)
		assert.Nil(t, reply.Value)
	}
	s[1].Do("RPUSH", "list", "x")
	replies := r.Fan(t.Context(), []int{0, 1}, "BLPOP", []any{"list", 0.3})
	assert.Nil(t, replies[0].Value)
	assert.Equal(t, []any{[]byte("list"), []byte("x")}, replies[1].Value)
	r.requireIdle(t)
}

func TestALimitOfOnesOwnIsNotForAllWhoShare(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=30s")
	own := r.pools[0].Get()
	must(t, own, "PING")
	require.NoError(t, own.Close())
	r.share(t)
	f[0].Hang()
	for limit, sent := time.Millisecond, false; !sent; limit *= 2 {
		require.Less(t, limit, patient, "nothing is sent")
		c := r.conn()
		_, err := redis.DoWithTimeout(c, limit, "INCR", "a")
		require.Error(t, err)
		sent = node.MaybeExecuted(err) // or the limit has passed before
		_ = c.Close()
	}
	f[0].Resume()
	assert.True(t, r.sharesNow(t, 0), "the others' connection is as it was")
}

func TestTransactionsOfOthersAreNotShared(t *testing.T) {
	r, s := servers(t, 1, "")
	r.share(t)
	c := r.conn()
	must(t, c, "MULTI")
	must(t, c, "INCR", "a")
	for i := range 10 {
		reply, err := r.Do(t.Context(), "INCR", []any{"a"})
		require.NoError(t, err)
		assert.Equal(t, int64(i+1), reply, "it is not queued")
	}
	_, err := r.Do(t.Context(), "MULTI", nil)
	require.ErrorIs(t, err, router.ErrRefused)
	assert.Equal(t, []any{int64(11)}, must(t, c, "EXEC"))
	assert.Equal(t, []byte("11"), s[0].Do("GET", "a"))
	require.NoError(t, c.Close())
}
