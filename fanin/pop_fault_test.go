package fanin_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// requireUnsure requires the error of a pop at a node that may have taken an item.
func requireUnsure(t testing.TB, out popped, node string) {
	t.Helper()
	var of *fluster.NodeError
	require.ErrorAs(t, out.err, &of)
	assert.Equal(t, node, of.Node)
	assert.Equal(t, node, out.Node.Name)
	assert.True(t, fluster.MaybeExecuted(out.err), out.err)
}

func TestAFrozenNodesPopEndsAndTheOthersGoOn(t *testing.T) {
	s := openSite(t, 3, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	got := waiting(t.Context(), p)
	waitBlocked(t, 1, s.servers...)
	s.servers[1].Stop()
	s.servers[2].Do("RPUSH", "q", "other")
	out := <-got
	require.NoError(t, out.err)
	assert.Equal(t, "c", out.Node.Name)

	requireUnsure(t, <-waiting(t.Context(), p), "b")
	s.waitFor(t, "b", false)
	s.servers[0].Do("RPUSH", "q", "other")
	assert.Equal(t, "a", next(t, p).Node.Name)

	got = waiting(t.Context(), p)
	s.servers[1].Cont()
	waitBlocked(t, 1, s.servers...)
	s.servers[1].Do("RPUSH", "q", "back")
	out = <-got
	require.NoError(t, out.err)
	assert.Equal(t, "b", out.Node.Name)
}

func TestAContextThatEndsWaitsForAFrozenNodeOnlySoLong(t *testing.T) {
	s := openSite(t, 2, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	ctx, cancel := context.WithCancel(t.Context())
	got := waiting(ctx, p)
	waitBlocked(t, 1, s.servers...)
	s.servers[1].Stop()
	cancel()
	begun := time.Now()
	requireUnsure(t, <-got, "b")
	t.Log("ended within", time.Since(begun))
	require.ErrorIs(t, (<-waiting(ctx, p)).err, context.Canceled)
	assert.Equal(t, "0", blocked(t, s.servers[0]))
	s.servers[1].Cont()
	waitBlocked(t, 0, s.servers...)
}

func TestANodeThatDiesAndComesBackIsFollowed(t *testing.T) {
	s := openSite(t, 3, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	got := waiting(t.Context(), p)
	waitBlocked(t, 1, s.servers...)
	s.kill(t, 1)
	requireUnsure(t, <-got, "b") // once
	got = waiting(t.Context(), p)
	waitBlocked(t, 1, s.servers[0], s.servers[2])
	s.servers[1].Restart()
	waitBlocked(t, 1, s.servers...) // in the call that waits already
	s.servers[1].Do("RPUSH", "q", "back")
	out := <-got
	require.NoError(t, out.err)
	assert.Equal(t, "b", out.Node.Name)
}

func TestAServerThatDropsAClientIsAskedAgain(t *testing.T) {
	s := openSite(t, 2, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	for range 5 {
		got := waiting(t.Context(), p)
		waitBlocked(t, 1, s.servers...)
		s.servers[0].Do("CLIENT", "KILL", "TYPE", "normal")
		requireUnsure(t, <-got, "a")
		got = waiting(t.Context(), p)
		waitBlocked(t, 1, s.servers...)
		s.servers[0].Do("RPUSH", "q", "x")
		require.NoError(t, (<-got).err)
	}
	for _, n := range s.Nodes() {
		assert.Zero(t, n.Penalties)
	}
}

func TestANodeThatRefusesIsToldOnceAndAskedNowAndThen(t *testing.T) {
	s := openSite(t, 2, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	s.servers[1].Do("SET", "q", "no list")
	out := <-waiting(t.Context(), p)
	var reply redis.Error
	require.ErrorAs(t, out.err, &reply)
	assert.ErrorContains(t, out.err, "node b")
	assert.Contains(t, string(reply), "WRONGTYPE")
	assert.Equal(t, "b", out.Node.Name)
	assert.False(t, fluster.MaybeExecuted(out.err))

	begun := time.Now()
	got := waiting(t.Context(), p) // nothing more of it
	refused := func() int { return s.servers[1].Executed("BLPOP") }
	redistest.WaitFor(t, longEnough, func() bool { return refused() >= 7 }, "more tries")
	assert.LessOrEqual(t, refused(), 12+int(time.Since(begun)/(500*time.Millisecond)), "pauses grow to half a second at least")
	s.servers[1].Do("DEL", "q")
	waitBlocked(t, 1, s.servers...)
	s.servers[1].Do("RPUSH", "q", "x")
	out = <-got
	require.NoError(t, out.err)
	assert.Equal(t, "b", out.Node.Name)

	s.servers[1].Do("SET", "q", "no list")
	require.ErrorAs(t, (<-waiting(t.Context(), p)).err, &reply, "it is news again")
}

func TestWithoutAnyNodeAWaiterIsToldOnceAndWaits(t *testing.T) {
	s := openSite(t, 2, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	for range 2 {
		waitBlocked(t, 0, s.servers...) // no pop is to break off
		for _, server := range s.servers {
			server.Kill()
		}
		require.ErrorIs(t, (<-waiting(t.Context(), p)).err, fluster.ErrClusterEmpty)
		short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		require.ErrorIs(t, (<-waiting(short, p)).err, context.DeadlineExceeded)
		cancel()
		got := waiting(t.Context(), p)
		for i := range s.servers {
			s.restart(t, i)
		}
		waitBlocked(t, 1, s.servers...)
		s.servers[0].Do("RPUSH", "q", "x")
		require.NoError(t, (<-got).err)
	}
}

func TestClosingTheClusterEndsEveryWaiter(t *testing.T) {
	s := openSite(t, 2, "")
	p, err := fanin.NewPopper(s.FlusterCluster, fanin.BLPop("q"))
	require.NoError(t, err)
	var errs []error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, err := range p.Items(context.Background()) {
			errs = append(errs, err)
		}
	}()
	waitBlocked(t, 1, s.servers...)
	s.Close()
	<-ended
	require.NotEmpty(t, errs)
	for _, err := range errs {
		assert.ErrorIs(t, err, fluster.ErrClosed)
	}
	assert.False(t, fluster.MaybeExecuted(errs[len(errs)-1]))
	_, err = p.Close()
	require.NoError(t, err)
	_, err = p.Next(context.Background())
	require.ErrorIs(t, err, fluster.ErrClosed)
}

func TestAServerThatCannotUnblockIsWaitedFor(t *testing.T) {
	s := openSite(t, 2, "")
	s.servers[1].Do("ACL", "SETUSER", "default", "-client|id")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	ctx, cancel := context.WithCancel(t.Context())
	got := waiting(ctx, p)
	waitBlocked(t, 1, s.servers...)
	cancel()
	waitBlocked(t, 0, s.servers[0])
	pushed := int64(0)
	if blocked(t, s.servers[1]) == "1" {
		pushed, _ = redis.Int64(s.servers[1].Try("RPUSH", "q", "late"))
	}
	out := <-got
	switch left, _ := redis.Int64(s.servers[1].Try("LLEN", "q")); {
	case pushed > left:
		require.NoError(t, out.err)
		assert.Equal(t, "late", out.Value)
	default:
		require.ErrorIs(t, out.err, context.Canceled)
	}
	assert.Equal(t, "0", blocked(t, s.servers[1]))
}

// Servers since 6.2 crash when a pop is unblocked that CLIENT PAUSE has put off.
func TestAServerThatPutsAPopOffIsNotToldToUnblockIt(t *testing.T) {
	s := openSite(t, 2, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	run := s.servers[0].Info("server")["run_id"]
	s.servers[0].Do("CLIENT", "PAUSE", longEnough.Milliseconds(), "WRITE")
	ctx, cancel := context.WithCancel(t.Context())
	got := waiting(ctx, p)
	redistest.WaitFor(t, longEnough, func() bool {
		clients, _ := redis.String(s.servers[0].Do("CLIENT", "LIST"), nil)
		return strings.Contains(clients, "cmd=blpop")
	}, "the pop to be put off")
	cancel()
	requireUnsure(t, <-got, "a")
	s.servers[0].Do("CLIENT", "UNPAUSE")
	assert.Equal(t, run, s.servers[0].Info("server")["run_id"], "it has not crashed")
	s.waitFor(t, "a", true)
	waitBlocked(t, 0, s.servers...)
	s.servers[0].Do("RPUSH", "q", "x")
	assert.Equal(t, "x", next(t, p).Value)
}

func TestAMissingGroupIsAnErrorUnlessItIsMade(t *testing.T) {
	s := openSite(t, 2, "")
	without := fanin.XReadGroup{Group: "g", Consumer: "c", Streams: []string{"s", "t"}}
	p := pop(t, s.FlusterCluster, without)
	for range 2 { // one of each node
		require.ErrorContains(t, (<-waiting(t.Context(), p)).err, "NOGROUP")
	}
	left, err := p.Close() // it is of the same group, and would go on asking for a moment
	require.NoError(t, err)
	require.Empty(t, left)
	s.servers[0].Do("XADD", "s", "*", "f", "before")
	with := without
	with.Create = "0"
	q := pop(t, s.FlusterCluster, with)
	assert.Equal(t, map[string]string{"f": "before"}, next(t, q).Fields)
	got := waiting(t.Context(), q)
	waitBlocked(t, 1, s.servers[1])
	s.servers[1].Do("XADD", "t", "*", "f", "after")
	out := <-got
	require.NoError(t, out.err)
	assert.Equal(t, "t", out.Key)
	assert.Equal(t, "b", out.Node.Name)
}
