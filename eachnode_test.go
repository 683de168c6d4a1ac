package fluster_test

import (
	"context"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
)

// lenient never penalizes a node for being slow.
var lenient = health.Config{Timeout: patient, Failures: 1_000_000}

// named returns whose replies these are, in their order.
func named(replies []fluster.NodeReply) (names []string) {
	for _, r := range replies {
		names = append(names, r.Node.Name)
	}
	return names
}

// failedNodes returns which nodes an error names.
func failedNodes(t testing.TB, err error) (names []string) {
	t.Helper()
	var many *fluster.NodesError
	require.ErrorAs(t, err, &many)
	for _, r := range many.Failed {
		require.Error(t, r.Err)
		names = append(names, r.Node)
	}
	return names
}

func TestEachGoesToItsTargetsInTheirOrder(t *testing.T) {
	f := startFleet(t, 4, unhurried, fluster.Config{})
	home, err := f.Locate("user:42")
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		to   fluster.Targets
		want []string
	}{
		"live":               {fluster.LiveNodes(), []string{"a", "b", "c", "d"}},
		"all":                {fluster.AllNodes(), []string{"a", "b", "c", "d"}},
		"none said":          {fluster.Targets{}, []string{"a", "b", "c", "d"}},
		"named":              {fluster.NodesNamed("d", "b"), []string{"d", "b"}},
		"no names":           {fluster.NodesNamed(), nil},
		"the home of a key":  {fluster.NodeOf("user:42"), []string{home.Name}},
		"of keys with a tag": {fluster.NodeOf("{user:42}:x"), []string{home.Name}},
	} {
		t.Run(name, func(t *testing.T) {
			replies, err := f.Each(t.Context(), tc.to, "INFO", "server")
			require.NoError(t, err)
			assert.Equal(t, tc.want, named(replies))
			for _, r := range replies {
				require.NoError(t, r.Err)
				node, _ := f.Node(r.Node.Name)
				assert.Equal(t, node, r.Node)
				assert.Contains(t, string(r.Reply.([]byte)), r.Node.Addr[len("127.0.0.1:"):], "another node's reply")
			}
		})
	}
	_, err = f.Each(t.Context(), fluster.NodesNamed("a", "x"), "INCR", "n")
	assert.EqualError(t, err, `fluster: there is no node "x"`)
	assert.Zero(t, f.servers[0].Executed("incr"))
}

func TestAnyNodeIsEveryNodeNowAndThen(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	seen := make(map[string]int)
	for range 300 {
		replies, err := f.Each(t.Context(), fluster.AnyNode(), "PING")
		require.NoError(t, err)
		require.Len(t, replies, 1)
		seen[replies[0].Node.Name]++
	}
	assert.Len(t, seen, 3)
}

func TestEachRunsAnyCommandOnceOnEachNode(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	for _, call := range []string{"INCR n", "SCAN 0", "WAIT 0 0", "EVAL return(1) 0", "MSET x 1 y 2", "SCRIPT KILL"} {
		cmd, args := fromWords(call)
		replies, err := f.Each(t.Context(), fluster.AllNodes(), cmd, args...)
		assert.Len(t, replies, 3, call)
		assert.Equal(t, call == "SCRIPT KILL", err != nil, "%s: %v", call, err)
	}
	for _, s := range f.servers {
		assert.Equal(t, 1, s.Executed("incr"))
		assert.Equal(t, []byte("1"), s.Do("GET", "n"))
	}
	_, err := f.Each(t.Context(), fluster.AllNodes(), "SCRIPT", "KILL")
	var reply redis.Error
	assert.ErrorAs(t, err, &reply, "a server's error reply is found in it")
	assert.Equal(t, []string{"a", "b", "c"}, failedNodes(t, err))
	assert.False(t, fluster.MaybeExecuted(err))
}

func TestADeadNodeCostsTheOthersNothing(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{Health: calmHealth})
	f.fill(t, 300)
	f.servers[1].Kill()
	replies, err := f.Each(t.Context(), fluster.AllNodes(), "DBSIZE")
	assert.Equal(t, []string{"a", "b", "c"}, named(replies))
	assert.Equal(t, []string{"b"}, failedNodes(t, err))
	var ne *fluster.NodeError
	require.ErrorAs(t, replies[1].Err, &ne)
	assert.Equal(t, "b", ne.Node)
	assert.Nil(t, replies[1].Reply)
	for _, i := range []int{0, 2} {
		assert.NoError(t, replies[i].Err)
		assert.Equal(t, f.servers[i].Do("DBSIZE"), replies[i].Reply)
	}
	assert.False(t, fluster.SafeToRetry(err), "the others did it")

	waitDown(t, f.FlusterCluster, "b")
	replies, err = f.Each(t.Context(), fluster.LiveNodes(), "PING")
	require.NoError(t, err)
	assert.Equal(t, []string{"a", "c"}, named(replies))
	replies, err = f.Each(t.Context(), fluster.NodesNamed("b"), "INCR", "n")
	assert.Equal(t, []string{"b"}, failedNodes(t, err))
	assert.Len(t, replies, 1)
	assert.True(t, fluster.SafeToRetry(err), "it was sent to nobody")
	assert.False(t, fluster.MaybeExecuted(err))
	for range 20 {
		replies, err = f.Each(t.Context(), fluster.AnyNode(), "PING")
		require.NoError(t, err)
		assert.NotEqual(t, []string{"b"}, named(replies))
	}
}

// calmHealth keeps a dead node out for longer than a test takes.
var calmHealth = health.Config{MinWait: time.Hour, MaxWait: time.Hour}

func TestWithANodeDownReadsAskTheLiveOnesAndWritesSayWhoIsMissing(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{Health: calmHealth})
	f.fill(t, 300)
	f.servers[1].Kill()
	_, err := f.Each(t.Context(), fluster.AllNodes(), "PING")
	require.Error(t, err)
	waitDown(t, f.FlusterCluster, "b")

	live := f.servers[0].Do("DBSIZE").(int64) + f.servers[2].Do("DBSIZE").(int64)
	assert.Equal(t, live, f.must(t, "DBSIZE"))
	assert.Len(t, f.must(t, "KEYS", "*"), int(live))
	assert.Equal(t, "PONG", f.must(t, "PING"))
	assert.NotNil(t, f.must(t, "RANDOMKEY"))

	for _, call := range []string{"CONFIG SET maxmemory-samples 7", "SCRIPT LOAD return(1)", "FLUSHALL"} {
		cmd, args := fromWords(call)
		reply, err := f.Do(t.Context(), cmd, args...)
		assert.Equal(t, []string{"b"}, failedNodes(t, err), call)
		assert.False(t, fluster.SafeToRetry(err), call)
		if cmd == "SCRIPT" {
			assert.Len(t, reply, 40, "the others said what the script's hash is")
		} else {
			assert.Nil(t, reply, "it is not OK")
		}
	}
	for _, i := range []int{0, 2} {
		assert.Equal(t, int64(0), f.servers[i].Do("DBSIZE"))
		assert.Equal(t, 1, f.servers[i].Executed("script|load"))
		samples, err := redis.StringMap(f.servers[i].Do("CONFIG", "GET", "maxmemory-samples"), nil)
		require.NoError(t, err)
		assert.Equal(t, "7", samples["maxmemory-samples"])
	}
}

func TestWhenNobodyLivesOrAllIsOverEachSaysSo(t *testing.T) {
	f := startFleet(t, 2, unhurried, fluster.Config{Health: calmHealth})
	for _, s := range f.servers {
		s.Kill()
	}
	_, err := f.Each(t.Context(), fluster.AllNodes(), "INCR", "n")
	assert.Equal(t, []string{"a", "b"}, failedNodes(t, err))
	assert.True(t, fluster.SafeToRetry(err), "nobody got it")
	waitDown(t, f.FlusterCluster, "a")
	waitDown(t, f.FlusterCluster, "b")
	for _, to := range []fluster.Targets{fluster.LiveNodes(), fluster.AnyNode(), fluster.NodeOf("k")} {
		replies, err := f.Each(t.Context(), to, "PING")
		assert.ErrorIs(t, err, fluster.ErrClusterEmpty)
		assert.Empty(t, replies)
	}
	for _, cmd := range []string{"DBSIZE", "PING", "RANDOMKEY", "FLUSHALL"} {
		_, err := f.Do(t.Context(), cmd)
		assert.ErrorIs(t, err, fluster.ErrClusterEmpty, cmd)
	}
	_, err = f.Do(t.Context(), "MGET", "a", "b", "c", "d", "e")
	assert.ErrorIs(t, err, fluster.ErrClusterEmpty)

	require.NoError(t, f.Close())
	for _, to := range []fluster.Targets{fluster.LiveNodes(), fluster.AllNodes(), fluster.NodesNamed("a"), fluster.AnyNode(), fluster.NodeOf("k")} {
		_, err := f.Each(t.Context(), to, "PING")
		assert.ErrorIs(t, err, fluster.ErrClosed)
	}
	_, err = f.Do(t.Context(), "DBSIZE")
	assert.ErrorIs(t, err, fluster.ErrClosed)
}

func TestAFrozenNodeHoldsUpEachOnlyUntilItsContextEnds(t *testing.T) {
	f := openFleet(t, 3, "&read_timeout=30s", fluster.Config{Health: lenient})
	_, err := f.Each(t.Context(), fluster.AllNodes(), "PING")
	require.NoError(t, err)
	f.servers[2].Stop()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begun := time.Now()
	replies, err := f.Each(ctx, fluster.AllNodes(), "INCR", "n")
	assert.Less(t, time.Since(begun), patient/2, "it did not wait for the time-out")
	assert.Equal(t, []string{"c"}, failedNodes(t, err))
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.True(t, fluster.MaybeExecuted(err), "it was sent")
	assert.False(t, fluster.SafeToRetry(err))
	for _, r := range replies[:2] {
		assert.Equal(t, int64(1), r.Reply)
		assert.NoError(t, r.Err)
	}
	f.servers[2].Cont()
}

func TestEachDoesNothingWhenItsContextIsOver(t *testing.T) {
	f := startFleet(t, 2, unhurried, fluster.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	replies, err := f.Each(ctx, fluster.AllNodes(), "INCR", "n")
	assert.ErrorIs(t, err, context.Canceled)
	assert.Empty(t, replies)
	_, err = f.Do(ctx, "FLUSHALL")
	assert.ErrorIs(t, err, context.Canceled)
	for _, s := range f.servers {
		assert.Zero(t, s.Executed("incr")+s.Executed("flushall"))
	}
}

func TestWhatNodesSayDifferentlyIsToldByNode(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	f.servers[1].Do("CONFIG", "SET", "slowlog-log-slower-than", 0)
	f.servers[1].Do("PING")
	lengths, err := redis.IntMap(f.must(t, "SLOWLOG", "LEN"), nil)
	require.NoError(t, err)
	assert.Positive(t, lengths["b"])
	assert.Zero(t, lengths["a"]+lengths["c"])

	times, err := redis.Values(f.must(t, "TIME"), nil)
	require.NoError(t, err)
	require.Len(t, times, 6)
	for i, name := range []string{"a", "b", "c"} {
		assert.Equal(t, []byte(name), times[2*i])
		assert.Len(t, times[2*i+1], 2)
	}
	sha := f.must(t, "SCRIPT", "LOAD", "return 1").([]byte)
	f.servers[2].Do("SCRIPT", "FLUSH")
	assert.Equal(t, []any{int64(0), int64(0)}, f.must(t, "SCRIPT", "EXISTS", sha, "x"), "one node lacks it")
	f.must(t, "SCRIPT", "LOAD", "return 1")
	assert.Equal(t, []any{int64(1), int64(0)}, f.must(t, "SCRIPT", "EXISTS", sha, "x"))
	assert.Equal(t, []byte("lib"), f.must(t, "FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function('f', function() return 7 end)"))
	assert.Equal(t, int64(7), f.must(t, "FCALL", "f", 1, "any key"))
}

func TestSubscribersOfAllNodesAreCounted(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	for i, s := range f.servers {
		conn := s.Pool(unhurried).Get()
		defer conn.Close()
		for range i + 1 {
			_, err := conn.Do("SUBSCRIBE", "news")
			require.NoError(t, err)
		}
		_, err := conn.Do("PSUBSCRIBE", "n*"+nodeName(i))
		require.NoError(t, err)
	}
	assert.Equal(t, []any{[]byte("news")}, f.must(t, "PUBSUB", "CHANNELS"))
	assert.Equal(t, []any{[]byte("news"), int64(3), []byte("none"), int64(0)}, f.must(t, "PUBSUB", "NUMSUB", "news", "none"))
	assert.Equal(t, int64(3), f.must(t, "PUBSUB", "NUMPAT"))
}
