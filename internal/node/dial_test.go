package node_test

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// fullGreeting is a URL whose greeting has every step that one can have.
func fullGreeting(f *redistest.Fake, options string) string {
	return "redis://bob:secret@" + f.Addr() + "/3?client_name=me&" + options
}

// stuckAt makes a fake server answer no command of a name.
func stuckAt(f *redistest.Fake, name string) {
	f.Handle(func(cmd []string) []byte {
		if cmd[0] == name {
			return []byte{}
		}
		return nil
	})
}

func TestAllOfADialIsUnderOneLimit(t *testing.T) {
	redistest.NoLeaks(t)
	for name, slow := range map[string]func(f *redistest.Fake){
		"nothing is answered":     (*redistest.Fake).Hang,
		"AUTH is not answered":    func(f *redistest.Fake) { stuckAt(f, "AUTH") },
		"SELECT is not answered":  func(f *redistest.Fake) { stuckAt(f, "SELECT") },
		"SETNAME is not answered": func(f *redistest.Fake) { stuckAt(f, "CLIENT") },
		"PING is not answered":    func(f *redistest.Fake) { stuckAt(f, "PING") },
		// No single step takes as long as the limit, but all of them do.
		"each answer takes a while": func(f *redistest.Fake) { f.Delay(40 * time.Millisecond) },
	} {
		t.Run(name, func(t *testing.T) {
			f := redistest.NewFake(t)
			slow(f)
			began := time.Now()
			pool := parsed(t, fullGreeting(f, "dial_timeout=100ms&read_timeout=20s&write_timeout=20s")).NewPool()
			assertDialFails(t, pool, dialFault{class: health.Timeout, text: "no connection within 100ms"})
			assert.Less(t, time.Since(began), 10*time.Second, "it waited for more than the dial's limit")
			f.Resume() // one that hangs sees nobody leave
			redistest.WaitFor(t, ample, func() bool { return f.Conns() == 0 }, "the connection is given up")
		})
	}
}

func TestATimeOutInADialTellsWhenItWasBegunAndWhoAnsweredSince(t *testing.T) {
	f := redistest.NewFake(t)
	pool := parsed(t, "redis://"+f.Addr()+"?dial_timeout=50ms").NewPool()
	n, r := over(t, pool)
	n.SetState(health.State{Live: true, Generation: 7})
	other := pool.Get()
	defer other.Close()
	require.NoError(t, other.Err())
	f.Hang()
	for range 2 {
		began := time.Now()
		_, err := pool.GetContext(t.Context())
		require.Error(t, err)
		ev := r.all()[len(r.all())-1]
		assert.Equal(t, health.Timeout, ev.Class)
		assert.Equal(t, uint64(7), ev.Generation)
		assert.False(t, ev.Sent.Before(began))
		assert.True(t, ev.Replied.Before(ev.Sent))
	}
	assert.NotEqual(t, r.all()[0].Conn, r.all()[1].Conn, "two dials are two connections")
}

// A greeting whose first reply comes only when its last command has arrived
// can succeed in one round trip only.
func TestAGreetingTakesOneRoundTrip(t *testing.T) {
	f := redistest.NewFake(t)
	arrived := make(chan struct{})
	f.Handle(func(cmd []string) []byte {
		if cmd[0] == "AUTH" {
			<-arrived
		}
		return nil
	})
	pool := parsed(t, fullGreeting(f, "dial_timeout=20s&read_timeout=20s")).NewPool()
	over(t, pool)
	dialed := make(chan error, 1)
	go func() { dialed <- pool.Get().Err() }()
	redistest.WaitFor(t, ample, func() bool { return f.Received("PING") == 1 }, "PING is sent with the rest")
	close(arrived)
	require.NoError(t, <-dialed)
	assert.Equal(t, 4, f.Executed(""))
}

func TestADialThatFailsHalfWayKeepsNoDescriptor(t *testing.T) {
	redistest.NoLeaks(t)
	ca := redistest.NewCA(t)
	stranger := redistest.StartTLS(t, ca, ca.Server())
	locked := redistest.Start(t, "--requirepass", "secret")
	f := redistest.NewFake(t)
	f.CutReply("PING", 2)
	for name, url := range map[string]string{
		"broken in the greeting": "redis://" + f.Addr(), "login refused": "redis://" + locked.Addr(),
		"certificate refused": stranger.URL(), "plain to TLS": "redis://" + stranger.Addr(),
		"TLS to plain": "rediss://" + f.Addr() + "?dial_timeout=20ms",
	} {
		t.Run(name, func(t *testing.T) {
			pool := parsed(t, url).NewPool()
			over(t, pool)
			_, err := pool.GetContext(t.Context()) // whatever a first time opens for good
			require.Error(t, err)
			redistest.WaitFor(t, ample, func() bool { return f.Conns() == 0 }, "the server forgets it")
			before := redistest.OpenFDs()
			for range 20 {
				_, err := pool.GetContext(t.Context())
				require.Error(t, err)
			}
			redistest.WaitFor(t, ample, func() bool { return redistest.OpenFDs() <= before },
				"no more than %d descriptors are open", before)
		})
	}
}

func TestFewDialAtOnce(t *testing.T) {
	f := redistest.NewFake(t)
	eachPool(t, "redis://"+f.Addr()+"?dial_timeout=20s&read_timeout=20s&write_timeout=20s", func(t *testing.T, pool *redis.Pool, _ bool) {
		const callers = 40
		var greeting, most atomic.Int64
		goOn := make(chan struct{})
		f.Handle(func(cmd []string) []byte {
			if cmd[0] == "PING" {
				now := greeting.Add(1)
				for old := most.Load(); now > old && !most.CompareAndSwap(old, now); old = most.Load() {
				}
				<-goOn
				greeting.Add(-1)
			}
			return nil
		})
		require.True(t, node.Claim(pool))
		n := node.New(node.Config{Name: "n", Pool: pool, Sink: (&recorder{}).take, Timeout: ample})
		defer n.Close()
		accepted := f.Accepted()
		var wg sync.WaitGroup
		for range callers {
			wg.Go(func() { assert.NoError(t, pool.Get().Err()) })
		}
		redistest.WaitFor(t, ample, func() bool { return greeting.Load() == 8 }, "eight dial")
		for range callers {
			goOn <- struct{}{}
		}
		wg.Wait()
		assert.EqualValues(t, 8, most.Load())
		assert.Equal(t, callers, f.Accepted()-accepted)
	})
}

func TestANodeInThePenaltyBoxIsNotDialedIfItIsSilent(t *testing.T) {
	f := redistest.NewFake(t)
	eachPool(t, "redis://"+f.Addr(), func(t *testing.T, pool *redis.Pool, _ bool) {
		n, r := over(t, pool)
		accepted := f.Accepted()
		cause := errors.New("nobody is at home")
		n.SetState(health.State{Silent: true, Generation: 1, Cause: cause})
		n.Sever()
		_, err := pool.GetContext(t.Context())
		require.ErrorIs(t, err, cause)
		assert.ErrorContains(t, err, "penalty box")
		assertFate(t, err, true, false)
		assert.Equal(t, accepted, f.Accepted())
		assert.Empty(t, r.all(), "it is known")

		n.SetState(health.State{Generation: 2, Cause: cause}) // out, but it answers
		n.Sever()
		require.NoError(t, pool.Get().Err())
		n.SetState(health.State{Live: true, Generation: 2})
		require.NoError(t, pool.Get().Err())
		assert.Equal(t, accepted+2, f.Accepted())
	})
}

func TestAClosedNodeIsNotDialed(t *testing.T) {
	f := redistest.NewFake(t)
	eachPool(t, "redis://"+f.Addr(), func(t *testing.T, pool *redis.Pool, _ bool) {
		n, r := over(t, pool)
		n.Close()
		_, err := pool.GetContext(t.Context())
		require.ErrorIs(t, err, node.ErrClosed)
		assertFate(t, err, true, false)
		n.SetState(health.State{Live: true, Generation: 9})
		require.ErrorIs(t, pool.Get().Err(), node.ErrClosed, "for good")
		assert.Zero(t, f.Accepted())
		assert.Empty(t, r.all())
		n.Close()
	})
}

// Whoever dials, and whoever waits for his turn to, is cut loose.
func TestDialsUnderWayEndWhenNobodyShouldWaitAnyMore(t *testing.T) {
	redistest.NoLeaks(t)
	cause := errors.New("it hangs")
	for name, end := range map[string]func(n *node.Node) error{
		"the node is out and silent": func(n *node.Node) error {
			n.SetState(health.State{Silent: true, Generation: 1, Cause: cause})
			n.Sever()
			return cause
		},
		"the node is closed": func(n *node.Node) error { n.Close(); return node.ErrClosed },
	} {
		t.Run(name, func(t *testing.T) {
			f := redistest.NewFake(t)
			eachPool(t, "redis://"+f.Addr()+"?dial_timeout=1h&read_timeout=1h", func(t *testing.T, pool *redis.Pool, _ bool) {
				f.Hang()
				r := &recorder{}
				require.True(t, node.Claim(pool))
				n := node.New(node.Config{Name: "n", Pool: pool, Sink: r.take, Timeout: time.Hour})
				before := f.Received("PING")
				got := make(chan error)
				const callers = 12
				for range callers {
					go func() { got <- pool.Get().Err() }()
				}
				redistest.WaitFor(t, ample, func() bool { return f.Received("PING") == before+8 }, "all turns are taken")
				want := end(n)
				for range callers {
					err := <-got
					require.ErrorIs(t, err, want)
					assertFate(t, err, true, false)
				}
				f.Resume() // one that hangs sees nobody leave
				redistest.WaitFor(t, ample, func() bool { return f.Conns() == 0 }, "the connections are closed")
				assert.Empty(t, r.all(), "what the node was told is no news")
				n.Close()
			})
		})
	}
}

// Else the last of many would hear it as many turns later, though the node has long been out.
func TestWhoWaitsForATurnToDialHearsThatTheServerRefusesAll(t *testing.T) {
	for name, test := range map[string]struct {
		says  string
		turns int
	}{
		"it loads its data":             {"LOADING Redis is loading the dataset in memory", 1},
		"it is busy":                    {"BUSY Redis is busy running a script", 1},
		"it is full, and may have room": {"ERR max number of clients reached", 5},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const callers, takes = 40, 300 * time.Millisecond
				var dials atomic.Int64
				pool := &redis.Pool{Dial: func() (redis.Conn, error) {
					dials.Add(1)
					time.Sleep(takes)
					return nil, redis.Error(test.says)
				}}
				_, r := over(t, pool)
				began := time.Now()
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						err := pool.Get().Err()
						assert.ErrorContains(t, err, test.says)
						assertFate(t, err, true, false)
					})
				}
				wg.Wait()
				assert.Equal(t, time.Duration(test.turns)*takes, time.Since(began))
				assert.EqualValues(t, test.turns*8, dials.Load())
				assert.Len(t, r.all(), test.turns*8, "who did not dial has no evidence")
				require.Error(t, pool.Get().Err(), "nobody's turn is lost")
				assert.EqualValues(t, test.turns*8+1, dials.Load(), "and what was said is no word on who comes later")
			})
		})
	}
}

func TestAUsersDialFunctionIsWrappedWhicheverItIs(t *testing.T) {
	f := redistest.NewFake(t)
	type key struct{}
	var withContext, without atomic.Int64
	dial := func() (redis.Conn, error) { without.Add(1); return redis.Dial("tcp", f.Addr()) }
	dialContext := func(ctx context.Context) (redis.Conn, error) {
		if ctx.Value(key{}) == "value" {
			withContext.Add(1)
		}
		return redis.DialContext(ctx, "tcp", f.Addr())
	}
	ctx := context.WithValue(t.Context(), key{}, "value")
	for _, pool := range []*redis.Pool{{Dial: dial}, {DialContext: dialContext}, {Dial: dial, DialContext: dialContext}} {
		_, r := over(t, pool)
		c, err := pool.GetContext(ctx)
		require.NoError(t, err)
		_, err = c.Do("SET", "k", "v")
		require.NoError(t, err)
		f.Drop()
		_, err = c.Do("INCR", "n")
		var ne *node.Error
		require.ErrorAs(t, err, &ne)
		require.Len(t, r.all(), 1, "its connections are observed")
		_ = c.Close()
	}
	assert.EqualValues(t, 1, without.Load())
	assert.EqualValues(t, 2, withContext.Load(), "DialContext goes first, as in redigo")
	assert.Equal(t, 3, f.Executed("PING"), "each dial ends with a PING")
}

func TestAFrozenServerIsFoundInAUsersDial(t *testing.T) {
	s := redistest.Start(t)
	s.Stop()
	for name, pool := range map[string]*redis.Pool{
		"without time-outs": {Dial: func() (redis.Conn, error) { return redis.Dial("tcp", s.Addr()) }},
		"with its own": {Dial: func() (redis.Conn, error) {
			return redis.Dial("tcp", s.Addr(), redis.DialReadTimeout(50*time.Millisecond))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			r := &recorder{}
			require.True(t, node.Claim(pool))
			n := node.New(node.Config{Name: "n", Pool: pool, Sink: r.take, Timeout: 100 * time.Millisecond})
			defer n.Close()
			_, err := pool.GetContext(t.Context())
			require.Error(t, err)
			var ne *node.Error
			require.ErrorAs(t, err, &ne)
			assert.True(t, ne.Timeout())
			assert.Equal(t, []health.Class{health.Timeout}, r.classes())
		})
	}
}

func TestADialFunctionThatPanicsTakesNoOnesTurn(t *testing.T) {
	f := redistest.NewFake(t)
	var broken atomic.Bool
	broken.Store(true)
	pool := &redis.Pool{Dial: func() (redis.Conn, error) {
		if broken.Load() {
			panic("out of luck")
		}
		return redis.Dial("tcp", f.Addr())
	}}
	over(t, pool)
	for range 20 {
		assert.PanicsWithValue(t, "out of luck", func() { pool.Get() })
	}
	broken.Store(false)
	ctx, cancel := context.WithTimeout(t.Context(), ample)
	defer cancel()
	c, err := pool.GetContext(ctx)
	require.NoError(t, err)
	require.NoError(t, c.Close())
}

// A Dial without context does not end when it should; what it brings is too
// late then.
func TestAConnectionThatComesAfterTheNodeWasClosedIsClosed(t *testing.T) {
	f := redistest.NewFake(t)
	dialing, goOn := make(chan struct{}), make(chan struct{})
	pool := &redis.Pool{Dial: func() (redis.Conn, error) {
		close(dialing)
		<-goOn
		return redis.Dial("tcp", f.Addr())
	}}
	n, r := over(t, pool)
	got := make(chan error)
	go func() { got <- pool.Get().Err() }()
	<-dialing
	n.Close()
	close(goOn)
	require.ErrorIs(t, <-got, node.ErrClosed)
	redistest.WaitFor(t, ample, func() bool { return f.Accepted() == 1 && f.Conns() == 0 }, "the connection is closed")
	assert.Empty(t, r.all())
}

func TestAConnectionThatOthersHaveOutdatedIsClosed(t *testing.T) {
	f := redistest.NewFake(t)
	var n *node.Node
	pool := &redis.Pool{Dial: func() (redis.Conn, error) {
		c, err := redis.Dial("tcp", f.Addr())
		return &hooked{Conn: c, after: func(string) { n.SetState(health.State{Live: true, Generation: 1}) }}, err
	}}
	n, r := over(t, pool)
	require.Error(t, pool.Get().Err(), "the node was in the penalty box since the dial began")
	redistest.WaitFor(t, ample, func() bool { return f.Conns() == 0 }, "the connection is closed")
	assert.Empty(t, r.all())
}

func TestAUsersConnectionThatDoesNotAnswerItsPINGIsClosed(t *testing.T) {
	f := redistest.NewFake(t)
	f.Fail("LOADING Redis is loading the dataset in memory")
	pool := usersPool(t, "redis://"+f.Addr())
	over(t, pool)
	require.Error(t, pool.Get().Err())
	redistest.WaitFor(t, ample, func() bool { return f.Accepted() == 1 && f.Conns() == 0 }, "the connection is closed")
}

// The net package gives a dial up at the context's deadline, and may do so
// before the context itself is done.
func TestADialThatEndsAtTheCallersDeadlineIsEndedByTheCaller(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for left, want := range map[time.Duration]health.Class{100 * time.Microsecond: health.Ask, 50 * time.Millisecond: health.Timeout} {
			pool := &redis.Pool{Dial: func() (redis.Conn, error) {
				time.Sleep(time.Second - left)
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
			}}
			_, r := over(t, pool)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			_, err := pool.GetContext(ctx)
			cancel()
			require.Error(t, err)
			assert.Equal(t, []health.Class{want}, r.classes(), "%v were left", left)
		}
	})
}
