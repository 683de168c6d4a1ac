package fluster_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// transcript is what a connection said to each step of a behaviour.
type transcript struct {
	t     *testing.T
	lines []string
}

// note takes down what was replied. What a PipelineError adds, a pool's connection
// does not know.
func (tr *transcript) note(reply any, err error) {
	var placed *fluster.PipelineError
	if errors.As(err, &placed) {
		err = placed.Err
	}
	tr.lines = append(tr.lines, fmt.Sprintf("%q %v", reply, err))
}

func (tr *transcript) sent(err error) { require.NoError(tr.t, err) }

// behaviours are uses of a redis.Conn, after redigo's own examples and tests. All
// keys and channels share a node.
var behaviours = map[string]func(tr *transcript, get func() redis.Conn){
	"replies of every type": func(tr *transcript, get func() redis.Conn) {
		c := get()
		defer c.Close()
		for _, call := range [][]any{
			{"SET", "{k}s", "v"},
			{"GET", "{k}s"},
			{"GET", "{k}missing"},
			{"INCR", "{k}n"},
			{"INCR", "{k}s"},
			{"RPUSH", "{k}l", "a", []byte("b"), 3, 4.5, true, nil},
			{"LRANGE", "{k}l", 0, -1},
			{"TYPE", "{k}l"},
			{"MGET", "{k}s", "{k}missing", "{k}n"},
			{"DEL", "{k}s", "{k}n", "{k}x"},
			{"GET"},
			{"SET", "{k}s", "v", "NO"},
			{"EVAL", "return {1, {2, 'x'}, false}", 1, "{k}"},
			{"EVAL", "return redis.error_reply('MINE is it')", 1, "{k}"},
		} {
			reply, err := c.Do(call[0].(string), call[1:]...)
			if err != nil {
				reply = nil
			}
			tr.note(reply, err)
		}
	},
	"pipelines": func(tr *transcript, get func() redis.Conn) {
		c := get()
		defer c.Close()
		tr.sent(c.Send("SET", "{k}foo", "bar"))
		tr.sent(c.Send("GET", "{k}foo"))
		tr.sent(c.Send("INCR", "{k}foo"))
		tr.sent(c.Flush())
		for range 3 {
			tr.note(c.Receive())
		}
		tr.sent(c.Send("SET", "{k}foo", "baz"))
		tr.sent(c.Send("LPUSH", "{k}foo", 1))
		tr.note(c.Do("GET", "{k}foo"))
		tr.sent(c.Send("GET", "{k}foo"))
		tr.sent(c.Send("LPUSH", "{k}foo", 1))
		tr.note(c.Do(""))
		tr.note(c.Do(""))
		tr.sent(c.Send("GET", "{k}foo"))
		tr.sent(c.Flush())
		tr.sent(c.Send("GET", "{k}none"))
		tr.note(c.Do("GET", "{k}foo"))
		tr.note(nil, c.Err())
	},
	"transactions": func(tr *transcript, get func() redis.Conn) {
		c := get()
		defer c.Close()
		tr.sent(c.Send("MULTI"))
		tr.sent(c.Send("INCR", "{k}foo"))
		tr.sent(c.Send("INCR", "{k}bar"))
		tr.note(c.Do("EXEC"))
		tr.note(c.Do("MULTI"))
		tr.note(c.Do("SET", "{k}foo", "text"))
		tr.note(c.Do("INCR", "{k}foo"))
		tr.note(c.Do("EXEC"))
		tr.note(c.Do("MULTI"))
		tr.note(c.Do("INCR", "{k}bar"))
		tr.note(c.Do("DISCARD"))
		tr.note(c.Do("GET", "{k}bar"))

		other := get()
		defer other.Close()
		for _, key := range []string{"{k}bar", "{k}unrelated"} {
			tr.note(c.Do("WATCH", "{k}bar"))
			tr.note(other.Do("INCR", key))
			tr.sent(c.Send("MULTI"))
			tr.sent(c.Send("INCR", "{k}bar"))
			tr.note(c.Do("EXEC"))
		}
	},
	"zpop by watching": func(tr *transcript, get func() redis.Conn) {
		c := get()
		defer c.Close()
		for i, member := range []string{"red", "blue", "green"} {
			tr.sent(c.Send("ZADD", "{k}zset", i, member))
		}
		tr.note(c.Do(""))
		tr.note(c.Do("WATCH", "{k}zset"))
		members, err := redis.Strings(c.Do("ZRANGE", "{k}zset", 0, 0))
		tr.note(members, err)
		tr.sent(c.Send("MULTI"))
		tr.sent(c.Send("ZREM", "{k}zset", members[0]))
		tr.note(c.Do("EXEC"))
		tr.note(c.Do("ZRANGE", "{k}zset", 0, -1))
	},
	"scripts": func(tr *transcript, get func() redis.Conn) {
		c := get()
		defer c.Close()
		s := redis.NewScript(2, "return {KEYS[1], KEYS[2], ARGV[1]}")
		tr.note(s.Do(c, "{k}1", "{k}2", "arg"))
		tr.note(s.Do(c, "{k}1", "{k}2", "again"))
		tr.note(s.DoContext(context.Background(), c, "{k}1", "{k}2", "ctx"))
		tr.sent(s.Send(c, "{k}1", "{k}2", "sent"))
		tr.sent(c.Flush())
		tr.note(c.Receive())
		counted := redis.NewScript(-1, "return {#KEYS, #ARGV}")
		tr.sent(counted.Load(c))
		tr.sent(counted.SendHash(c, 1, "{k}1", "x", "y"))
		tr.sent(c.Flush())
		tr.note(c.Receive())
		tr.note(counted.Do(c, 2, "{k}1", "{k}2"))
		tr.note(redis.NewScript(1, "return redis.call('GET')").Hash(), nil)
	},
	"scanning": func(tr *transcript, get func() redis.Conn) {
		c := get()
		defer c.Close()
		type album struct {
			Title  string `redis:"title"`
			Rating int    `redis:"rating"`
			Sold   bool   `redis:"sold"`
		}
		in := album{"Red", 5, true}
		tr.note(c.Do("HMSET", redis.Args{}.Add("{k}album").AddFlat(in)...))
		tr.note(c.Do("HMSET", redis.Args{}.Add("{k}map").AddFlat(map[string]int{"one": 1})...))
		values, err := redis.Values(c.Do("HGETALL", "{k}album"))
		tr.sent(err)
		var out album
		tr.note(nil, redis.ScanStruct(values, &out))
		assert.Equal(tr.t, in, out)

		tr.note(c.Do("RPUSH", redis.Args{}.Add("{k}list").AddFlat([]string{"Earthbound", "1", "Beat", "4"})...))
		values, err = redis.Values(c.Do("LRANGE", "{k}list", 0, -1))
		tr.sent(err)
		var albums []struct {
			Title  string
			Rating int
		}
		tr.note(nil, redis.ScanSlice(values, &albums))
		tr.note(fmt.Sprint(albums), nil)
		values, err = redis.Values(c.Do("MGET", "{k}none", "{k}none2"))
		tr.sent(err)
		var text string
		number := 7
		_, err = redis.Scan(values, &text, &number)
		tr.note(text, err)
	},
	"limits": func(tr *transcript, get func() redis.Conn) {
		c := get()
		defer c.Close()
		tr.note(redis.DoWithTimeout(c, patient, "INCR", "{k}n"))
		tr.note(redis.DoWithTimeout(c, 0, "INCR", "{k}n"))
		tr.note(redis.DoContext(c, context.Background(), "INCR", "{k}n"))
		tr.sent(c.Send("INCR", "{k}n"))
		tr.sent(c.Send("INCR", "{k}n"))
		tr.sent(c.Flush())
		tr.note(redis.ReceiveWithTimeout(c, patient))
		tr.note(redis.ReceiveContext(c, context.Background()))
		_, err := redis.DoWithTimeout(c, 50*time.Millisecond, "BLPOP", "{k}none", 0)
		timeout, ok := err.(interface{ Timeout() bool })
		tr.note(ok && timeout.Timeout(), nil)
	},
	"a subscription": func(tr *transcript, get func() redis.Conn) {
		c := get()
		ps := redis.PubSubConn{Conn: c}
		tr.sent(ps.Subscribe(redis.Args{}.AddFlat([]string{"{k}c1", "{k}c2"})...))
		said := func() { tr.note(fmt.Sprintf("%v", ps.ReceiveWithTimeout(patient)), nil) }
		said()
		said()
		publisher := get()
		defer publisher.Close()
		for _, message := range []string{"hello", "world"} {
			tr.note(publisher.Do("PUBLISH", "{k}c2", message))
			said()
		}
		tr.sent(ps.Ping("ping"))
		said()
		tr.sent(ps.Unsubscribe("{k}c1"))
		said()
		tr.sent(ps.Unsubscribe())
		said()
		tr.sent(ps.Close())
	},
	"after close": func(tr *transcript, get func() redis.Conn) {
		c := get()
		tr.sent(c.Send("SET", "{k}late", "sent and not flushed"))
		tr.note(nil, c.Close())
		_, err := c.Do("GET", "{k}late")
		tr.note(err != nil, nil)
		tr.note(c.Send("GET", "{k}late") != nil, nil)
		tr.note(c.Flush() != nil, nil)
		_, err = c.Receive()
		tr.note(err != nil, nil)
		tr.note(c.Err() != nil, c.Close())
		again := get()
		defer again.Close()
		tr.note(again.Do("GET", "{k}late"))
	},
}

func TestAClusterConnectionBehavesAsAPoolsConnection(t *testing.T) {
	f := openFleet(t, 3, "", fluster.Config{})
	single := redistest.Start(t).Pool(redistest.PoolOptions{})
	defer single.Close()
	for name, behave := range behaviours {
		t.Run(name, func(t *testing.T) {
			one, all := &transcript{t: t}, &transcript{t: t}
			behave(one, single.Get)
			behave(all, f.Get)
			assert.Equal(t, one.lines, all.lines)
			requireAllIdle(t, f)
			conn := single.Get()
			defer conn.Close()
			for _, c := range []redis.Conn{conn, f.Get()} {
				_, err := c.Do("FLUSHALL")
				require.NoError(t, err)
			}
		})
	}
}

// requireAllIdle checks that every node's connections are back in their pools.
func requireAllIdle(t *testing.T, f *fleet) {
	t.Helper()
	redistest.WaitFor(t, patient, func() bool {
		for _, st := range f.Nodes() {
			if s := st.PoolStats; s.ActiveCount != s.IdleCount {
				return false
			}
		}
		return true
	}, "every connection is back in its pool")
}

// pipelined is what a pipeline of many INCRs of different keys came to.
type pipelined struct {
	failed map[string]int           // by node
	heard  map[string]time.Duration // until the last good reply of a node
	total  time.Duration
}

// runPipeline sends an INCR of each key, and receives.
func runPipeline(t *testing.T, f *fleet, homes, keys []string) pipelined {
	t.Helper()
	p := pipelined{failed: make(map[string]int), heard: make(map[string]time.Duration)}
	c := f.Get()
	begun := time.Now()
	for _, key := range keys {
		require.NoError(t, c.Send("INCR", key))
	}
	require.NoError(t, c.Flush())
	for i := range keys {
		_, err := redis.Int(c.Receive())
		if err == nil {
			p.heard[homes[i]] = time.Since(begun)
			continue
		}
		var broken *fluster.NodeError
		require.ErrorAs(t, err, &broken)
		require.Equal(t, homes[i], broken.Node)
		p.failed[homes[i]]++
	}
	p.total = time.Since(begun)
	require.NoError(t, c.Close())
	return p
}

func TestAFrozenNodeCostsTheOthersOfAPipelineNothing(t *testing.T) {
	const limit = 400 * time.Millisecond
	f := openFleet(t, 3, "&read_timeout=400ms", fluster.Config{})
	var homes, keys []string
	for i := range 10_000 {
		keys = append(keys, fmt.Sprintf("key:%d", i))
		n, err := f.Locate(keys[i])
		require.NoError(t, err)
		homes = append(homes, n.Name)
	}
	normal := runPipeline(t, f, homes, keys)
	require.Empty(t, normal.failed)

	w := startStopwatch()
	f.servers[1].Stop()
	frozen := runPipeline(t, f, homes, keys)
	slack := w.slack()
	assert.NotZero(t, frozen.failed["b"])
	assert.Len(t, frozen.failed, 1, "only the frozen node's commands failed")
	for n, s := range f.servers {
		if n != 1 {
			assert.Equal(t, 2*count(homes, nodeName(n)), s.Executed("incr"), "the others executed all theirs")
		}
	}
	assert.Less(t, frozen.total, 2*limit+5*normal.total+slack, "one time-out, not one for each command")
	t.Logf("normal %v, with a frozen node %v", normal.total, frozen.total)
	f.servers[1].Cont()
	waitLive(t, f.FlusterCluster, "b")
	requireAllIdle(t, f)
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

func TestTheLiveNodesRepliesArriveInTheirNormalTimeBesideAFrozenOne(t *testing.T) {
	f := openFleet(t, 3, "&read_timeout=30s", fluster.Config{})
	var keys []string // of the live nodes, and then one of the frozen
	for i := range 10_000 {
		if key := fmt.Sprintf("key:%d", i); homeOf(t, f, key) != "b" {
			keys = append(keys, key)
		}
	}
	frozenKey := keyOf(t, f.FlusterCluster, "b")
	w := startStopwatch()
	normal := receiveAll(t, f, frozenKey, keys)
	f.servers[1].Stop()
	frozen := receiveAll(t, f, frozenKey, keys)
	f.servers[1].Cont()
	t.Logf("live nodes' replies: %v, beside a frozen node %v", normal, frozen)
	assert.Less(t, frozen, 5*normal+500*time.Millisecond+w.slack(), "far from the frozen node's 30 s")
	requireAllIdle(t, f)
}

func homeOf(t *testing.T, f *fleet, key string) string {
	n, err := f.Locate(key)
	require.NoError(t, err)
	return n.Name
}

// receiveAll returns how long it takes to hear the replies for keys in a pipeline
// that ends with a command for last.
func receiveAll(t *testing.T, f *fleet, last string, keys []string) time.Duration {
	c := f.Get()
	begun := time.Now()
	for _, key := range append(slices.Clip(keys), last) {
		require.NoError(t, c.Send("INCR", key))
	}
	for range keys {
		_, err := c.Receive()
		require.NoError(t, err)
	}
	took := time.Since(begun)
	_, _ = redis.ReceiveWithTimeout(c, time.Millisecond)
	_ = c.Close()
	return took
}

func TestAScriptIsReloadedWhereANodeWasRestarted(t *testing.T) {
	f := openFleet(t, 3, "", fluster.Config{})
	c := f.Get()
	defer c.Close()
	s := redis.NewScript(1, "return redis.call('INCR', KEYS[1])")
	require.NoError(t, s.Load(c))
	key := keyOf(t, f.FlusterCluster, "b")
	f.servers[1].Kill()
	f.servers[1].Restart()
	waitLive(t, f.FlusterCluster, "b")
	require.NoError(t, s.SendHash(c, key))
	n, err := redis.Int(c.Receive())
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	f.servers[1].Do("SCRIPT", "FLUSH")
	n, err = redis.Int(c.Do("EVALSHA", s.Hash(), 1, key))
	require.NoError(t, err)
	assert.Equal(t, 2, n)
}
