package node_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestAConnectionIsEverythingThatRedigoKnows(t *testing.T) {
	onBothDialers(t, func(t *testing.T, _ *redistest.Fake, w *watched) {
		rc := w.dialed(t)
		assert.Implements(t, (*redis.ConnWithTimeout)(nil), rc)
		assert.Implements(t, (*redis.ConnWithContext)(nil), rc)
	})
}

// uses are all the ways in which a caller can meet a broken connection.
var uses = map[string]func(rc redis.Conn) error{
	"Do":            func(rc redis.Conn) error { _, err := rc.Do("GET", "k"); return err },
	"DoWithTimeout": func(rc redis.Conn) error { _, err := redis.DoWithTimeout(rc, longEnough, "GET", "k"); return err },
	"DoContext":     func(rc redis.Conn) error { _, err := redis.DoContext(rc, context.Background(), "GET", "k"); return err },
	"Receive":       func(rc redis.Conn) error { return errors.Join(sendGet(rc), second(rc.Receive())) },
	"ReceiveContext": func(rc redis.Conn) error {
		return errors.Join(sendGet(rc), second(redis.ReceiveContext(rc, context.Background())))
	},
	"ReceiveWithTimeout": func(rc redis.Conn) error {
		return errors.Join(sendGet(rc), second(redis.ReceiveWithTimeout(rc, longEnough)))
	},
	"Do without a command": func(rc redis.Conn) error { return errors.Join(rc.Send("GET", "k"), second(rc.Do(""))) },
	"Do after Send":        func(rc redis.Conn) error { return errors.Join(rc.Send("GET", "k"), second(rc.Do("GET", "k"))) },
	"a script": func(rc redis.Conn) error {
		return second(redis.NewScript(0, "return 1").Do(rc))
	},
	"a transaction": func(rc redis.Conn) error {
		return errors.Join(rc.Send("MULTI"), rc.Send("GET", "k"), second(rc.Do("EXEC")))
	},
	"a subscription": func(rc redis.Conn) error {
		psc := redis.PubSubConn{Conn: rc}
		err := psc.Subscribe("channel")
		if got, failed := psc.Receive().(error); failed {
			err = errors.Join(err, got)
		}
		return err
	},
}

func sendGet(rc redis.Conn) error { return errors.Join(rc.Send("GET", "k"), rc.Flush()) }

func second(_ any, err error) error { return err }

func TestABreakIsEvidenceOncePerConnectionHoweverItIsMet(t *testing.T) {
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
				rc := w.dialed(t)
				f.CutReply("", 0)
				err := use(rc)
				var broken *node.Error
				require.ErrorAs(t, err, &broken)
				assert.Equal(t, "a", broken.Node)
				assert.True(t, node.MaybeExecuted(err), "it was sent")
				assert.Error(t, rc.Err())
				for again, use := range uses {
					assert.Error(t, use(rc), again)
				}
				require.Equal(t, []health.Class{health.Broken}, w.classes())
				assert.ErrorIs(t, w.all()[0].Cause, io.EOF)
			})
		})
	}
}

func TestEveryConnectionThatBreaksIsEvidence(t *testing.T) {
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		one, other := w.dialed(t), w.dialed(t)
		f.CutReply("", 0)
		require.Error(t, uses["Do"](one))
		require.Error(t, uses["Do"](other))
		evs := w.all()
		require.Len(t, evs, 2)
		assert.NotEqual(t, evs[0].Conn, evs[1].Conn)
	})
}

func TestABrokenConnectionSendsNothingMore(t *testing.T) {
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		rc := w.dialed(t)
		f.CutReply("GET", 0)
		require.Error(t, uses["Do"](rc))
		first := rc.Err()
		f.Resume()
		sets := map[string]func() error{
			"Do":            func() error { return second(rc.Do("INCR", "n")) },
			"DoWithTimeout": func() error { return second(redis.DoWithTimeout(rc, time.Second, "INCR", "n")) },
			"DoContext":     func() error { return second(redis.DoContext(rc, t.Context(), "INCR", "n")) },
			"Send":          func() error { return rc.Send("INCR", "n") },
			"Flush":         rc.Flush,
			"Receive":       func() error { return second(rc.Receive()) },
		}
		for name, set := range sets {
			err := set()
			assert.ErrorIs(t, err, first, name)
			assert.True(t, node.SafeToRetry(err), "%s sent nothing", name)
			assert.False(t, node.MaybeExecuted(err), name)
		}
		require.Error(t, rc.Send("INCR", "n"))
		_, err := rc.Do("")
		assert.ErrorIs(t, err, first, "what Send reported need not have been heard")
		assert.True(t, node.SafeToRetry(err))
		_, err = rc.Do("")
		assert.NoError(t, err, "nothing is due")
		requireHealthy(t, w.dialed(t), 1)
		assert.Zero(t, f.Received("INCR"))
	})
}

func TestRepliesThatWereDueOnABrokenConnectionMayStandForExecutedCommands(t *testing.T) {
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		rc := w.dialed(t)
		f.CutReply("", 0)
		for range 3 {
			require.NoError(t, rc.Send("INCR", "n"))
		}
		require.NoError(t, rc.Flush())
		for range 3 {
			assert.True(t, node.MaybeExecuted(second(rc.Receive())))
		}
		assert.True(t, node.MaybeExecuted(second(rc.Do(""))))
	})
}

func TestAnErrorReplyTellsOfItsNodeAndSometimesSpoilsItsConnection(t *testing.T) {
	for _, tc := range []struct {
		reply string
		class health.Class // None: no evidence at all
		drop  bool
	}{
		{"ERR max number of clients reached", health.Soft, true},
		{"DENIED Redis is running in protected mode", health.Misconfigured, true},
		{"NOAUTH Authentication required.", health.Misconfigured, true},
		{"READONLY You can't write against a read only replica.", health.Refusing, true},
		{"LOADING Redis is loading the dataset in memory", health.Refusing, false},
		{"MISCONF Redis is configured to save RDB snapshots", health.Refusing, false},
		{"BUSY Redis is busy running a script.", health.Refusing, false},
		{"OOM command not allowed when used memory > 'maxmemory'.", health.None, false},
		{"WRONGTYPE Operation against a key holding the wrong kind of value", health.None, false},
		{"ERR unknown command 'GETT'", health.None, false},
		{"NOPERM this user has no permissions to run the 'get' command", health.None, false},
	} {
		t.Run(tc.reply, func(t *testing.T) {
			onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
				rc := w.borrow(t)
				f.Fail(tc.reply)
				_, err := rc.Do("GET", "k")
				require.Equal(t, redis.Error(tc.reply), err, "an error reply stays bare")
				assert.Equal(t, tc.drop, rc.Err() != nil)
				f.Resume()
				requireHealthy(t, rc, 1) // it works, whether or not it is to be used again
				require.NoError(t, rc.Close())
				requireHealthy(t, w.borrow(t), 2)
				want := 1
				if tc.drop {
					want = 2
				}
				assert.Equal(t, want, f.Accepted(), "connections dialed")
				if tc.class == health.None {
					assert.Empty(t, w.all())
					return
				}
				require.Equal(t, []health.Class{tc.class}, w.classes())
				assert.True(t, w.all()[0].Verify, "a script may have made up the reply")
			})
		})
	}
}

func TestAnErrorReplyIsSeenHoweverItIsReceived(t *testing.T) {
	const readonly = "READONLY You can't write against a read only replica."
	inside := redistest.Array(redistest.Simple("OK"), redistest.Error(readonly))
	for name, tc := range map[string]struct {
		answer string
		use    func(rc redis.Conn) error
	}{
		"Do":                                {"-" + readonly + "\r\n", uses["Do"]},
		"DoContext":                         {"-" + readonly + "\r\n", uses["DoContext"]},
		"DoWithTimeout":                     {"-" + readonly + "\r\n", uses["DoWithTimeout"]},
		"Receive":                           {"-" + readonly + "\r\n", uses["Receive"]},
		"ReceiveContext":                    {"-" + readonly + "\r\n", uses["ReceiveContext"]},
		"ReceiveWithTimeout":                {"-" + readonly + "\r\n", uses["ReceiveWithTimeout"]},
		"Do without a command":              {"-" + readonly + "\r\n", uses["Do without a command"]},
		"Do after Send":                     {"-" + readonly + "\r\n", uses["Do after Send"]},
		"inside EXEC":                       {string(inside), func(rc redis.Conn) error { return second(rc.Do("exec")) }},
		"inside EXEC, received":             {string(inside), func(rc redis.Conn) error { return errors.Join(rc.Send("EXEC"), rc.Flush(), second(rc.Receive())) }},
		"inside EXEC, Do without a command": {string(inside), func(rc redis.Conn) error { return errors.Join(rc.Send("EXEC"), second(rc.Do(""))) }},
	} {
		t.Run(name, func(t *testing.T) {
			f := redistest.NewFake(t)
			w := watchURL(t, "redis://"+f.Addr(), "")
			rc := w.dialed(t)
			f.Answer(tc.answer)
			_ = tc.use(rc)
			assert.Equal(t, []health.Class{health.Refusing}, w.classes())
			assert.ErrorContains(t, rc.Err(), "READONLY", "the connection is to be dropped")
		})
	}
}

// wrapping is a connection of a user's own making, which knows Do and Close and
// wraps errors.
type wrapping struct{ redis.Conn }

func (w wrapping) Do(cmd string, args ...any) (any, error) {
	reply, err := w.Conn.Do(cmd, args...)
	if err != nil {
		err = fmt.Errorf("user's own words: %w", err)
	}
	return reply, err
}

func TestAUsersOwnConnectionMayWrapErrorsAndNeedNotKnowTimeLimits(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	p := f.Pool(unhurried)
	dial := p.DialContext
	p.DialContext = func(ctx context.Context) (redis.Conn, error) {
		rc, err := dial(ctx)
		return wrapping{rc}, err
	}
	w := watchPool(t, p)
	rc := w.borrow(t)
	f.Fail("LOADING Redis is loading the dataset in memory")
	assert.ErrorContains(t, second(rc.Do("GET", "k")), "user's own words")
	assert.Equal(t, []health.Class{health.Refusing}, w.classes())
	f.Resume()
	assert.ErrorContains(t, second(redis.DoWithTimeout(rc, time.Second, "GET", "k")), "does not support")
	got, err := redis.String(redis.DoContext(rc, t.Context(), "ECHO", "x"))
	require.NoError(t, err)
	assert.Equal(t, "x", got)
	require.NoError(t, rc.Err())

	f.CutReply("", 0)
	err = second(rc.Do("GET", "k"))
	assert.ErrorIs(t, err, io.EOF)
	assert.True(t, node.MaybeExecuted(err))
	assert.Equal(t, []health.Class{health.Refusing, health.Broken}, w.classes())
}

func TestARefusedLoginOfTheCallersOwnIsNoEvidence(t *testing.T) {
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		rc := w.dialed(t)
		f.Fail("WRONGPASS invalid username-password pair or user is disabled.")
		assert.Error(t, second(rc.Do("AUTH", "guess")))
		assert.Error(t, second(rc.Do("hello", 3)))
		assert.NoError(t, rc.Err())
		assert.Empty(t, w.all())
	})
}

func TestSeveringEndsEveryCallThatWaitsAtOnce(t *testing.T) {
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
				rc := w.dialed(t)
				f.Hang()
				result := background(func() error { return use(rc) })
				redistest.WaitFor(t, longEnough, func() bool { return f.Received("") > 1 }, "the command is sent")
				cause := errors.New("found silent")
				w.SetState(silent(cause))
				w.Sever()
				err := result(t)
				assert.ErrorIs(t, err, cause)
				assert.ErrorIs(t, rc.Err(), cause)
				assert.True(t, node.MaybeExecuted(err))
				assert.Empty(t, w.all(), "what the node did itself tells nothing of it")
			})
		})
	}
}

func TestClosingAConnectionEndsTheCallThatWaitsOnIt(t *testing.T) {
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		rc := w.dialed(t)
		f.Hang()
		result := background(func() error { return second(rc.Do("GET", "k")) })
		redistest.WaitFor(t, longEnough, func() bool { return f.Received("GET") > 0 }, "the command is sent")
		require.NoError(t, rc.Close())
		assert.ErrorIs(t, result(t), net.ErrClosed)
		assert.Empty(t, w.accusations())
	})
}

func TestDoContextStartsNoGoroutine(t *testing.T) {
	const callers = 20
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		var conns []redis.Conn
		for range callers {
			conns = append(conns, w.dialed(t))
		}
		f.Hang()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		before := runtime.NumGoroutine()
		var results []func(testing.TB) error
		for _, rc := range conns {
			results = append(results, background(func() error { return second(redis.DoContext(rc, ctx, "GET", "k")) }))
		}
		redistest.WaitFor(t, longEnough, func() bool { return f.Received("GET") == callers }, "all are sent")
		assert.Less(t, runtime.NumGoroutine(), before+callers+callers/2, "there are the callers' own goroutines and no more")
		cancel()
		for _, result := range results {
			require.ErrorIs(t, result(t), context.Canceled)
		}
	})
}
