package router_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

// half is a cluster of a real server, node A, and one that the test answers
// for, node B.
type half struct {
	router *router.Router
	real   *redistest.Server
	fake   *redistest.Fake
}

func newHalf(t *testing.T) *half {
	t.Helper()
	h := &half{real: redistest.StartUnix(t), fake: redistest.NewFake(t)}
	patient := redistest.PoolOptions{Read: -1}
	h.router = letteredRouter(t, h.real.Pool(patient), h.fake.Pool(patient))
	return h
}

// answer makes the fake reply to commands by their names; nil is no reply. Others
// it answers with 0.
func (h *half) answer(replies map[string]func() []byte) {
	h.fake.Handle(func(cmd []string) []byte {
		name := strings.ToUpper(cmd[0])
		if reply, ok := replies[name]; ok {
			if bytes := reply(); bytes != nil {
				return bytes
			}
			return []byte{}
		}
		if name == "PING" {
			return []byte("+PONG\r\n")
		}
		return []byte(":0\r\n")
	})
}

func fixed(reply string) func() []byte { return func() []byte { return []byte(reply) } }

const (
	full    = "-OOM command not allowed when used memory > 'maxmemory'.\r\n"
	loading = "-LOADING Redis is loading the dataset in memory\r\n"
)

func (h *half) do(ctx context.Context, line string) (any, error) {
	cmd, args := words(line)
	return h.router.Do(ctx, cmd, args)
}

func (h *half) list(t *testing.T) []string {
	t.Helper()
	items, err := redis.Strings(h.real.Do("LRANGE", "a:list", 0, -1), nil)
	require.NoError(t, err)
	return items
}

func TestAnItemThatCannotBePushedGoesBackToItsOwnEnd(t *testing.T) {
	h := newHalf(t)
	h.real.Do("RPUSH", "a:list", 1, 2, 3)
	h.answer(map[string]func() []byte{"LPUSH": fixed(full)})
	for _, call := range []string{"LMOVE a:list b:list LEFT LEFT", "RPOPLPUSH a:list b:list"} {
		_, err := h.do(context.Background(), call)
		assert.Equal(t, redis.Error(strings.Trim(full, "-\r\n")), err, call)
		assert.Equal(t, []string{"1", "2", "3"}, h.list(t), call)
	}
}

func TestAnItemIsRatherInBothListsThanInNone(t *testing.T) {
	h := newHalf(t)
	h.real.Do("RPUSH", "a:list", 1, 2, 3)
	h.answer(map[string]func() []byte{"RPUSH": func() []byte { h.fake.Drop(); return nil }})
	_, err := h.do(context.Background(), "LMOVE a:list b:list LEFT RIGHT")
	require.ErrorContains(t, err, `LMOVE: an item was put back into "a:list" on A, and may be in "b:list" on B too`)
	assert.True(t, node.MaybeExecuted(err))
	assert.False(t, node.SafeToRetry(err))
	assert.Equal(t, []string{"1", "2", "3"}, h.list(t))
}

func TestAnItemIsPutBackThoughTheCallersTimeIsOver(t *testing.T) {
	h := newHalf(t)
	h.real.Do("RPUSH", "a:list", 1, 2, 3)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	h.answer(map[string]func() []byte{"LPUSH": func() []byte { cancel(); return nil }})
	_, err := h.do(ctx, "LMOVE a:list b:list RIGHT LEFT")
	require.ErrorIs(t, err, context.Canceled)
	assert.True(t, node.MaybeExecuted(err))
	assert.Equal(t, []string{"1", "2", "3"}, h.list(t))
}

func TestAnItemThatIsNowhereIsTheReplyBesideTheError(t *testing.T) {
	h := newHalf(t)
	h.real.Do("RPUSH", "a:list", 1, 2, 3)
	h.answer(map[string]func() []byte{"LPUSH": func() []byte { h.real.Kill(); return []byte(loading) }})
	item, err := h.do(context.Background(), "LMOVE a:list b:list LEFT LEFT")
	require.ErrorContains(t, err, `an item was taken from "a:list" on A, not surely put into "b:list" on B, and not surely put back`)
	require.ErrorContains(t, err, `if not, it is held in "fluster:moving:`)
	assert.Equal(t, []byte("1"), item)
	assert.False(t, node.SafeToRetry(err), "that the push is safe to retry does not make the call so")
}

func TestAMemberIsNotLostWhereItCannotBeRemoved(t *testing.T) {
	h := newHalf(t)
	for _, reply := range []string{loading, ""} {
		h.answer(map[string]func() []byte{"SISMEMBER": fixed(":1\r\n"), "SREM": func() []byte {
			if reply == "" {
				h.fake.Drop()
			}
			return []byte(reply)
		}})
		_, err := h.do(context.Background(), "SMOVE b:set a:set m")
		require.ErrorContains(t, err, `SMOVE: the member was put into "a:set" on A, but not surely removed from "b:set" on B`)
		assert.True(t, node.MaybeExecuted(err), "a part of it was")
		assert.False(t, node.SafeToRetry(err))
		assert.Equal(t, int64(1), h.real.Do("SISMEMBER", "a:set", "m"))
	}
}

func TestAKeyThatChangesWhileItIsRenamedIsNotRemoved(t *testing.T) {
	h := newHalf(t)
	for what, change := range map[string][]any{
		"changed":     {"INCR", "a:key"},
		"its time is": {"EXPIRE", "a:key", 1000},
		"gone":        {"DEL", "a:key"},
	} {
		t.Run(what, func(t *testing.T) {
			h.real.Do("SET", "a:key", 1)
			h.answer(map[string]func() []byte{"RESTORE": func() []byte {
				_, err := h.real.Try(change[0].(string), change[1:]...)
				assert.NoError(t, err)
				return []byte("+OK\r\n")
			}})
			_, err := h.do(context.Background(), "RENAME a:key b:key")
			require.ErrorContains(t, err, `RENAME: "a:key" on A was copied to "b:key" on B, but not surely removed: it was changed or removed`)
			assert.False(t, node.SafeToRetry(err))
			if what != "gone" {
				assert.Equal(t, int64(1), h.real.Do("EXISTS", "a:key"))
			}
		})
	}
}

func TestAKeyWhoseCopyWasRefusedStays(t *testing.T) {
	h := newHalf(t)
	h.real.Do("SET", "a:key", 1)
	h.answer(map[string]func() []byte{"RESTORE": fixed("-ERR DUMP payload version or checksum are wrong\r\n")})
	for _, call := range []string{"RENAME a:key b:key", "RENAMENX a:key b:key", "COPY a:key b:key"} {
		_, err := h.do(context.Background(), call)
		assert.Equal(t, redis.Error("ERR DUMP payload version or checksum are wrong"), err, call)
	}
	h.answer(map[string]func() []byte{"RESTORE": func() []byte { h.fake.Drop(); return nil }})
	_, err := h.do(context.Background(), "RENAME a:key b:key")
	assert.True(t, node.MaybeExecuted(err))
	assert.Equal(t, int64(1), h.real.Do("EXISTS", "a:key"))
}

func TestKeysThatAreHalfSetAreNamed(t *testing.T) {
	h := newHalf(t)
	for reply, why := range map[string]string{":0\r\n": "came to exist meanwhile", loading: "LOADING"} {
		h.real.Do("FLUSHALL")
		h.answer(map[string]func() []byte{"MSETNX": fixed(reply)})
		_, err := h.do(context.Background(), "MSETNX b:key 1 a:key 2")
		require.ErrorContains(t, err, `MSETNX: keys were set on ["A"], but not surely on B: `)
		assert.ErrorContains(t, err, why)
		assert.False(t, node.SafeToRetry(err))
		assert.Equal(t, []byte("2"), h.real.Do("GET", "a:key"))
	}
}

func TestTheFirstNodeDecidesBetweenCallsThatSetTheSameKeys(t *testing.T) {
	h := newHalf(t)
	h.answer(map[string]func() []byte{"EXISTS": func() []byte {
		_, err := h.real.Try("SET", "a:key", "mine") // after both were asked, or before: all the same
		assert.NoError(t, err)
		return []byte(":0\r\n")
	}})
	reply, err := h.do(context.Background(), "MSETNX b:key 1 a:key 2")
	require.NoError(t, err)
	assert.Equal(t, int64(0), reply)
	assert.Zero(t, h.fake.Received("MSETNX"))
}

func TestADeadNodeLeavesAllAsItWas(t *testing.T) {
	h := newHalf(t)
	h.fake.Crash()
	h.real.Do("RPUSH", "a:list", 3, 1, 2)
	h.real.Do("SADD", "a:set", 1)
	h.real.Do("ZADD", "a:zset", 1, 1)
	h.real.Do("PFADD", "a:sketch", 1)
	before := dataset(t, h.real.Try)
	for _, call := range []string{
		"SUNIONSTORE b:x a:set a:set", "SUNIONSTORE a:set a:set b:x", "ZUNIONSTORE b:x 1 a:zset", "ZUNIONSTORE a:zset 2 b:x a:zset",
		"ZRANGESTORE b:x a:zset 0 -1", "ZRANGESTORE a:zset b:x 0 -1", "SORT a:list STORE b:x", "SORT b:x STORE a:list",
		"RENAME a:list b:x", "RENAME b:x a:list", "RENAMENX a:list b:x", "COPY a:list b:x", "COPY b:x a:list REPLACE",
		"LMOVE a:list b:x LEFT LEFT", "RPOPLPUSH b:x a:list", "SMOVE b:x a:set 1",
		"MSETNX a:x 1 b:x 2", "PFCOUNT a:sketch b:x", "PFCOUNT b:x a:sketch", "PFMERGE a:sketch b:x", "PFMERGE b:x a:sketch",
	} {
		_, err := h.do(context.Background(), call)
		var broken *node.Error
		require.ErrorAs(t, err, &broken, call)
		assert.Equal(t, "B", broken.Node, call)
		assert.True(t, node.SafeToRetry(err), call)
		assert.Equal(t, before, dataset(t, h.real.Try), call)
	}
}

func TestAReadThatFailsIsSafeToRetry(t *testing.T) {
	h := newHalf(t)
	h.real.Do("SADD", "a:set", 1)
	for call, read := range map[string]string{
		"SUNIONSTORE a:set a:set b:x": "SMEMBERS", "ZRANGESTORE a:x b:x 0 -1": "EXEC", "RENAME b:x a:x": "DUMP",
		"LMOVE a:x b:x LEFT LEFT": "LLEN", "SMOVE b:x a:x 1": "SISMEMBER", "MSETNX a:x 1 b:x 1": "EXISTS",
		"PFCOUNT a:x b:x": "GET", "PFCOUNT b:x a:x": "EXEC", "PFMERGE a:x b:x": "GET",
	} {
		h.answer(map[string]func() []byte{read: func() []byte { h.fake.Drop(); return nil }})
		_, err := h.do(context.Background(), call)
		require.Error(t, err, call)
		assert.Positive(t, h.fake.Received(read), call)
		assert.True(t, node.SafeToRetry(err), "%s: %v", call, err)
	}
}

func TestAResultWhoseStoringGotNoAnswerMayBeThere(t *testing.T) {
	h := newHalf(t)
	h.real.Do("SADD", "a:set", 1)
	h.answer(map[string]func() []byte{"EXEC": func() []byte { h.fake.Drop(); return nil }})
	for _, call := range []string{"SUNIONSTORE b:x a:set a:n", "PFMERGE b:x a:n"} {
		_, err := h.do(context.Background(), call)
		assert.True(t, node.MaybeExecuted(err), "%s: %v", call, err)
	}
}

func TestNothingOfATransactionRunsIfAPartOfItIsRefused(t *testing.T) {
	h := newHalf(t)
	h.real.Do("SADD", "a:set", 1)
	h.answer(map[string]func() []byte{"SADD": fixed(full)})
	_, err := h.do(context.Background(), "SUNIONSTORE b:x a:set a:n")
	assert.Equal(t, redis.Error(strings.Trim(full, "-\r\n")), err)
	assert.Zero(t, h.fake.Received("EXEC"))
	assert.Positive(t, h.fake.Received("DISCARD"), "the connection goes back to its pool clean")

	h.answer(map[string]func() []byte{"SADD": func() []byte { h.fake.Drop(); return nil }})
	_, err = h.do(context.Background(), "SUNIONSTORE b:x a:set a:n")
	require.Error(t, err)
	assert.True(t, node.SafeToRetry(err), "what was only queued has not run: %v", err)
	assert.Zero(t, h.fake.Received("EXEC"))
}

func TestADestinationThatIsDeletedAndNotWrittenIsNamed(t *testing.T) {
	h := newHalf(t)
	h.real.Do("SADD", "a:set", 1)
	h.answer(map[string]func() []byte{"EXEC": fixed("*2\r\n:1\r\n" + loading)})
	_, err := h.do(context.Background(), "SUNIONSTORE b:x a:set a:n")
	require.ErrorContains(t, err, `SUNIONSTORE: "b:x" on B was deleted, and not written in full: LOADING`)
	assert.False(t, node.SafeToRetry(err))
}

func TestATimeToLiveIsKeptToItsLastMillisecond(t *testing.T) {
	h := newHalf(t)
	h.real.Do("SET", "a:key", 1)
	dump, err := redis.String(h.real.Do("DUMP", "a:key"), nil)
	require.NoError(t, err)
	for _, tc := range []struct {
		ttl   string
		want  any
		check func(int64) bool
	}{
		{":0\r\n", "OK", func(ttl int64) bool { return ttl != -1 }},
		{":-1\r\n", "OK", func(ttl int64) bool { return ttl == -1 }},
		{":-2\r\n", redis.Error("ERR no such key"), func(ttl int64) bool { return ttl == -2 }},
		{":500000\r\n", "OK", func(ttl int64) bool { return ttl > 400000 && ttl <= 500000 }},
	} {
		h.real.Do("FLUSHALL")
		h.answer(map[string]func() []byte{
			"WATCH": fixed("+OK\r\n"), "DUMP": fixed(fmt.Sprintf("$%d\r\n%s\r\n", len(dump), dump)), "PTTL": fixed(tc.ttl),
			"EXEC": fixed("*1\r\n:1\r\n"),
		})
		got, err := h.do(context.Background(), "RENAME b:key a:key")
		if err != nil {
			got = err
		}
		assert.Equal(t, tc.want, got)
		ttl, err := redis.Int64(h.real.Do("PTTL", "a:key"), nil)
		require.NoError(t, err)
		assert.True(t, tc.check(ttl), "%q became %d", tc.ttl, ttl)
	}
}

func TestAKeyThatCannotBeReadIsNotRenamed(t *testing.T) {
	h := newHalf(t)
	h.answer(map[string]func() []byte{"DUMP": fixed("-NOPERM this user has no permissions\r\n")})
	_, err := h.do(context.Background(), "RENAME b:key a:key")
	assert.Equal(t, redis.Error("NOPERM this user has no permissions"), err)
	assert.Equal(t, int64(0), h.real.Do("EXISTS", "a:key"))
}

func TestAFrozenNodeIsWaitedForUntilTheContextEnds(t *testing.T) {
	h := newHalf(t)
	h.answer(nil)
	_, err := h.do(context.Background(), "MSETNX a:warm 1 b:warm 1")
	require.Error(t, err, "the fake sets nothing")
	h.fake.Hang()
	h.real.Do("SADD", "a:set", 1)
	h.real.Do("RPUSH", "a:list", 1)
	for _, call := range []string{"SUNIONSTORE b:x a:set", "RENAME a:list b:x", "LMOVE a:list b:x LEFT LEFT", "MSETNX a:x 1 b:x 1", "PFMERGE b:x a:n", "SORT b:x STORE a:x"} {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(20*time.Millisecond, cancel)
		_, err := h.do(ctx, call)
		require.ErrorIs(t, err, context.Canceled, call)
		assert.Equal(t, []string{"1"}, h.list(t))
	}
}

func TestRenamesInOppositeDirectionsDoNotWaitForEachOther(t *testing.T) {
	one := redistest.PoolOptions{Read: -1, MaxActive: 1, Wait: true}
	servers := []*redistest.Server{redistest.StartUnix(t), redistest.StartUnix(t)}
	r := letteredRouter(t, servers[0].Pool(one), servers[1].Pool(one))
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	servers[0].Do("SET", "a:0", 1)
	servers[1].Do("SET", "b:1", 1)
	var wg sync.WaitGroup
	for n := range 2 {
		wg.Go(func() {
			names := []any{fmt.Sprint("a:", n), fmt.Sprint("b:", n)}
			if n == 1 {
				slices.Reverse(names)
			}
			for range 100 {
				_, err := r.Do(ctx, "RENAME", names)
				if !assert.NoError(t, err) {
					return
				}
				slices.Reverse(names)
			}
		})
	}
	wg.Wait()
}
