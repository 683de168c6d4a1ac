package fluster_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestManyKeysAreSplitOverTheirNodesAndJoinedInOrder(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	keys := f.fill(t, 1000)
	var args []any
	var want []any
	for i, key := range keys {
		args = append(args, key, []byte(key), "missing:"+key) // twice, as text and as bytes, and one that is not there
		value := fmt.Append(nil, i)
		want = append(want, value, value, nil)
	}
	assert.Equal(t, want, f.must(t, "mget", args...))
	assert.Equal(t, int64(2000), f.must(t, "EXISTS", args...), "a key counts as often as it is named")
	assert.Equal(t, int64(2000), f.must(t, "TOUCH", args...))
	assert.Equal(t, int64(1000), f.must(t, "DEL", args...), "but is deleted once")
	assert.Equal(t, int64(0), f.must(t, "UNLINK", args...))

	home := keyOf(t, f.FlusterCluster, "b")
	f.must(t, "MSET", home, 1, keyOf(t, f.FlusterCluster, "a"), 2, home, 3)
	assert.Equal(t, []byte("3"), f.must(t, "GET", home), "of two values of one key the last counts")
}

func TestCallsOfOneNodeAreSentWhole(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{Whole: true})
	f.must(t, "MSET", "{x}1", 1, "{x}2", 2)
	f.must(t, "MGET", "{x}1", "{x}2")
	f.must(t, "RENAME", "{x}1", "{x}2")
	f.must(t, "SUNIONSTORE", "{x}3", "{x}4")
	sent := make(map[string]int)
	for _, s := range f.servers {
		for _, cmd := range []string{"mset", "mget", "rename", "sunionstore", "dump", "smembers"} {
			sent[cmd] += s.Executed(cmd)
		}
	}
	assert.Equal(t, map[string]int{"mset": 1, "mget": 1, "rename": 1, "sunionstore": 1, "dump": 0, "smembers": 0}, sent)
}

func TestTheStrictSettingRefusesEverySplit(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{Whole: true, NonAtomic: true})
	a, b := keyOf(t, f.FlusterCluster, "a"), keyOf(t, f.FlusterCluster, "b")
	for _, call := range []string{
		"MGET a b", "MSET a 1 b 2", "DEL a b", "UNLINK a b", "EXISTS a b", "TOUCH a b", "SUNION a b", "SINTER a b", "SDIFF a b",
		"SINTERCARD 2 a b", "ZUNION 2 a b", "ZINTER 2 a b", "ZDIFF 2 a b", "ZINTERCARD 2 a b", "RENAME a b", "MSETNX a 1 b 2", "PFCOUNT a b",
	} {
		cmd, args := fromWords(call)
		for i, arg := range args {
			if key, isKey := map[any]string{"a": a, "b": b}[arg]; isKey {
				args[i] = key
			}
		}
		_, err := f.Do(t.Context(), cmd, args...)
		assert.ErrorIs(t, err, fluster.ErrCrossNode, call)
		assert.ErrorContains(t, err, fmt.Sprintf("%s: %q is on a, %q is on b", cmd, a, b))
		conn := f.Get()
		_, err = conn.Do(cmd, args...)
		assert.ErrorIs(t, err, fluster.ErrCrossNode, call)
		require.NoError(t, conn.Send(cmd, args...))
		_, err = conn.Receive()
		assert.ErrorIs(t, err, fluster.ErrCrossNode, call)
		require.NoError(t, conn.Close())
	}
	assert.Equal(t, []int64{0, 0, 0}, f.sizes())
}

func TestTheKeysOfADeadNodeAreAskedOfTheirStandIns(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{Health: calmHealth})
	keys := f.fill(t, 300)
	home := make([]string, len(keys))
	for i, key := range keys {
		node, err := f.Locate(key)
		require.NoError(t, err)
		home[i] = node.Name
	}
	f.servers[1].Kill()
	values, err := redis.Values(f.must(t, "MGET", redis.Args{}.AddFlat(keys)...), nil)
	require.NoError(t, err)
	for i, value := range values {
		if home[i] == "b" {
			assert.Nil(t, value)
		} else {
			assert.Equal(t, fmt.Append(nil, i), value)
		}
	}
	f.fill(t, 300)
	assert.Equal(t, int64(300), f.must(t, "EXISTS", redis.Args{}.AddFlat(keys)...))
}

// frozen is a cluster of three with 300 keys of which node b does not answer, and
// is not penalized for it.
func frozen(t *testing.T) (f *fleet, keys []string) {
	f = openFleet(t, 3, "&read_timeout=150ms&dial_timeout=150ms", fluster.Config{Health: lenient})
	keys = f.fill(t, 300)
	f.servers[1].Stop()
	t.Cleanup(f.servers[1].Cont)
	return f, keys
}

// held returns how many of the keys are at home on a node.
func (f *fleet) held(t testing.TB, keys []string, name string) (n int64) {
	for _, key := range keys {
		node, err := f.Locate(key)
		require.NoError(t, err)
		if node.Name == name {
			n++
		}
	}
	return n
}

func TestAFrozenNodeCostsMGETOnlyItsOwnKeys(t *testing.T) {
	f, keys := frozen(t)
	reply, err := f.Do(t.Context(), "MGET", redis.Args{}.AddFlat(keys)...)
	assert.Equal(t, []string{"b"}, failedNodes(t, err))
	values, ok := reply.([]any)
	require.True(t, ok)
	require.Len(t, values, len(keys))
	for i, key := range keys {
		if node, _ := f.Locate(key); node.Name != "b" {
			assert.Equal(t, fmt.Append(nil, i), values[i])
			continue
		}
		var ne *fluster.NodeError
		failure, isError := values[i].(error)
		require.True(t, isError, "the error stands in the place of the value: %q", values[i])
		require.ErrorAs(t, failure, &ne)
		assert.Equal(t, "b", ne.Node)
		assert.True(t, ne.Timeout())
	}
}

func TestAFrozenNodeCostsOthersNothingInCountsAndWrites(t *testing.T) {
	f, keys := frozen(t)
	args, pairs := redis.Args{}.AddFlat(keys), redis.Args{}
	for _, key := range keys {
		pairs = append(pairs, key, "new")
	}
	live := int64(len(keys)) - f.held(t, keys, "b")
	reply, err := f.Do(t.Context(), "MSET", pairs...)
	assert.Nil(t, reply, "it is not OK")
	assert.Equal(t, []string{"b"}, failedNodes(t, err))
	assert.True(t, fluster.MaybeExecuted(err), "node b may have it: %v", err)
	for _, cmd := range []string{"EXISTS", "TOUCH", "UNLINK"} {
		n, err := f.Do(t.Context(), cmd, args...)
		assert.Equal(t, live, n, cmd)
		assert.Equal(t, []string{"b"}, failedNodes(t, err), cmd)
		assert.False(t, fluster.SafeToRetry(err), "%s: the others did it", cmd)
	}
	assert.Equal(t, []any{int64(0), int64(0)}, []any{f.servers[0].Do("DBSIZE"), f.servers[2].Do("DBSIZE")})

	_, err = f.Do(t.Context(), "SUNION", args...)
	var ne *fluster.NodeError
	require.ErrorAs(t, err, &ne, "there is no union without all of its sets")
	assert.Equal(t, "b", ne.Node)
}

// A read that got no answer is repeated. That the last try was not even sent does
// not undo the first.
func TestAReadThatMayHaveRunIsNotSafeToRetryBecauseItsRepetitionWasNotSent(t *testing.T) {
	f, keys := frozen(t)
	for _, key := range keys {
		if node, _ := f.Locate(key); node.Name == "b" {
			_, err := f.Do(t.Context(), "GET", key)
			require.Error(t, err)
			assert.True(t, fluster.MaybeExecuted(err), "%v", err)
			assert.False(t, fluster.SafeToRetry(err), "%v", err)
			return
		}
	}
}

func TestWhatANodeRepliesInErrorStandsInThePlaceOfItsKeysOnly(t *testing.T) {
	servers := startServers(t, 1)
	servers = append(servers, redistest.Start(t, "--rename-command", "MGET", "", "--rename-command", "MSET", ""))
	f := fleetOf(t, servers, unhurried, fluster.Config{})
	a, b := keyOf(t, f.FlusterCluster, "a"), keyOf(t, f.FlusterCluster, "b")
	f.must(t, "SET", a, "x")
	f.must(t, "SET", b, "y")
	reply, err := f.Do(t.Context(), "MGET", b, a)
	assert.Equal(t, []string{"b"}, failedNodes(t, err))
	assert.ErrorContains(t, err, "node b: ERR unknown command")
	values, _ := reply.([]any)
	require.Len(t, values, 2)
	assert.Equal(t, []byte("x"), values[1])
	assert.True(t, strings.HasPrefix(fmt.Sprint(values[0]), "ERR unknown command"), "%v", values[0])
	assert.True(t, fluster.MaybeExecuted(err), "one node has done its part")

	_, err = f.Do(t.Context(), "MSET", b, 1, a, 2)
	assert.False(t, fluster.SafeToRetry(err), "one node has set its keys")
	assert.Equal(t, []byte("2"), f.must(t, "GET", a))
	assert.Equal(t, []byte("y"), f.must(t, "GET", b))
}

func TestAnErrorThatAllPartsAgreeOnIsTheServersOwn(t *testing.T) {
	var servers []*redistest.Server
	redistest.NoLeaks(t)
	for range 2 {
		servers = append(servers, redistest.Start(t, "--maxmemory", "1"))
	}
	f := fleetOf(t, servers, unhurried, fluster.Config{Health: lenient})
	a, b := keyOf(t, f.FlusterCluster, "a"), keyOf(t, f.FlusterCluster, "b")
	_, err := f.Do(t.Context(), "MSET", a, 1, b, 2)
	assert.Equal(t, redis.Error("OOM command not allowed when used memory > 'maxmemory'."), err)
	assert.False(t, fluster.MaybeExecuted(err))
}

func TestNothingOfACallThatFailedEverywhereBeforeItWasSentHasRun(t *testing.T) {
	f := startFleet(t, 2, unhurried, fluster.Config{Health: lenient})
	a, b := keyOf(t, f.FlusterCluster, "a"), keyOf(t, f.FlusterCluster, "b")
	for _, s := range f.servers {
		s.Kill()
	}
	_, err := f.Do(t.Context(), "MSET", a, 1, b, 2)
	require.Error(t, err)
	assert.True(t, fluster.SafeToRetry(err), "%v", err)
	assert.False(t, fluster.MaybeExecuted(err), "%v", err)
}

func TestCommandsHoldWhateverTheCaseOfTheirNames(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	a, b := keyOf(t, f.FlusterCluster, "a"), keyOf(t, f.FlusterCluster, "b")
	for _, cmd := range []string{"MSET", "mset", "mSeT"} {
		assert.Equal(t, "OK", f.must(t, cmd, a, 1, b, 2))
	}
	assert.Equal(t, f.must(t, "CONFIG", "GET", "hz"), f.must(t, "config", "get", "hz"))
	assert.Equal(t, []byte("int"), f.must(t, "object", []byte("Encoding"), a))
}
