package router_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

// lettered is a cluster on which a key's first letter is its node: a, b, c...
type lettered []*redis.Pool

func (l lettered) View() router.View            { return l }
func (l lettered) Len() int                     { return len(l) }
func (l lettered) Name(n int) string            { return string(rune('A' + n)) }
func (l lettered) Pool(n int) *redis.Pool       { return l[n] }
func (l lettered) Locate(k string) (int, error) { return int(k[0] - 'a'), nil }
func (l lettered) Live() ([]int, error) {
	live := make([]int, len(l))
	for n := range live {
		live[n] = n
	}
	return live, nil
}

// letteredRouter routes over pools, which become those of nodes.
func letteredRouter(t testing.TB, pools ...*redis.Pool) *router.Router {
	t.Helper()
	cluster := make(lettered, len(pools))
	for n, p := range pools {
		require.True(t, node.Claim(p))
		of := node.New(node.Config{Name: cluster.Name(n), Pool: p, Timeout: 30 * time.Second, Sink: func(context.Context, health.Evidence) {}})
		t.Cleanup(of.Close)
		cluster[n] = p
	}
	return router.New(cluster, router.Config{NonAtomic: true})
}

// twins are a cluster of three servers, and one server by itself that is to have
// all that they have.
type twins struct {
	t      testing.TB
	router *router.Router
	nodes  []*redistest.Server
	single redis.Conn
}

func newTwins(t testing.TB) *twins {
	t.Helper()
	tw := &twins{t: t}
	var pools []*redis.Pool
	for range 3 {
		s := redistest.StartUnix(t)
		tw.nodes = append(tw.nodes, s)
		pools = append(pools, s.Pool(redistest.PoolOptions{Read: -1}))
	}
	tw.router = letteredRouter(t, pools...)
	pool := redistest.StartUnix(t).Pool(redistest.PoolOptions{Read: -1})
	t.Cleanup(func() { _ = pool.Close() })
	tw.single = pool.Get()
	t.Cleanup(func() { _ = tw.single.Close() })
	return tw
}

// flush empties all servers.
func (tw *twins) flush() {
	tw.t.Helper()
	for _, s := range tw.nodes {
		s.Do("FLUSHALL")
	}
	_, err := tw.single.Do("FLUSHALL")
	require.NoError(tw.t, err)
}

// do runs a call on both sides, and compares what they say.
func (tw *twins) do(cmd string, args ...any) (reply any) {
	tw.t.Helper()
	got, err := tw.router.Do(context.Background(), cmd, args)
	want, wantErr := tw.single.Do(cmd, args...)
	if wantErr != nil {
		require.Equal(tw.t, wantErr, err, "%s %q", cmd, args)
		return nil
	}
	require.NoError(tw.t, err, "%s %q", cmd, args)
	require.Equal(tw.t, want, got, "%s %q", cmd, args)
	return got
}

// compare compares all that is stored, and returns how many keys that are.
func (tw *twins) compare(after string, args ...any) int {
	tw.t.Helper()
	want := dataset(tw.t, tw.single.Do)
	got := make(map[string]stored)
	for n, s := range tw.nodes {
		for key, value := range dataset(tw.t, s.Try) {
			require.Equal(tw.t, n, int(key[0]-'a'), "%q is on the wrong node after %s %q", key, after, args)
			got[key] = value
		}
	}
	for key, w := range want {
		g, ok := got[key]
		require.True(tw.t, ok, "%q is missing after %s %q", key, after, args)
		const slack = 100e3 // ms
		assert.LessOrEqual(tw.t, math.Abs(float64(w.ttl-g.ttl)), slack, "time to live of %q after %s %q", key, after, args)
		w.ttl, g.ttl = min(w.ttl, 0), min(g.ttl, 0)
		require.Equal(tw.t, w, g, "%q after %s %q", key, after, args)
	}
	require.Len(tw.t, got, len(want), "after %s %q", after, args)
	return len(want)
}

// stored is what is stored under a key.
type stored struct {
	kind  string
	ttl   int64 // ms; -1 is for ever
	value any
}

type doer func(cmd string, args ...any) (any, error)

// dataset is all that a server has.
func dataset(t testing.TB, do doer) map[string]stored {
	t.Helper()
	keys, err := redis.Strings(do("KEYS", "*"))
	require.NoError(t, err)
	all := make(map[string]stored)
	for _, key := range keys {
		kind, err := redis.String(do("TYPE", key))
		require.NoError(t, err)
		ttl, err := redis.Int64(do("PTTL", key))
		require.NoError(t, err)
		value, err := content(do, kind, key)
		require.NoError(t, err)
		all[key] = stored{kind, ttl, value}
	}
	return all
}

func content(do doer, kind, key string) (any, error) {
	switch kind {
	case "string":
		return redis.String(do("GET", key))
	case "set":
		members, err := redis.Strings(do("SMEMBERS", key))
		slices.Sort(members)
		return members, err
	case "zset":
		return redis.Strings(do("ZRANGE", key, 0, -1, "WITHSCORES"))
	case "list":
		return redis.Strings(do("LRANGE", key, 0, -1))
	case "hash":
		return redis.StringMap(do("HGETALL", key))
	case "stream":
		entries, err := do("XRANGE", key, "-", "+")
		return fmt.Sprintf("%q", entries), err
	}
	return nil, fmt.Errorf("%s is a %s", key, kind)
}
