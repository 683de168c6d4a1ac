package fluster_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// merges is what a Config has.
type merges = map[string]func([]fluster.NodeReply) (any, error)

// seen keeps what a merge was called with.
type seen struct {
	mu      sync.Mutex
	replies []fluster.NodeReply
	calls   int
}

func (s *seen) merge(value any, err error) func([]fluster.NodeReply) (any, error) {
	return func(replies []fluster.NodeReply) (any, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.replies = replies
		s.calls++
		return value, err
	}
}

func largest(replies []fluster.NodeReply) (any, error) {
	var most int64
	for _, r := range replies {
		n, err := redis.Int64(r.Reply, r.Err)
		if err != nil {
			return nil, err
		}
		most = max(most, n)
	}
	return most, nil
}

func TestAMergeOfTheUsersOwnTakesTheDefaultsPlace(t *testing.T) {
	f := openFleet(t, 3, "", fluster.Config{Merge: merges{"dbsize": largest}})
	for _, key := range []string{"w", "x", "y", "z"} {
		f.servers[1].Do("SET", key, 1)
	}
	f.servers[2].Do("SET", "x", 1)

	reply, err := f.Do(t.Context(), "DBSIZE")
	require.NoError(t, err)
	assert.Equal(t, int64(4), reply, "of the largest node, not of all")
	conn := f.Get()
	defer conn.Close()
	reply, err = conn.Do("DbSize")
	require.NoError(t, err)
	assert.Equal(t, int64(4), reply)
	require.NoError(t, conn.Send("PING"))
	require.NoError(t, conn.Send("DBSIZE"))
	replies, err := redis.Values(conn.Do(""))
	require.NoError(t, err)
	assert.Equal(t, []any{"PONG", int64(4)}, replies, "in a pipeline too, and others merge as ever")
}

func TestACommandThatIsRefusedIsHadByAMerge(t *testing.T) {
	var s seen
	f := openFleet(t, 2, "", fluster.Config{Merge: merges{"ACL WHOAMI": s.merge("two of them", nil), "Script Kill": largest}})
	reply, err := f.Do(t.Context(), "ACL", "whoami")
	require.NoError(t, err)
	assert.Equal(t, "two of them", reply)
	require.Len(t, s.replies, 2)
	for i, r := range s.replies {
		assert.Equal(t, nodeName(i), r.Node.Name)
		assert.Equal(t, f.servers[i].Addr(), r.Node.Addr)
		assert.Equal(t, []byte("default"), r.Reply)
		assert.NoError(t, r.Err)
	}
	_, err = f.Do(t.Context(), "SCRIPT", "KILL")
	require.ErrorContains(t, err, "NOTBUSY", "what a node says is the merge's to judge")
	_, err = f.Do(t.Context(), "ACL", "LIST")
	require.ErrorIs(t, err, fluster.ErrRefused, "the others of its kind are refused as ever")

	conn := f.Get()
	defer conn.Close()
	_, err = conn.Do("MULTI")
	require.NoError(t, err)
	_, err = conn.Do("ACL", "WHOAMI")
	require.ErrorIs(t, err, fluster.ErrRefused, "a transaction is of one node")
}

func TestAMergeSeesTheNodesThatFailed(t *testing.T) {
	var reads, writes, unknown seen
	f := openFleet(t, 3, "", fluster.Config{Health: calmHealth, Merge: merges{
		"KEYS": reads.merge(nil, nil), "CONFIG SET": writes.merge("set", nil), "MODULE LIST": unknown.merge(nil, nil),
	}})
	f.servers[1].Kill()
	waitDown(t, f.FlusterCluster, "b")

	_, err := f.Do(t.Context(), "KEYS", "*")
	require.NoError(t, err)
	require.Len(t, reads.replies, 2, "what reads goes to those that live")
	reply, err := f.Do(t.Context(), "CONFIG", "SET", "timeout", "0")
	require.NoError(t, err)
	assert.Equal(t, "set", reply)
	_, err = f.Do(t.Context(), "MODULE", "LIST")
	require.NoError(t, err)
	for _, s := range []*seen{&writes, &unknown} {
		require.Len(t, s.replies, 3, "what may write goes to all")
		require.NoError(t, s.replies[0].Err)
		require.Error(t, s.replies[1].Err)
		assert.True(t, fluster.SafeToRetry(s.replies[1].Err), "nothing was sent to it")
		require.NoError(t, s.replies[2].Err)
	}
}

func TestAMergesErrorIsNotTakenForThatOfOneNode(t *testing.T) {
	for name, tt := range map[string]struct {
		down        []int
		safe, maybe bool
	}{
		"one node was not reached": {[]int{1}, false, true},
		"none was":                 {[]int{0, 1}, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			f := openFleet(t, 2, "", fluster.Config{Health: calmHealth, Merge: merges{
				"FLUSHALL": func(replies []fluster.NodeReply) (any, error) {
					return nil, errors.Join(replies[0].Err, replies[1].Err)
				},
			}})
			require.NoError(t, f.WaitReady(t.Context()))
			for _, i := range tt.down {
				f.servers[i].Kill()
			}
			_, err := f.Do(t.Context(), "FLUSHALL")
			require.Error(t, err)
			assert.Equal(t, tt.safe, fluster.SafeToRetry(err), "%v", err)
			assert.Equal(t, tt.maybe, fluster.MaybeExecuted(err), "%v", err)
		})
	}
}

func TestNewRefusesAMergeThatCannotBe(t *testing.T) {
	ok := func([]fluster.NodeReply) (any, error) { return nil, nil }
	for name, tt := range map[string]struct {
		merge merges
		want  string
	}{
		"no command":              {merges{"NOSUCH": ok}, `Config.Merge["NOSUCH"]: fluster: unknown command "NOSUCH"`},
		"no subcommand":           {merges{"CONFIG NOSUCH": ok}, `unknown subcommand "NOSUCH" of CONFIG`},
		"no subcommand of theirs": {merges{"ACL NOSUCH": ok}, "unknown command"},
		"too many words":          {merges{"CONFIG GET x": ok}, "unknown subcommand"},
		"a kind of commands":      {merges{"ACL": ok}, "ACL is many commands"},
		"another kind":            {merges{"CONFIG": ok}, `Config.Merge["CONFIG"]`},
		"nothing":                 {merges{"": ok}, "unknown command"},
		"a space":                 {merges{"DBSIZE ": ok}, "unknown command"},
		"keys":                    {merges{"mget": ok}, `Config.Merge["mget"]: it has keys`},
		"keys by arguments":       {merges{"EVAL": ok}, "it has keys"},
		"a channel":               {merges{"PUBLISH": ok}, "it has keys"},
		"a state":                 {merges{"SELECT": ok}, "it changes the connection"},
		"a transaction":           {merges{"EXEC": ok}, "it changes the connection"},
		"patterns":                {merges{"PSUBSCRIBE": ok}, "it changes the connection"},
		"a stream":                {merges{"MONITOR": ok}, "it changes the connection"},
		"a wait":                  {merges{"WAIT": ok}, "it may wait"},
		"no function":             {merges{"DBSIZE": nil}, "the function is nil"},
		"twice":                   {merges{"DBSIZE": ok, "dbsize": ok}, "DBSIZE is named twice"},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := fluster.New(fluster.Config{
				Nodes: []fluster.Node{{Name: "a", Pool: redistest.NewFake(t).Pool(redistest.PoolOptions{})}},
				Merge: tt.merge,
			})
			assert.Nil(t, c)
			require.ErrorContains(t, err, tt.want)
			require.ErrorContains(t, err, "fluster: Config.Merge[")
		})
	}
}
