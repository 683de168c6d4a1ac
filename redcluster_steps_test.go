package fluster_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
)

// inStepsOver is a cluster of three that does in steps what several nodes cannot
// do at once, and a key on each node.
func inStepsOver(t *testing.T) (f *fleet, a, b, c string) {
	f = startFleet(t, 3, unhurried, fluster.Config{NonAtomic: true})
	return f, keyOf(t, f.FlusterCluster, "a"), keyOf(t, f.FlusterCluster, "b"), keyOf(t, f.FlusterCluster, "c")
}

// refusal is the error reply to a call.
func (f *fleet) refusal(t testing.TB, cmd string, args ...any) string {
	t.Helper()
	reply, err := f.Do(t.Context(), cmd, args...)
	var refused redis.Error
	require.ErrorAs(t, err, &refused, "%s %q: %v", cmd, args, reply)
	return string(refused)
}

func TestRENAMEOverTwoNodesMovesTheKeyWithItsTypeAndTTL(t *testing.T) {
	f, a, b, _ := inStepsOver(t)
	assert.Equal(t, "ERR no such key", f.refusal(t, "RENAME", a, b))
	for name, fill := range map[string][]any{
		"string": {"SET", a, "v"}, "list": {"RPUSH", a, "x", "y"}, "zset": {"ZADD", a, 1.5, "x"}, "hash": {"HSET", a, "x", "y"},
	} {
		t.Run(name, func(t *testing.T) {
			f.must(t, "SET", b, "old")
			f.must(t, fill[0].(string), fill[1:]...)
			f.must(t, "PEXPIRE", a, 1_000_000)
			assert.Equal(t, "OK", f.must(t, "RENAME", a, b))
			assert.Equal(t, int64(0), f.must(t, "EXISTS", a))
			assert.Equal(t, name, f.must(t, "TYPE", b))
			assert.InDelta(t, 1_000_000, f.must(t, "PTTL", b), 60_000)
			f.must(t, "DEL", b)
		})
	}
	f.must(t, "SET", a, "same")
	assert.Equal(t, "OK", f.must(t, "RENAME", a, a), "as servers since 3.2 have it")
	f.must(t, "SET", b, "taken")
	assert.Equal(t, int64(0), f.must(t, "RENAMENX", a, b))
	f.must(t, "DEL", b)
	assert.Equal(t, int64(1), f.must(t, "RENAMENX", a, b))
	assert.Equal(t, []byte("same"), f.must(t, "GET", b))
}

func TestRPOPLPUSHOverTwoNodesMovesAnItem(t *testing.T) {
	f, a, b, _ := inStepsOver(t)
	assert.Nil(t, f.must(t, "RPOPLPUSH", a, b))
	f.must(t, "RPUSH", a, 1, 2)
	f.must(t, "RPUSH", b, 3)
	assert.Equal(t, []byte("2"), f.must(t, "RPOPLPUSH", a, b))
	assert.Equal(t, []string{"2", "3"}, texts(t, f.must(t, "LRANGE", b, 0, -1)))
	assert.Equal(t, []byte("1"), f.must(t, "LMOVE", a, b, "LEFT", "RIGHT"))
	assert.Equal(t, []string{"2", "3", "1"}, texts(t, f.must(t, "LRANGE", b, 0, -1)))
	assert.Equal(t, int64(0), f.must(t, "EXISTS", a))
}

func TestBRPOPLPUSHWorksOnOneNodeAndIsRefusedOverTwo(t *testing.T) {
	f, a, b, _ := inStepsOver(t)
	f.must(t, "RPUSH", a, "item")
	assert.Equal(t, []byte("item"), f.must(t, "BRPOPLPUSH", a, "{"+a+"}2", 1))
	assert.Nil(t, f.must(t, "BRPOPLPUSH", a, "{"+a+"}2", 0.01))
	_, err := f.Do(t.Context(), "BRPOPLPUSH", "{"+a+"}2", b, 1)
	assert.ErrorIs(t, err, fluster.ErrCrossNode)
	assert.Equal(t, int64(1), f.must(t, "LLEN", "{"+a+"}2"))
}

func TestSMOVEOverTwoNodesMovesAMember(t *testing.T) {
	f, a, b, _ := inStepsOver(t)
	assert.Equal(t, int64(0), f.must(t, "SMOVE", a, b, "m"), "no source")
	f.must(t, "SADD", a, "m", "n")
	assert.Equal(t, int64(0), f.must(t, "SMOVE", a, b, "x"), "no such member")
	assert.Equal(t, int64(1), f.must(t, "SMOVE", a, b, "m"))
	assert.Equal(t, int64(0), f.must(t, "SISMEMBER", a, "m"))
	assert.Equal(t, int64(1), f.must(t, "SISMEMBER", b, "m"))
}

// numbers adds the numbers from..to to a set.
func (f *fleet) numbers(t testing.TB, key string, from, to int) (members []string) {
	for n := from; n <= to; n++ {
		f.must(t, "SADD", key, n)
		members = append(members, fmt.Sprint(n))
	}
	return members
}

func TestSetsOfSeveralNodesAreCombined(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	a, b, c := keyOf(t, f.FlusterCluster, "a"), keyOf(t, f.FlusterCluster, "b"), keyOf(t, f.FlusterCluster, "c")
	all, some := f.numbers(t, a, 1, 10), f.numbers(t, b, 5, 10)
	assert.ElementsMatch(t, all[:4], texts(t, f.must(t, "SDIFF", a, b)))
	assert.ElementsMatch(t, some, texts(t, f.must(t, "SINTER", a, b)))
	assert.ElementsMatch(t, all, texts(t, f.must(t, "SUNION", a, b)))
	assert.Equal(t, int64(6), f.must(t, "SINTERCARD", 2, a, b))
	assert.Empty(t, f.must(t, "SDIFF", c, a, b), "the first set is unknown")
	assert.Empty(t, f.must(t, "SINTER", c, a, b), "the first set is unknown")
	assert.ElementsMatch(t, all, texts(t, f.must(t, "SUNION", c, a, b)))
}

func TestStoringACombinationRepliesHowManyThereAre(t *testing.T) {
	f, a, b, c := inStepsOver(t)
	all, some := f.numbers(t, a, 1, 10), f.numbers(t, b, 5, 10)
	for cmd, want := range map[string][]string{"SDIFFSTORE": all[:4], "SINTERSTORE": some, "SUNIONSTORE": all} {
		f.must(t, "SET", c, "is replaced")
		assert.Equal(t, int64(len(want)), f.must(t, cmd, c, a, b), cmd)
		assert.ElementsMatch(t, want, texts(t, f.must(t, "SMEMBERS", c)), cmd)
	}
}

func TestAnEmptyCombinationDeletesTheDestination(t *testing.T) {
	f, a, b, c := inStepsOver(t)
	f.must(t, "SADD", b, "m")
	f.must(t, "ZADD", "{"+b+"}z", 1, "m")
	for _, call := range [][]any{
		{"SDIFFSTORE", c, a, b},
		{"SINTERSTORE", c, a, b},
		{"SUNIONSTORE", c, a, "{" + a + "}2"},
		{"ZINTERSTORE", c, 2, a, "{" + b + "}z"},
		{"ZUNIONSTORE", c, 1, a},
		{"ZDIFFSTORE", c, 2, a, b},
		{"ZRANGESTORE", c, a, 0, -1},
	} {
		f.must(t, "SET", c, "was here")
		assert.Equal(t, int64(0), f.must(t, call[0].(string), call[1:]...), call)
		assert.Equal(t, int64(0), f.must(t, "EXISTS", c), call)
	}
}

// scored reads a sorted set.
func (f *fleet) scored(t testing.TB, key string) map[string]float64 {
	scores, err := redis.Float64Map(f.Do(t.Context(), "ZRANGE", key, 0, -1, "WITHSCORES"))
	require.NoError(t, err)
	return scores
}

func TestZINTERSTOREAndZUNIONSTOREOverSeveralNodes(t *testing.T) {
	f, a, b, c := inStepsOver(t)
	f.must(t, "ZADD", a, 1, "x", 2, "y")
	f.must(t, "ZADD", b, 10, "x", 20, "y", 30, "z")
	for options, want := range map[string][3]float64{
		"":                          {11, 22, 30},
		"WEIGHTS 10 1":              {20, 40, 30},
		"WEIGHTS 5 1 AGGREGATE MIN": {5, 10, 30},
		"WEIGHTS 5 1 AGGREGATE MAX": {10, 20, 30},
		"AGGREGATE sum":             {11, 22, 30},
	} {
		_, words := fromWords("OPTIONS " + options)
		args := append([]any{c, 2, a, b}, words...)
		assert.Equal(t, int64(2), f.must(t, "ZINTERSTORE", args...), options)
		assert.Equal(t, map[string]float64{"x": want[0], "y": want[1]}, f.scored(t, c), options)
		assert.Equal(t, int64(3), f.must(t, "ZUNIONSTORE", args...), options)
		assert.Equal(t, map[string]float64{"x": want[0], "y": want[1], "z": want[2]}, f.scored(t, c), options)
	}
}

func TestABadArgumentTouchesNothing(t *testing.T) {
	f, a, b, c := inStepsOver(t)
	f.must(t, "ZADD", a, 1, "x")
	f.must(t, "ZADD", b, 1, "x")
	f.must(t, "SET", c, "untouched")
	for _, cmd := range []string{"ZINTERSTORE", "ZUNIONSTORE"} {
		assert.Equal(t, "ERR syntax error", f.refusal(t, cmd, c, 2, a, b, "AGGREGATE", "AVG"))
		assert.Equal(t, "ERR weight value is not a float", f.refusal(t, cmd, c, 2, a, b, "WEIGHTS", 1, "x"))
		assert.Equal(t, "WRONGTYPE Operation against a key holding the wrong kind of value", f.refusal(t, cmd, c, 2, a, c))
	}
	assert.Equal(t, []byte("untouched"), f.must(t, "GET", c))
}

func TestScoresStayFloats(t *testing.T) {
	f, a, b, c := inStepsOver(t)
	f.must(t, "ZADD", a, 1.25, "x", -2.5, "y")
	f.must(t, "ZADD", b, 0.5, "x", 1e-9, "y")
	f.must(t, "ZUNIONSTORE", c, 2, a, b)
	assert.Equal(t, map[string]float64{"x": 1.75, "y": -2.5 + 1e-9}, f.scored(t, c))
}

func TestWithoutNonAtomicWhatNeedsStepsIsRefusedAndNothingIsSent(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	a, b, c := keyOf(t, f.FlusterCluster, "a"), keyOf(t, f.FlusterCluster, "b"), keyOf(t, f.FlusterCluster, "c")
	f.must(t, "SET", a, 1)
	before := f.served()
	require.NotEmpty(t, before)
	for _, call := range []string{
		"RENAME a b", "RENAMENX a b", "COPY a b", "RPOPLPUSH a b", "LMOVE a b LEFT LEFT", "SMOVE a b m", "MSETNX a 1 b 2",
		"SDIFFSTORE c a b", "SINTERSTORE c a b", "SUNIONSTORE c a b", "ZINTERSTORE c 2 a b", "ZUNIONSTORE c 2 a b", "ZDIFFSTORE c 2 a b",
		"ZRANGESTORE a b 0 -1", "GEOSEARCHSTORE a b FROMMEMBER m BYRADIUS 1 km", "GEORADIUS a 1 1 1 km STORE b", "SORT a STORE b",
		"PFCOUNT a b", "PFMERGE a b", "BITOP AND a b c", "LCS a b", "BLPOP a b 0", "BLMOVE a b LEFT LEFT 0", "XREAD STREAMS a b 0 0",
		"LMPOP 2 a b LEFT", "ZMPOP 2 a b MIN", "BZPOPMIN a b 0", "EVAL - 2 a b",
	} {
		cmd, args := fromWords(call)
		for i, arg := range args {
			if name, isKey := map[any]string{"a": a, "b": b, "c": c}[arg]; isKey {
				args[i] = name
			}
		}
		reply, err := f.Do(t.Context(), cmd, args...)
		assert.Nil(t, reply, call)
		assert.ErrorIs(t, err, fluster.ErrCrossNode, call)
		assert.ErrorContains(t, err, cmd)
		assert.True(t, fluster.SafeToRetry(err), call)
		assert.False(t, fluster.MaybeExecuted(err), call)
	}
	assert.Equal(t, before, f.served())
}

// served lists what the servers have executed, but for what checks their health.
func (f *fleet) served() (commands []string) {
	for _, s := range f.servers {
		for name, stat := range s.Info("commandstats") {
			if name != "cmdstat_info" && name != "cmdstat_ping" && name != "cmdstat_unlink" {
				commands = append(commands, s.Addr()+name+stat)
			}
		}
	}
	slices.Sort(commands)
	return commands
}
