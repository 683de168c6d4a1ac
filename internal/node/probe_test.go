package node_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

var (
	kept       = health.ProbeRequest{}
	fresh      = health.ProbeRequest{Fresh: true}
	writing    = health.ProbeRequest{Write: true}
	freshWrite = health.ProbeRequest{Fresh: true, Write: true}
)

// probe asks once, with more time than it can need.
func probe(t testing.TB, n *node.Node, req health.ProbeRequest) health.Evidence {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), ample)
	defer cancel()
	return n.Probe(ctx, req)
}

func TestAProbeUsesItsOwnConnectionUntilAFreshOneIsWanted(t *testing.T) {
	f := redistest.NewFake(t)
	eachPool(t, "redis://"+f.Addr(), func(t *testing.T, pool *redis.Pool, _ bool) {
		n, r := over(t, pool)
		before, pings := f.Accepted(), f.Executed("PING")
		for range 3 {
			require.Equal(t, health.Alive, probe(t, n, kept).Class)
		}
		assert.Equal(t, 1, f.Accepted()-before)
		assert.Equal(t, 3, f.Executed("PING")-pings)
		for range 3 {
			require.Equal(t, health.Alive, probe(t, n, fresh).Class)
		}
		assert.Equal(t, 4, f.Accepted()-before)
		redistest.WaitFor(t, ample, func() bool { return f.Conns() == 1 }, "the old ones are closed")
		require.Equal(t, health.Alive, probe(t, n, kept).Class)
		assert.Equal(t, 4, f.Accepted()-before)
		assert.Zero(t, pool.ActiveCount(), "the pool knows nothing of it")
		assert.Empty(t, r.all(), "what a probe learns, it returns")
		n.Close()
		redistest.WaitFor(t, ample, func() bool { return f.Conns() == 0 }, "the last one is closed with the node")
	})
}

func TestAProbeSaysWhatItFound(t *testing.T) {
	for name, row := range map[string]struct {
		fault      func(f *redistest.Fake)
		kept, anew health.Class
	}{
		"gone":          {(*redistest.Fake).Crash, health.Broken, health.Hard},
		"dropped":       {(*redistest.Fake).Drop, health.Broken, health.Alive},
		"hangs up":      {cut("PING", 0), health.Broken, health.Broken},
		"loading":       {fail("LOADING x"), health.Refusing, health.Refusing},
		"busy":          {fail("BUSY x"), health.Refusing, health.Refusing},
		"locked":        {fail("NOAUTH x"), health.Misconfigured, health.Misconfigured},
		"not permitted": {fail("NOPERM x"), health.Alive, health.Alive},
		"garbage":       {answer("garbage\r\n"), health.Soft, health.Soft},
	} {
		t.Run(name, func(t *testing.T) {
			f := redistest.NewFake(t)
			eachPool(t, "redis://"+f.Addr(), func(t *testing.T, pool *redis.Pool, _ bool) {
				f.Resume()
				n, _ := over(t, pool)
				n.SetState(health.State{Live: true, Generation: 5})
				require.Equal(t, health.Alive, probe(t, n, kept).Class)
				row.fault(f)
				for _, step := range []struct {
					req  health.ProbeRequest
					want health.Class
				}{{kept, row.kept}, {fresh, row.anew}} {
					ev := probe(t, n, step.req)
					assert.Equal(t, step.want, ev.Class, "%v", ev.Cause)
					assert.Equal(t, step.want != health.Alive, ev.Cause != nil)
					assert.EqualValues(t, 5, ev.Generation)
				}
				f.Resume()
				assert.Equal(t, health.Alive, probe(t, n, kept).Class, "what failed is not used again")
			})
		})
	}
}

func TestAProbeWithAWriteSeesWhatPINGDoesNot(t *testing.T) {
	s := redistest.Start(t)
	s.Do("SET", "k", "v")
	eachPool(t, s.URL(), func(t *testing.T, pool *redis.Pool, _ bool) {
		n, _ := over(t, pool)
		s.Do("REPLICAOF", "NO", "ONE")
		require.Equal(t, health.Alive, probe(t, n, writing).Class)
		s.Do("REPLICAOF", "127.0.0.1", 1)
		assert.Equal(t, health.Alive, probe(t, n, kept).Class)
		for _, req := range []health.ProbeRequest{writing, freshWrite} {
			ev := probe(t, n, req)
			assert.Equal(t, health.Refusing, ev.Class)
			assert.True(t, ev.Write)
			assert.ErrorContains(t, ev.Cause, "READONLY")
		}
		s.Do("REPLICAOF", "NO", "ONE")
		assert.Equal(t, health.Alive, probe(t, n, freshWrite).Class)
		assert.EqualValues(t, 1, s.Do("DBSIZE"), "it writes nothing and removes nothing")
	})
}

func TestAProbeWithAWriteWaitsNoLongerThanItMay(t *testing.T) {
	s := redistest.Start(t)
	eachPool(t, s.URL()+"?read_timeout=20s", func(t *testing.T, pool *redis.Pool, _ bool) {
		n, _ := over(t, pool)
		require.Equal(t, health.Alive, probe(t, n, kept).Class)
		s.Do("CLIENT", "PAUSE", 60000, "WRITE")
		defer s.Do("CLIENT", "UNPAUSE")
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		assert.Equal(t, health.Timeout, n.Probe(ctx, writing).Class)
	})
}

func TestAServerThatTakesNoUNLINKIsAlive(t *testing.T) {
	s := redistest.Start(t)
	s.Do("ACL", "SETUSER", "bob", "on", ">secret", "~*", "+@all", "-unlink")
	s.Do("ACL", "SETUSER", "eve", "on", ">secret", "~mine:*", "+@all")
	old := redistest.Start(t, "--rename-command", "UNLINK", "")
	full := redistest.Start(t, "--maxmemory", "1")
	lone := redistest.Start(t, "--min-replicas-to-write", "1")
	for name, url := range map[string]string{
		"a command not permitted": "redis://bob:secret@" + s.Addr(), "a key not permitted": "redis://eve:secret@" + s.Addr(),
		"unknown": old.URL(), "out of memory": full.URL(), "too few replicas": lone.URL(),
	} {
		t.Run(name, func(t *testing.T) {
			n, _ := over(t, parsed(t, url).NewPool())
			assert.Equal(t, health.Alive, probe(t, n, freshWrite).Class)
			assert.Equal(t, health.Alive, probe(t, n, writing).Class)
		})
	}
}

func TestEachProbeWritesToAKeyThatNobodyHas(t *testing.T) {
	f := redistest.NewFake(t)
	var mu sync.Mutex
	keys := make(map[string]int)
	f.Handle(func(cmd []string) []byte {
		if cmd[0] == "UNLINK" {
			mu.Lock()
			defer mu.Unlock()
			keys[strings.Join(cmd[1:], " ")]++
		}
		return nil
	})
	n, _ := over(t, parsed(t, "redis://"+f.Addr()).NewPool())
	for range 5 {
		probe(t, n, writing)
	}
	assert.Len(t, keys, 5)
	for key := range keys {
		assert.True(t, strings.HasPrefix(key, "fluster:probe:"), key)
	}
}

// A server that hangs up between PING and write may have dropped this client
// only: the PING before proves that it is not gone.
func TestAConnectionThatBreaksUnderTheWriteOfAProbeIsAnOpenQuestion(t *testing.T) {
	f := redistest.NewFake(t)
	f.CutReply("UNLINK", 0)
	eachPool(t, "redis://"+f.Addr(), func(t *testing.T, pool *redis.Pool, _ bool) {
		n, _ := over(t, pool)
		require.Equal(t, health.Alive, probe(t, n, kept).Class)
		assert.Equal(t, health.Broken, probe(t, n, writing).Class)
		assert.Equal(t, health.Broken, probe(t, n, freshWrite).Class)
	})
}

func TestAProbeEndsWithItsContext(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	eachPool(t, "redis://"+f.Addr()+"?dial_timeout=1h&read_timeout=1h", func(t *testing.T, pool *redis.Pool, _ bool) {
		f.Resume()
		require.True(t, node.Claim(pool))
		n := node.New(node.Config{Name: "n", Pool: pool, Sink: (&recorder{}).take, Timeout: time.Hour})
		defer n.Close()
		require.Equal(t, health.Alive, probe(t, n, kept).Class)
		f.Hang()
		for _, req := range []health.ProbeRequest{kept, fresh} {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			ev := n.Probe(ctx, req)
			cancel()
			assert.Equal(t, health.Timeout, ev.Class)
			assert.ErrorContains(t, ev.Cause, "no answer to a probe")
		}
		f.Resume()
		redistest.WaitFor(t, ample, func() bool { return f.Conns() == 0 }, "no connection is kept on which a reply is due")
		assert.Equal(t, health.Alive, probe(t, n, kept).Class)
	})
}

// A probe whose time is over as the answer comes leaves no closed connection
// behind for the next one.
func TestAProbeThatEndsAsItIsAnsweredKeepsNothing(t *testing.T) {
	f := redistest.NewFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	pool := &redis.Pool{Dial: func() (redis.Conn, error) {
		c, err := redis.Dial("tcp", f.Addr())
		return &hooked{Conn: c, after: func(cmd string) {
			if cmd == "UNLINK" {
				cancel()
			}
		}}, err
	}}
	n, _ := over(t, pool)
	assert.Equal(t, health.Timeout, n.Probe(ctx, writing).Class)
	assert.Equal(t, health.Alive, probe(t, n, kept).Class)
}

// hooked is a connection that tells when it has an answer.
type hooked struct {
	redis.Conn
	after func(cmd string)
}

func (h *hooked) Do(cmd string, args ...any) (any, error) {
	reply, err := h.Conn.Do(cmd, args...)
	h.after(cmd)
	return reply, err
}

func TestAProbeOfANodeThatIsClosedMeanwhileIsDropped(t *testing.T) {
	f := redistest.NewFake(t)
	pinged, goOn := make(chan struct{}, 1), make(chan struct{})
	f.Handle(func(cmd []string) []byte {
		if cmd[0] == "PING" {
			pinged <- struct{}{}
			<-goOn
		}
		return nil
	})
	n, _ := over(t, parsed(t, "redis://"+f.Addr()+"?dial_timeout=1h&read_timeout=1h").NewPool())
	got := make(chan health.Evidence)
	go func() { got <- n.Probe(context.Background(), fresh) }()
	<-pinged
	n.Close()
	close(goOn)
	ev := <-got
	assert.Equal(t, health.None, ev.Class)
	assert.ErrorIs(t, ev.Cause, node.ErrClosed)
	redistest.WaitFor(t, ample, func() bool { return f.Conns() == 0 }, "its connection is closed")
}

// A probe is how a node comes out of the penalty box, so none of what callers
// are under may hold it up.
func TestAProbePassesTheLimitsOfCallers(t *testing.T) {
	f := redistest.NewFake(t)
	pool := parsed(t, "redis://"+f.Addr()+"?dial_timeout=1h&read_timeout=1h&pool_size=8").NewPool()
	n, _ := over(t, pool)
	f.Hang()
	got := make(chan error)
	for range 8 {
		go func() { got <- pool.Get().Err() }()
	}
	redistest.WaitFor(t, ample, func() bool { return f.Received("PING") == 8 }, "all turns are taken")
	probed := make(chan health.Evidence)
	go func() { probed <- n.Probe(context.Background(), fresh) }()
	redistest.WaitFor(t, ample, func() bool { return f.Received("PING") == 9 }, "the probe is sent all the same")
	n.SetState(health.State{Silent: true, Generation: 1, Cause: errors.New("silent")})
	n.Sever()
	for range 8 {
		require.Error(t, <-got)
	}
	f.Resume()
	assert.Equal(t, health.Alive, (<-probed).Class)
}

// A Dial without context cannot be ended. It holds up its own probe and nothing
// else, and what it brings at last is not kept.
func TestAUsersDialThatHangsHoldsUpNothingButItsProbe(t *testing.T) {
	f := redistest.NewFake(t)
	dialing, goOn := make(chan struct{}), make(chan struct{})
	pool := &redis.Pool{Dial: func() (redis.Conn, error) {
		close(dialing)
		<-goOn
		return redis.Dial("tcp", f.Addr())
	}}
	n, r := over(t, pool)
	ctx, cancel := context.WithCancel(t.Context())
	got := make(chan health.Evidence)
	go func() { got <- n.Probe(ctx, fresh) }()
	<-dialing
	cancel()
	n.Sever()
	n.Close()
	close(goOn)
	assert.Equal(t, health.Timeout, (<-got).Class)
	redistest.WaitFor(t, ample, func() bool { return f.Accepted() == 1 && f.Conns() == 0 }, "the late connection is closed")
	assert.Empty(t, r.all())
}

func TestAProbeThatPanicsIsAFaultOfTheNode(t *testing.T) {
	for name, pool := range map[string]*redis.Pool{
		"in the user's dial": {Dial: func() (redis.Conn, error) { panic("no such thing") }},
		"in the reader of a hostile reply": func() *redis.Pool {
			fake := redistest.NewFake(t)
			fake.Answer("$9223372036854775807\r\n")
			return fake.Pool(redistest.PoolOptions{})
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			n := node.New(node.Config{Name: "a", Pool: pool, Timeout: time.Second})
			defer n.Close()
			ev := n.Probe(t.Context(), health.ProbeRequest{})
			assert.Equal(t, health.Soft, ev.Class)
			assert.ErrorContains(t, ev.Cause, "panicked")
		})
	}
}
