package fluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// atOnce calls f in n goroutines until it returns false or the returned function
// is called, which waits for them.
func atOnce(n int, f func(goroutine int) bool) (stop func()) {
	var stopped atomic.Bool
	var wg sync.WaitGroup
	for g := range n {
		wg.Go(func() {
			for !stopped.Load() && f(g) {
			}
		})
	}
	return func() {
		stopped.Store(true)
		wg.Wait()
	}
}

func TestRow01RoutedReadsSurviveAKill(t *testing.T) {
	r := beginTrial(t, 1, "a node dies twice: reads by Do", "kill -9")
	f := openFleet(t, 3, "&read_timeout=2s", fluster.Config{})
	var calls, longest atomic.Int64
	stop := atOnce(callers, func(g int) bool {
		begun := time.Now()
		_, err := f.Do(t.Context(), "GET", fmt.Sprintf("key:%d:%d", g, calls.Add(1)%1000))
		if took := int64(time.Since(begun)); took > longest.Load() {
			longest.Store(took)
		}
		return assert.NoError(t, err, "no read fails")
	})
	defer stop()
	for range 2 {
		awaitMore(t, &calls, 3000)
		f.servers[1].Kill()
		waitDown(t, f.FlusterCluster, "b")
		awaitMore(t, &calls, 3000)
		f.servers[1].Restart()
		waitLive(t, f.FlusterCluster, "b")
	}
	awaitMore(t, &calls, 3000)
	stop()
	r.Calls, r.Longest = int(calls.Load()), time.Duration(longest.Load())
	r.within(longestCall, r.Longest, "the longest call") // though one read may take two seconds
}

func awaitMore(t *testing.T, calls *atomic.Int64, n int64) {
	t.Helper()
	from := calls.Load()
	redistest.WaitFor(t, patient, func() bool { return calls.Load() >= from+n || t.Failed() }, "%d more calls", n)
}

func TestRow58RoutedCountersAreNeverCountedTwice(t *testing.T) {
	eachBuilder(t, 58, "a node dies under counters, by Do", "kill -9, an append-only file", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk}, "--appendonly", "yes", "--appendfsync", "always")
		l := startRouted(r.t, f.FlusterCluster, callers)
		l.goOn(r.t, 2000)
		f.servers[1].Kill()
		waitDown(r.t, f.FlusterCluster, "b")
		l.goOn(r.t, 1000)
		l.finish()
		f.servers[1].Restart()
		failed := r.ended(f, l, false) // which holds the sum against what was acknowledged
		assert.LessOrEqual(r.t, most(failed), 1+again(r.slack()), "a caller failed more than once: %v", kinds(failed))
		r.onlyOut(f.FlusterCluster, "b")
	})
}

func TestATransactionWhoseNodeDiesRunsNowhere(t *testing.T) {
	f := openFleet(t, 3, "", fluster.Config{})
	key := keyOf(t, f.FlusterCluster, "b")
	c := f.Get()
	defer c.Close()
	for _, cmd := range []string{"MULTI", "INCR"} {
		args := []any{key}
		if cmd == "MULTI" {
			args = nil
		}
		_, err := c.Do(cmd, args...)
		require.NoError(t, err)
	}
	f.servers[1].Kill()
	waitDown(t, f.FlusterCluster, "b")
	_, err := c.Do("INCR", key)
	require.Error(t, err)
	_, err = c.Do("EXEC")
	require.Error(t, err)
	assert.False(t, fluster.MaybeExecuted(err), "%v", err)
	n, err := redis.Int(c.Do("EXISTS", key))
	require.NoError(t, err, "the connection is good for more")
	assert.Zero(t, n, "on the stand-in")
	f.servers[1].Restart()
	waitLive(t, f.FlusterCluster, "b")
	n, err = redis.Int(c.Do("EXISTS", key))
	require.NoError(t, err)
	assert.Zero(t, n, "at home")
}

// nonces makes calls whose replies can be nobody else's, and checks them.
type nonces struct {
	t     *testing.T
	f     *fleet
	next  atomic.Int64
	heard atomic.Int64
}

func (n *nonces) nonce() string { return fmt.Sprintf("nonce:%d", n.next.Add(1)) }

// check compares a reply with what only this call can have got. A key that was lost
// with its node is nil.
func (n *nonces) check(want string, reply any, err error) bool {
	if err != nil || reply == nil {
		return true
	}
	n.heard.Add(1)
	got, _ := redis.String(reply, nil)
	return assert.Equal(n.t, want, got, "a reply to another call")
}

const echo = "return ARGV[1]"

// byDo calls Do, at times with a context that ends early.
func (n *nonces) byDo(rnd *rand.Rand) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patient)
	if rnd.IntN(20) == 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(rnd.IntN(2000))*time.Microsecond)
	}
	defer cancel()
	nonce := n.nonce()
	if rnd.IntN(2) == 0 {
		reply, err := n.f.Do(ctx, "EVAL", echo, 1, nonce, nonce)
		return n.check(nonce, reply, err)
	}
	if _, err := n.f.Do(ctx, "SET", nonce, nonce); err != nil {
		return true
	}
	reply, err := n.f.Do(ctx, "GET", nonce)
	return n.check(nonce, reply, err)
}

// byPipeline sends some calls and receives, at times not all of them, at times not
// for long.
func (n *nonces) byPipeline(rnd *rand.Rand) bool {
	c := n.f.Get()
	defer c.Close()
	want := make([]string, 1+rnd.IntN(50))
	for i := range want {
		want[i] = n.nonce()
		_ = c.Send("SET", want[i], want[i])
		if rnd.IntN(2) == 0 {
			_ = c.Send("EVAL", echo, 1, want[i], want[i])
		} else {
			_ = c.Send("GET", want[i])
		}
	}
	if rnd.IntN(10) == 0 {
		want = want[:rnd.IntN(len(want))]
	}
	for _, nonce := range want {
		limit := patient
		if rnd.IntN(500) == 0 {
			limit = time.Duration(1 + rnd.IntN(1e6))
		}
		_, _ = redis.ReceiveWithTimeout(c, limit)
		reply, err := redis.ReceiveWithTimeout(c, limit)
		if c.Err() != nil {
			return true
		}
		if !n.check(nonce, reply, err) {
			return false
		}
	}
	return true
}

// disturb does something bad to a node, and mends it.
func (n *nonces) disturb(rnd *rand.Rand) {
	s := n.f.servers[rnd.IntN(len(n.f.servers))]
	switch rnd.IntN(4) {
	case 0, 1:
		_, _ = s.Try("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	case 2:
		s.Stop()
		redistest.WaitFor(n.t, patient, n.more(200), "calls beside a frozen node")
		s.Cont()
	case 3:
		s.Kill()
		redistest.WaitFor(n.t, patient, n.more(200), "calls beside a dead node")
		s.Restart()
	}
}

// more is a condition that holds when so many replies more were heard.
func (n *nonces) more(replies int64) func() bool {
	from := n.heard.Load()
	return func() bool { return n.heard.Load() >= from+replies || n.t.Failed() }
}

func TestRow39NoReplyIsEverAnothersUnderFaults(t *testing.T) {
	calls := int64(100_000)
	if underRace {
		calls = 20_000
	}
	seed := rand.Uint64()
	r := beginTrial(t, 39, "connections are cut, nodes die and freeze, callers leave", fmt.Sprintf("at random, seed %d", seed))
	t.Logf("seed %d", seed)
	n := &nonces{t: t, f: r.fleet(3, builders[1], fluster.Config{})}
	var sources [16]*rand.Rand
	for g := range sources {
		sources[g] = rand.New(rand.NewPCG(seed, uint64(g)))
	}
	stop := atOnce(len(sources), func(g int) bool {
		if g%2 == 0 {
			return n.byDo(sources[g])
		}
		return n.byPipeline(sources[g])
	})
	defer stop()
	rnd := rand.New(rand.NewPCG(seed, 99))
	faults := 0
	for (n.next.Load() < calls || faults < 6) && !t.Failed() {
		redistest.WaitFor(t, patient, n.more(calls/40), "calls between faults")
		n.disturb(rnd)
		faults++
	}
	stop()
	r.Remark = fmt.Sprintf("%d calls, %d replies, %d faults, no reply was another's", n.next.Load(), n.heard.Load(), faults)
	requireAllIdle(t, n.f)
}
