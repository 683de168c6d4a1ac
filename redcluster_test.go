package fluster_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// unhurried are pools whose time-outs no slow machine meets.
var unhurried = redistest.PoolOptions{Connect: patient, Read: patient, Write: patient}

// must runs a command that succeeds.
func (f *fleet) must(t testing.TB, cmd string, args ...any) any {
	t.Helper()
	reply, err := f.Do(t.Context(), cmd, args...)
	require.NoError(t, err, "%s %.100q", cmd, args)
	return reply
}

// sizes returns how many keys each server has.
func (f *fleet) sizes() (sizes []int64) {
	for _, s := range f.servers {
		sizes = append(sizes, s.Do("DBSIZE").(int64))
	}
	return sizes
}

// fill sets n keys with one MSET.
func (f *fleet) fill(t testing.TB, n int) (keys []string) {
	var pairs []any
	for i := range n {
		keys = append(keys, fmt.Sprintf("key:%d", i))
		pairs = append(pairs, keys[i], i)
	}
	require.Equal(t, "OK", f.must(t, "MSET", pairs...))
	return keys
}

func texts(t testing.TB, reply any) []string {
	t.Helper()
	list, err := redis.Strings(reply, nil)
	require.NoError(t, err)
	return list
}

func TestFlushingReachesEveryNode(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	for _, flush := range []string{"FLUSHDB", "FLUSHALL"} {
		f.fill(t, 10_000)
		sizes := f.sizes()
		assert.NotContains(t, sizes, int64(0))
		assert.Equal(t, int64(10_000), sizes[0]+sizes[1]+sizes[2])
		assert.Equal(t, int64(10_000), f.must(t, "DBSIZE"))

		assert.Equal(t, "OK", f.must(t, flush))
		assert.Equal(t, []int64{0, 0, 0}, f.sizes())
	}
}

func TestFlushingIsNotOKUnlessAllNodesSaySo(t *testing.T) {
	servers := startServers(t, 2)
	servers = append(servers, redistest.Start(t, "--rename-command", "FLUSHALL", ""))
	f := fleetOf(t, servers, unhurried, fluster.Config{})
	f.fill(t, 100)
	reply, err := f.Do(t.Context(), "FLUSHALL")
	assert.Nil(t, reply)
	assert.ErrorContains(t, err, "1 of 3 nodes failed: node c: ERR unknown command")
	assert.Equal(t, []int64{0, 0}, f.sizes()[:2])
	assert.Positive(t, f.sizes()[2])
}

func TestKEYSListsTheKeysOfAllNodesEachOnce(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	keys := f.fill(t, 500)
	for _, s := range f.servers {
		s.Do("SET", "key:7", "left behind by an outage")
	}
	assert.ElementsMatch(t, keys, texts(t, f.must(t, "KEYS", "*")))
	assert.ElementsMatch(t, []string{"key:1", "key:2"}, texts(t, f.must(t, "KEYS", "key:[12]")))
	assert.Equal(t, []any{}, f.must(t, "KEYS", "nothing"))
}

func TestRANDOMKEYPicksAmongTheNodesThatHaveKeys(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	assert.Nil(t, f.must(t, "RANDOMKEY"))
	f.must(t, "SET", keyOf(t, f.FlusterCluster, "b"), "")
	for range 20 {
		assert.Equal(t, []byte(keyOf(t, f.FlusterCluster, "b")), f.must(t, "RANDOMKEY"))
	}
	f.must(t, "SET", keyOf(t, f.FlusterCluster, "c"), "")
	seen := make(map[string]bool)
	for range 200 {
		seen[string(f.must(t, "RANDOMKEY").([]byte))] = true
	}
	assert.Len(t, seen, 2)
}

func TestWhatAllNodesSayIsSaidOnce(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	assert.Equal(t, "PONG", f.must(t, "PING"))
	assert.Equal(t, []byte("hi"), f.must(t, "PING", "hi"))
	assert.Equal(t, []byte("hi"), f.must(t, "echo", "hi"))
	assert.Equal(t, "Background saving started", f.must(t, "BGSAVE"))
	for _, s := range f.servers {
		assert.Equal(t, 1, s.Executed("bgsave"))
	}
	for _, cmd := range []string{"SELECT 1", "QUIT", "SHUTDOWN NOSAVE", "AUTH secret"} {
		name, args := fromWords(cmd)
		_, err := f.Do(t.Context(), name, args...)
		assert.ErrorIs(t, err, fluster.ErrRefused)
		assert.ErrorContains(t, err, name)
	}
	assert.Equal(t, "PONG", f.must(t, "PING"), "no node was shut down")
}

func TestLASTSAVEIsTheEarliestOfAllNodes(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	saves := func() (times []int64) {
		for _, s := range f.servers {
			times = append(times, s.Do("LASTSAVE").(int64))
		}
		return times
	}
	first := slices.Min(saves())
	for _, i := range []int{0, 2} {
		redistest.WaitFor(t, patient, func() bool {
			f.servers[i].Do("SAVE")
			return f.servers[i].Do("LASTSAVE").(int64) > first+1
		}, "node %s has saved later than the others began", nodeName(i))
	}
	assert.Equal(t, slices.Min(saves()), f.must(t, "LASTSAVE"))
	assert.Equal(t, f.servers[1].Do("LASTSAVE"), f.must(t, "LASTSAVE"))
}

func TestCONFIGIsForAllNodes(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	assert.Equal(t, "OK", f.must(t, "CONFIG", "SET", "maxmemory", "100mb"))
	for _, s := range f.servers {
		limit, err := redis.StringMap(s.Do("CONFIG", "GET", "maxmemory"), nil)
		require.NoError(t, err)
		assert.Equal(t, "104857600", limit["maxmemory"])
	}
	f.servers[1].Do("CONFIG", "SET", "hz", "77")
	settings, err := redis.Values(f.must(t, "CONFIG", "GET", "[mh][az]*y"), nil)
	require.NoError(t, err)
	assert.Contains(t, settings, []byte("maxmemory"))
	assert.Contains(t, settings, []byte("104857600"), "a value on which all agree is given once")

	differing, err := redis.Values(f.must(t, "CONFIG", "GET", "hz"), nil)
	require.NoError(t, err)
	require.Len(t, differing, 2)
	byNode, err := redis.StringMap(differing[1], nil)
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "10", "b": "77", "c": "10"}, byNode)

	assert.Positive(t, f.servers[2].Executed("config|set"))
	assert.Equal(t, "OK", f.must(t, "CONFIG", "RESETSTAT"))
	for _, s := range f.servers {
		assert.Zero(t, s.Executed("config|set"))
	}
	_, err = f.Do(t.Context(), "CONFIG", "DROP", "x")
	assert.ErrorIs(t, err, fluster.ErrRefused)
	assert.ErrorContains(t, err, `unknown subcommand "DROP" of CONFIG, which has GET, HELP, RESETSTAT, REWRITE, SET`)
}

func TestWhatHasNoNodeIsRefusedByName(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	for name, args := range map[string][]any{
		"WATCH": {"k"}, "UNWATCH": nil, "DISCARD": nil, "MULTI": nil, "EXEC": nil, "SUBSCRIBE": {"c"}, // which need a connection
		"SCAN": {0}, "MOVE": {"k", 1}, "WAIT": {0, 0}, "SWAPDB": {0, 1}, "REPLICAOF": {"h", 1}, "MIGRATE": {"h", 1, "k", 0, 1}, "MONITOR": nil,
		"ACL": {"WHOAMI"}, "CLUSTER": {"INFO"}, "SCRIPT KILL": {"KILL"}, "CLIENT KILL": {"KILL", "ID", 1}, "MODULE": {"LIST"},
		"EVAL": {"return 1", 0}, "FCALL": {"f", 0}, // which have no key
		"PERSISTT": {"k"}, "NOSUCH": nil, // which nobody knows
	} {
		cmd, _ := fromWords(name)
		reply, err := f.Do(t.Context(), cmd, args...)
		assert.Nil(t, reply)
		assert.ErrorIs(t, err, fluster.ErrRefused, name)
		assert.ErrorContains(t, err, name)
		assert.True(t, fluster.SafeToRetry(err), name)
	}
	for _, s := range f.servers {
		assert.Zero(t, s.Executed("eval"))
		assert.Zero(t, s.Executed("wait"))
	}
}

func TestWhatHasAKeyIsDoneWhereThatIs(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	for _, name := range []string{"a", "b", "c"} {
		key := keyOf(t, f.FlusterCluster, name)
		f.must(t, "RPUSH", key, 3, 1, 2)
		assert.Equal(t, []string{"1", "2", "3"}, texts(t, f.must(t, "SORT", key)))
		assert.Equal(t, []byte("quicklist"), f.must(t, "OBJECT", "ENCODING", key))
		assert.Equal(t, int64(0), f.must(t, "PERSIST", key))
		assert.Equal(t, []byte("1.5"), f.must(t, "INCRBYFLOAT", "{"+key+"}", 1.5))
	}
	info, err := redis.StringMap(f.must(t, "INFO", "server"), nil)
	require.NoError(t, err)
	for i, s := range f.servers {
		assert.Contains(t, info[nodeName(i)], fmt.Sprintf("tcp_port:%d", s.Port()))
	}
}

func TestATransactionIsQueuedAndItsResultsComeInOrder(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	conn := f.Get()
	defer conn.Close()
	_, err := conn.Do("MULTI")
	require.NoError(t, err)
	key := keyOf(t, f.FlusterCluster, "b")
	var want []any
	for i := range 100 {
		queued, err := conn.Do("SET", key, i)
		require.NoError(t, err)
		assert.Equal(t, "QUEUED", queued)
		_, err = conn.Do("GET", key)
		require.NoError(t, err)
		want = append(want, "OK", fmt.Append(nil, i))
	}
	results, err := redis.Values(conn.Do("EXEC"))
	require.NoError(t, err)
	assert.Equal(t, want, results)
}

func TestATransactionOverSeveralNodesIsRefusedAndDoesNothing(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	conn := f.Get()
	defer conn.Close()
	_, err := conn.Do("MULTI")
	require.NoError(t, err)
	_, err = conn.Do("SET", keyOf(t, f.FlusterCluster, "a"), 1)
	require.NoError(t, err)
	_, err = conn.Do("SET", keyOf(t, f.FlusterCluster, "b"), 1)
	assert.ErrorIs(t, err, fluster.ErrCrossNode)
	_, err = conn.Do("EXEC")
	assert.ErrorContains(t, err, "EXECABORT")
	assert.Equal(t, []int64{0, 0, 0}, f.sizes())
}
