package router_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
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

// patient bounds waits for what is sure to come, however slow the machine is.
const patient = 30 * time.Second

// routed is a router over pools whose keys' first letters tell their nodes, and
// whose nodes never count as down.
type routed struct {
	*router.Router
	pools    []*redis.Pool
	nodes    []*node.Node
	borrowed []*atomic.Int64 // idle connections, by node
	sharing  *sharing
}

// routeOver makes a router that the test's end closes, and checks then that no
// goroutine is left behind.
func routeOver(t testing.TB, pools ...*redis.Pool) *routed {
	t.Helper()
	r := &routed{pools: pools}
	for n, p := range pools {
		require.True(t, node.Claim(p))
		r.nodes = append(r.nodes, node.New(node.Config{
			Name: lettered(pools).Name(n), Pool: p, Timeout: patient, Sink: func(context.Context, health.Evidence) {},
		}))
		r.borrowed = append(r.borrowed, countBorrows(p))
	}
	t.Cleanup(r.end)
	r.sharing = &sharing{lettered: pools, nodes: r.nodes}
	r.Router = router.New(r.sharing, router.Config{})
	return r
}

// conn is a routed connection.
func (r *routed) conn() redis.Conn { return r.NewConn() }

// end closes every connection.
func (r *routed) end() {
	for _, n := range r.nodes {
		n.Close()
	}
}

// requireIdle checks that every connection is back in its pool.
func (r *routed) requireIdle(t testing.TB) {
	t.Helper()
	for n, p := range r.pools {
		s := p.Stats()
		require.Equal(t, s.ActiveCount, s.IdleCount, "node %d", n)
	}
}

// fakes are n fake servers, and a router over pools to them that the library built.
func fakes(t testing.TB, n int, options string) (*routed, []*redistest.Fake) {
	t.Helper()
	redistest.NoLeaks(t)
	var all []*redistest.Fake
	var pools []*redis.Pool
	for range n {
		f := redistest.NewFake(t)
		all = append(all, f)
		pools = append(pools, poolOf(t, f.Addr(), options))
	}
	return routeOver(t, pools...), all
}

func poolOf(t testing.TB, addr, options string) *redis.Pool {
	t.Helper()
	e, err := node.ParseURL("redis://" + addr + "?" + options)
	require.NoError(t, err)
	return e.NewPool()
}

// servers are n real servers, and a router over pools to them.
func servers(t testing.TB, n int, options string) (*routed, []*redistest.Server) {
	t.Helper()
	redistest.NoLeaks(t)
	var all []*redistest.Server
	var pools []*redis.Pool
	for range n {
		s := redistest.Start(t)
		all = append(all, s)
		pools = append(pools, poolOf(t, s.Addr(), options))
	}
	return routeOver(t, pools...), all
}

func send(t testing.TB, c redis.Conn, cmd string, args ...any) {
	t.Helper()
	require.NoError(t, c.Send(cmd, args...))
}

func TestSendTakesArgumentsAsTheyAre(t *testing.T) {
	r, _ := fakes(t, 1, "")
	c := r.conn()
	defer c.Close()
	key, value := []byte("a:1"), []byte("one")
	args := []any{key, value}
	send(t, c, "SET", args...)
	copy(key, "a:2")
	copy(value, "two")
	send(t, c, "SET", args...)
	copy(key, "a:3")
	args[1] = "three"
	send(t, c, "GET", "a:1")
	send(t, c, "GET", "a:2")
	replies, err := redis.Strings(c.Do(""))
	require.NoError(t, err)
	assert.Equal(t, []string{"OK", "OK", "one", "two"}, replies)
}

// shout is an argument that says by itself what it is on the wire.
type shout struct{ word *string }

func (s shout) RedisArg() any { return *s.word + "!" }

func TestSendAsksArgumentsAtOnce(t *testing.T) {
	r, _ := fakes(t, 1, "")
	c := r.conn()
	defer c.Close()
	word := "now"
	send(t, c, "SET", "a", shout{&word})
	word = "later"
	reply, err := redis.String(c.Do("GET", "a"))
	require.NoError(t, err)
	assert.Equal(t, "now!", reply)
}

func TestDoWithoutACommandReturnsThePendingReplies(t *testing.T) {
	r, _ := fakes(t, 2, "")
	c := r.conn()
	defer c.Close()
	reply, err := c.Do("")
	require.NoError(t, err)
	assert.Nil(t, reply)

	send(t, c, "SET", "a", "1")
	send(t, c, "LPUSH", "a", "x")
	send(t, c, "INCR", "b")
	reply, err = c.Do("")
	require.NoError(t, err, "an error reply stands among the replies")
	replies := reply.([]any)
	require.Len(t, replies, 3)
	assert.Equal(t, "OK", replies[0])
	assert.ErrorContains(t, replies[1].(redis.Error), "WRONGTYPE")
	assert.Equal(t, int64(1), replies[2])
}

func TestDoWithCommandsPendingReturnsItsOwnReplyAndTheFirstError(t *testing.T) {
	r, _ := fakes(t, 2, "")
	c := r.conn()
	defer c.Close()
	send(t, c, "SET", "a", "1")
	send(t, c, "LPUSH", "a", "x")
	reply, err := c.Do("INCR", "b")
	assert.ErrorContains(t, err, "WRONGTYPE")
	assert.Equal(t, int64(1), reply)
	_, err = c.Do("INCR", "b")
	require.NoError(t, err, "the error was that pipeline's")
}

func TestWhatIsRefusedIsSaidInItsTurn(t *testing.T) {
	r, f := fakes(t, 2, "")
	c := r.conn()
	defer c.Close()
	send(t, c, "INCR", "a")
	send(t, c, "SINTERSTORE", "a", "b")
	send(t, c, "SCAN", "0")
	send(t, c, "INCR", "b")
	_, err := redis.Int(c.Receive())
	require.NoError(t, err)
	_, err = c.Receive()
	require.ErrorIs(t, err, router.ErrCrossNode)
	_, err = c.Receive()
	require.ErrorIs(t, err, router.ErrRefused)
	_, err = redis.Int(c.Receive())
	require.NoError(t, err)
	assert.Zero(t, f[0].Received("SINTERSTORE")+f[1].Received("SINTERSTORE"))
}

func TestReceiveWaitsForAnotherGoroutineToSend(t *testing.T) {
	r, _ := fakes(t, 2, "")
	c := r.conn()
	const n = 200
	got := make(chan int)
	go func() {
		defer close(got)
		for range n {
			reply, err := redis.Int(redis.ReceiveWithTimeout(c, patient))
			if !assert.NoError(t, err) {
				return
			}
			got <- reply
		}
	}()
	for i := range n {
		send(t, c, "INCR", []string{"a", "b"}[i%2])
		require.NoError(t, c.Flush())
		require.Equal(t, i/2+1, <-got)
	}
	<-got // the receiver has ended
	require.NoError(t, c.Close())
	r.requireIdle(t)
}

func TestReceiveWithNothingDueFailsAndHarmsNothing(t *testing.T) {
	r, _ := fakes(t, 1, "")
	c := r.conn()
	defer c.Close()
	_, err := c.Receive()
	require.ErrorContains(t, err, "no reply is due")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = redis.ReceiveContext(c, ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, c.Err())
	_, err = c.Do("INCR", "a")
	require.NoError(t, err)
}

func TestDoWithTimeoutReplacesTheConnectionsOwnLimit(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, c redis.Conn){
		"alone":           func(*testing.T, redis.Conn) {},
		"after others":    func(t *testing.T, c redis.Conn) { send(t, c, "INCR", "a:other") },
		"behind a watch":  func(t *testing.T, c redis.Conn) { _, err := c.Do("WATCH", "a"); require.NoError(t, err) },
		"on another node": func(t *testing.T, c redis.Conn) { send(t, c, "INCR", "b:other") },
	} {
		t.Run(name, func(t *testing.T) {
			r, f := fakes(t, 2, "read_timeout=500ms")
			f[0].Handle(func(cmd []string) []byte {
				if cmd[0] == "WATCH" || cmd[0] == "UNWATCH" {
					return redistest.Simple("OK")
				}
				return nil
			})
			c := r.conn()
			_, err := c.Do("INCR", "a") // over the connection that is used below
			require.NoError(t, err)
			prepare(t, c)
			f[0].Delay(time.Second)
			_, err = redis.DoWithTimeout(c, patient, "INCR", "a")
			require.NoError(t, err)
			f[0].Resume()
			_ = c.Close()
		})
	}
}

func TestAContextThatEndsGivesTheConnectionUp(t *testing.T) {
	r, f := fakes(t, 2, "")
	c := r.conn()
	_, err := c.Do("INCR", "a")
	require.NoError(t, err)
	send(t, c, "INCR", "b")
	require.NoError(t, c.Flush())
	f[0].Hang()
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err = redis.DoContext(c, ctx, "INCR", "a")
	require.ErrorIs(t, err, context.Canceled)
	assert.True(t, node.MaybeExecuted(err), "%v", err)
	assert.False(t, node.SafeToRetry(err), "%v", err)

	require.Error(t, c.Err())
	require.Error(t, c.Send("INCR", "a"))
	_, err = c.Do("INCR", "a")
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.Receive()
	require.Error(t, err)
	require.NoError(t, c.Close())
	f[0].Resume()
	redistest.WaitFor(t, patient, func() bool {
		s := r.pools[0].Stats()
		return s.IdleCount == s.ActiveCount
	}, "the leg has given its connection back")
}

func TestASplitCallThatIsNotWaitedForMayHaveRun(t *testing.T) {
	r, f := fakes(t, 2, "")
	c := r.conn()
	f[0].Hang()
	send(t, c, "DEL", "a", "b")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := redis.ReceiveContext(c, ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	var late interface{ Timeout() bool }
	require.ErrorAs(t, err, &late)
	assert.True(t, late.Timeout())
	assert.True(t, node.MaybeExecuted(err))
	f[0].Resume()
}

func TestCloseReadsWhatIsDue(t *testing.T) {
	r, f := fakes(t, 2, "")
	c := r.conn()
	for i := range 100 {
		send(t, c, "INCR", fmt.Sprintf("%c:%d", 'a'+i%2, i))
	}
	require.NoError(t, c.Close())
	r.requireIdle(t)
	assert.Equal(t, 50, f[0].Executed("INCR"))
	assert.Equal(t, 50, f[1].Executed("INCR"))
	require.NoError(t, c.Close())
	require.Error(t, c.Err())
	_, err := c.Do("INCR", "a")
	require.ErrorContains(t, err, "closed")
	require.Error(t, c.Flush())
}

func TestCloseDoesNotWaitForWhatBlocks(t *testing.T) {
	for _, wait := range []int{0, 3600} {
		r, s := servers(t, 2, "")
		c := r.conn()
		send(t, c, "INCR", "b")
		send(t, c, "BLPOP", "a:list", wait)
		send(t, c, "INCR", "a")
		require.NoError(t, c.Flush())
		_, err := c.Receive()
		require.NoError(t, err)
		err = c.Close()
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, []byte("1"), s[0].Do("GET", "a"), "what was sent behind it is done")
		r.requireIdle(t)
	}
}

func TestOneConnectionPerNodeIsEnough(t *testing.T) {
	r, _ := fakes(t, 2, "pool_size=1")
	c := r.conn()
	defer c.Close()
	for i := range 2000 {
		send(t, c, "SET", "b", i)
		send(t, c, "SET", "a", i)
		for range 2 {
			_, err := c.Receive()
			require.NoError(t, err)
		}
		n, err := redis.Int(c.Do("GET", "a"))
		require.NoError(t, err, "the pipeline has given its connection back when its last reply is there")
		require.Equal(t, i, n)
	}
}

func TestANodeThatFailsCostsTheOthersNothing(t *testing.T) {
	r, f := fakes(t, 3, "read_timeout=200ms")
	f[1].Crash()
	c := r.conn()
	keys := []string{"a", "b", "c"}
	for i := range 300 {
		send(t, c, "INCR", keys[i%3])
	}
	require.NoError(t, c.Flush())
	for i := range 300 {
		reply, err := redis.Int(c.Receive())
		if i%3 == 1 {
			var broken *node.Error
			require.ErrorAs(t, err, &broken)
			require.Equal(t, "B", broken.Node)
			require.True(t, node.SafeToRetry(err), "%v", err)
			continue
		}
		require.NoError(t, err)
		require.Equal(t, i/3+1, reply)
	}
	require.NoError(t, c.Err())
	send(t, c, "INCR", "b")
	f[1].Resume()
	_, err := c.Receive()
	require.NoError(t, err, "what is sent later gets a connection of its own")
	require.NoError(t, c.Close())
	r.requireIdle(t)
}

func TestANodeWhoseReplyIsCutFailsWhatFollows(t *testing.T) {
	r, f := fakes(t, 2, "")
	f[0].Handle(func(cmd []string) []byte {
		if cmd[0] == "GET" {
			f[0].Drop()
		}
		return nil
	})
	c := r.conn()
	for _, cmd := range []string{"INCR", "GET", "INCR"} {
		send(t, c, cmd, "a")
	}
	send(t, c, "INCR", "b")
	require.NoError(t, c.Flush())
	var errs []error
	for range 4 {
		_, err := c.Receive()
		errs = append(errs, err)
	}
	assert.True(t, node.MaybeExecuted(errs[1]), "%v", errs[1])
	assert.True(t, node.MaybeExecuted(errs[2]), "%v", errs[2])
	assert.NoError(t, errs[3])
	require.NoError(t, errors.Join(c.Err(), c.Close()))
	r.requireIdle(t)
}
