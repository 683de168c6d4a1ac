package router_test

import (
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

// must is a Do that succeeds.
func must(t testing.TB, c redis.Conn, cmd string, args ...any) any {
	t.Helper()
	reply, err := c.Do(cmd, args...)
	require.NoError(t, err, "%s %v", cmd, args)
	return reply
}

func TestATransactionStandsOnTheNodeOfItsFirstKey(t *testing.T) {
	r, s := servers(t, 2, "")
	c := r.conn()
	assert.Equal(t, "OK", must(t, c, "MULTI"))
	assert.Equal(t, "QUEUED", must(t, c, "INCR", "b:1"))
	assert.Equal(t, "QUEUED", must(t, c, "MGET", "b:1", "b:2"))
	assert.Nil(t, s[1].Do("GET", "b:1"), "nothing ran yet")
	reply := must(t, c, "EXEC").([]any)
	assert.Equal(t, []any{int64(1), []any{[]byte("1"), nil}}, reply)
	assert.Zero(t, s[0].Executed("multi"))
	must(t, c, "INCR", "a")
	require.NoError(t, c.Close())
	r.requireIdle(t)
}

func TestTransactionsOfOnePipelineFollowEachOther(t *testing.T) {
	r, _ := servers(t, 2, "")
	c := r.conn()
	for i := range 20 {
		key := []string{"a", "b"}[i/2%2]
		send(t, c, "MULTI")
		send(t, c, "INCR", key)
		if i%3 == 0 {
			require.NoError(t, c.Flush())
		}
		send(t, c, "INCR", key)
		send(t, c, []string{"EXEC", "DISCARD"}[i%2])
	}
	for i := range 20 {
		for j, want := range []any{"OK", "QUEUED", "QUEUED", nil} {
			reply, err := c.Receive()
			require.NoError(t, err)
			switch {
			case j < 3:
				require.Equal(t, want, reply)
			case i%2 == 1:
				require.Equal(t, "OK", reply)
			default:
				n := int64(i/4*2 + 1)
				require.Equal(t, []any{n, n + 1}, reply)
			}
		}
	}
	require.NoError(t, c.Close())
	r.requireIdle(t)
}

func TestATransactionOfNoKeysAsksNobody(t *testing.T) {
	r, f := fakes(t, 2, "")
	c := r.conn()
	must(t, c, "MULTI")
	assert.Equal(t, []any{}, must(t, c, "EXEC"))
	must(t, c, "MULTI")
	assert.Equal(t, "OK", must(t, c, "DISCARD"))
	assert.Equal(t, "OK", must(t, c, "UNWATCH"))
	send(t, c, "MULTI")
	send(t, c, "EXEC")
	replies, err := redis.Values(c.Do(""))
	require.NoError(t, err)
	assert.Equal(t, []any{"OK", []any{}}, replies)
	require.NoError(t, c.Close())
	assert.Zero(t, f[0].Accepted()+f[1].Accepted())
}

func TestAChangedWatchedKeyEndsTheTransaction(t *testing.T) {
	r, s := servers(t, 2, "")
	c := r.conn()
	for changed, want := range map[bool]any{true: nil, false: []any{"OK"}} {
		must(t, c, "WATCH", "a:1", "a:2")
		must(t, c, "GET", "a:1")
		must(t, c, "GET", "b:1") // elsewhere, which is no concern of the transaction
		if changed {
			s[0].Do("SET", "a:2", "x")
		}
		must(t, c, "MULTI")
		must(t, c, "SET", "a:1", "y")
		assert.Equal(t, want, must(t, c, "EXEC"), "changed: %v", changed)
	}
	must(t, c, "WATCH", "a:1")
	s[0].Do("SET", "a:1", "z")
	must(t, c, "UNWATCH")
	must(t, c, "MULTI")
	must(t, c, "SET", "a:1", "y")
	assert.Equal(t, []any{"OK"}, must(t, c, "EXEC"))
	require.NoError(t, c.Close())
	r.requireIdle(t)
}

func TestAKeyElsewhereDiscardsTheTransaction(t *testing.T) {
	for name, watched := range map[string]bool{"multi": false, "watch and multi": true} {
		t.Run(name, func(t *testing.T) {
			r, s := servers(t, 2, "")
			c := r.conn()
			if watched {
				must(t, c, "WATCH", "a")
			}
			must(t, c, "MULTI")
			must(t, c, "SET", "a", "1")
			_, err := c.Do("SET", "b", "1")
			require.ErrorIs(t, err, router.ErrCrossNode)
			assert.Equal(t, "QUEUED", must(t, c, "SET", "a", "2"), "as a server says that knows better")
			assert.Equal(t, "QUEUED", must(t, c, "UNWATCH"))
			_, err = c.Do("EXEC")
			require.ErrorContains(t, err, "EXECABORT")
			assert.Nil(t, s[0].Do("GET", "a"))
			assert.Equal(t, "", s[1].Info("commandstats")["cmdstat_set"], "nothing was sent to the other node")
			assert.Zero(t, s[1].Executed("multi"))

			must(t, c, "SET", "b", "usable")
			redistest.WaitFor(t, patient, func() bool {
				s := r.pools[0].Stats()
				return s.ActiveCount == s.IdleCount
			}, "the discarded transaction's connection is back")
			must(t, c, "MULTI")
			must(t, c, "SET", "b", "2")
			assert.Equal(t, []any{"OK"}, must(t, c, "EXEC"))
			require.NoError(t, c.Close())
			r.requireIdle(t)
		})
	}
}

func TestKeysOfSeveralNodesDiscardTheTransaction(t *testing.T) {
	r, f := fakes(t, 2, "")
	c := r.conn()
	must(t, c, "MULTI")
	_, err := c.Do("MGET", "a", "b")
	require.ErrorIs(t, err, router.ErrCrossNode)
	_, err = c.Do("EXEC")
	require.ErrorContains(t, err, "EXECABORT")
	must(t, c, "MULTI")
	_, err = c.Do("DBSIZE")
	require.ErrorIs(t, err, router.ErrRefused)
	assert.Equal(t, "OK", must(t, c, "DISCARD"))
	must(t, c, "MULTI")
	require.ErrorIs(t, c.Send("SUBSCRIBE", "a"), router.ErrRefused)
	_, err = c.Do("EXEC")
	require.ErrorContains(t, err, "EXECABORT")
	require.NoError(t, c.Close())
	assert.Zero(t, f[0].Accepted()+f[1].Accepted())
}

func TestWatchingKeysOfSeveralNodesIsRefused(t *testing.T) {
	r, _ := servers(t, 2, "")
	c := r.conn()
	_, err := c.Do("WATCH", "a", "b")
	require.ErrorIs(t, err, router.ErrCrossNode)
	must(t, c, "WATCH", "a")
	_, err = c.Do("WATCH", "b")
	require.ErrorIs(t, err, router.ErrCrossNode)
	must(t, c, "MULTI")
	must(t, c, "INCR", "a")
	assert.Equal(t, []any{int64(1)}, must(t, c, "EXEC"), "what was watched is watched")
	require.NoError(t, c.Close())
	r.requireIdle(t)
}

// multi makes a fake server know the commands of transactions, though it runs what
// belongs to one at once. It refuses MULTI with that error, if there is one.
func multi(refuse string) redistest.Handler {
	return func(cmd []string) []byte {
		switch {
		case cmd[0] == "MULTI" && refuse != "":
			return redistest.Error(refuse)
		case cmd[0] == "MULTI", cmd[0] == "WATCH", cmd[0] == "DISCARD", cmd[0] == "UNWATCH":
			return redistest.Simple("OK")
		case cmd[0] == "EXEC":
			return redistest.Array()
		}
		return nil
	}
}

func TestNothingRunsOutsideATransactionThatTheServerRefused(t *testing.T) {
	r, f := fakes(t, 1, "")
	f[0].Handle(multi("NOPERM this user has no permissions to run the 'multi' command"))
	c := r.conn()
	assert.Equal(t, "OK", must(t, c, "MULTI"), "no node is known yet")
	for _, cmd := range []string{"INCR", "INCR", "EXEC"} {
		args := []any{"a"}
		if cmd == "EXEC" {
			args = nil
		}
		_, err := c.Do(cmd, args...)
		require.ErrorContains(t, err, "NOPERM", cmd)
	}
	assert.Zero(t, f[0].Received("INCR")+f[0].Received("EXEC"))
	must(t, c, "INCR", "a")
	require.NoError(t, c.Close())
	r.requireIdle(t)
}

func TestANodeThatDiesInATransactionTakesItAlong(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, c redis.Conn){
		"after multi": func(t *testing.T, c redis.Conn) {
			must(t, c, "MULTI")
			must(t, c, "INCR", "a:1")
		},
		"after watch": func(t *testing.T, c redis.Conn) {
			must(t, c, "WATCH", "a:1")
			must(t, c, "MULTI")
		},
		"before multi": func(t *testing.T, c redis.Conn) {
			must(t, c, "WATCH", "a:1")
			must(t, c, "GET", "a:1")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := servers(t, 2, "")
			c := r.conn()
			begin(t, c)
			s[0].Kill()
			s[0].Restart()
			if name == "before multi" {
				_, err := c.Do("MULTI")
				require.Error(t, err)
			}
			_, err := c.Do("INCR", "a:2")
			var broken *node.Error
			require.ErrorAs(t, err, &broken)
			_, err = c.Do("INCR", "a:3")
			require.ErrorAs(t, err, &broken)
			_, err = c.Do("EXEC")
			require.ErrorAs(t, err, &broken)
			assert.False(t, node.MaybeExecuted(err), "%v", err)
			assert.Zero(t, s[0].Do("DBSIZE"), "nothing ran outside the transaction")
			assert.Zero(t, s[1].Do("DBSIZE"))

			must(t, c, "INCR", "a:4")
			must(t, c, "MULTI")
			must(t, c, "INCR", "a:4")
			assert.Equal(t, []any{int64(2)}, must(t, c, "EXEC"))
			require.NoError(t, c.Close())
			r.requireIdle(t)
		})
	}
}

func TestWhatFollowsABrokenTransactionInAPipelineIsNotBrokenWithIt(t *testing.T) {
	r, s := servers(t, 1, "")
	c := r.conn()
	must(t, c, "MULTI")
	must(t, c, "INCR", "a:1")
	s[0].Kill()
	s[0].Restart()
	_, err := c.Do("INCR", "a:1")
	require.Error(t, err)
	send(t, c, "INCR", "a:1")
	send(t, c, "EXEC")
	send(t, c, "SET", "a:2", "x")
	send(t, c, "MULTI")
	send(t, c, "INCR", "a:3")
	send(t, c, "EXEC")
	var errs []error
	for range 6 {
		_, err := c.Receive()
		errs = append(errs, err)
	}
	require.Error(t, errs[0])
	require.Error(t, errs[1])
	for _, err := range errs[2:] {
		require.NoError(t, err)
	}
	require.NoError(t, c.Close())
	r.requireIdle(t)
}

func TestCloseLeavesNothingOfATransactionBehind(t *testing.T) {
	for name, begin := range map[string]func(t *testing.T, c redis.Conn){
		"multi not sent": func(t *testing.T, c redis.Conn) { send(t, c, "MULTI") },
		"multi":          func(t *testing.T, c redis.Conn) { must(t, c, "MULTI") },
		"queued":         func(t *testing.T, c redis.Conn) { must(t, c, "MULTI"); must(t, c, "SET", "a", "x") },
		"queued, due":    func(t *testing.T, c redis.Conn) { send(t, c, "MULTI"); send(t, c, "SET", "a", "x") },
		"watch":          func(t *testing.T, c redis.Conn) { must(t, c, "WATCH", "a") },
		"watch, multi":   func(t *testing.T, c redis.Conn) { must(t, c, "WATCH", "a"); must(t, c, "MULTI") },
		"aborted": func(t *testing.T, c redis.Conn) {
			must(t, c, "MULTI")
			must(t, c, "SET", "a", "x")
			_, err := c.Do("SET", "b", "x")
			require.ErrorIs(t, err, router.ErrCrossNode)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r, s := servers(t, 2, "pool_size=1")
			c := r.conn()
			begin(t, c)
			require.NoError(t, c.Close())
			r.requireIdle(t)
			s[0].Do("SET", "a", "y") // would end a transaction that watches it

			next := r.pools[0].Get()
			defer next.Close()
			assert.Equal(t, "OK", must(t, next, "SET", "a:2", "z"), "not queued")
			must(t, next, "MULTI")
			must(t, next, "GET", "a")
			assert.Equal(t, []any{[]byte("y")}, must(t, next, "EXEC"))
		})
	}
}
