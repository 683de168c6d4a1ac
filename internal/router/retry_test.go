package router_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

// outcome is what the caller learned of one command.
type outcome struct {
	cmd  string
	node int
	err  error
}

// scenario is a way to send commands, each of them once to each node.
type scenario struct {
	cmds   []string // in order
	run    func(ctx context.Context, r *router.Router) []outcome
	shares bool // it may go over a shared connection
}

// longest is how many bytes a scenario sends to a node at most.
func (s scenario) longest() int {
	if slices.Contains(s.cmds, "EVALSHA") {
		return 320
	}
	return 120
}

var scenarios = map[string]scenario{
	"do": {[]string{"INCR"}, func(ctx context.Context, r *router.Router) []outcome {
		_, err := r.Do(ctx, "INCR", []any{"a"})
		return []outcome{{"INCR", 0, err}}
	}, true},
	"a read": {[]string{"GET"}, func(ctx context.Context, r *router.Router) []outcome {
		_, err := r.Do(ctx, "GET", []any{"a"})
		return []outcome{{"GET", 0, err}}
	}, true},
	"a split": {[]string{"DEL"}, func(ctx context.Context, r *router.Router) []outcome {
		_, err := r.Do(ctx, "DEL", []any{"a", "b"})
		return parts("DEL", err)
	}, true},
	"a script that the node lost": {[]string{"EVALSHA", "SCRIPT"}, func(ctx context.Context, r *router.Router) []outcome {
		_, err := r.Do(ctx, "EVALSHA", []any{count.Hash(), 1, "a", 1})
		return []outcome{{"EVALSHA", 0, err}}
	}, true},
	"pipeline": {[]string{"INCR", "GET", "RPUSH"}, func(_ context.Context, r *router.Router) []outcome {
		c := redis.Conn(r.NewConn())
		defer c.Close()
		var all []outcome
		for n, key := range []string{"a", "b"} {
			for _, cmd := range []string{"INCR", "GET", "RPUSH"} {
				args := []any{key}
				if cmd == "RPUSH" {
					args = []any{key + ":list", "x"}
				}
				_ = c.Send(cmd, args...)
				all = append(all, outcome{cmd: cmd, node: n})
			}
		}
		for i := range all {
			_, all[i].err = c.Receive()
		}
		return all
	}, false},
	"a split in a pipeline": {[]string{"DEL", "INCR"}, func(_ context.Context, r *router.Router) []outcome {
		c := redis.Conn(r.NewConn())
		defer c.Close()
		_ = c.Send("DEL", "a", "b")
		_ = c.Send("INCR", "a")
		_, err := c.Receive()
		all := parts("DEL", err)
		_, err = c.Receive()
		return append(all, outcome{"INCR", 0, err})
	}, false},
	"transaction": {[]string{"MULTI", "INCR", "EXEC"}, func(_ context.Context, r *router.Router) []outcome {
		c := redis.Conn(r.NewConn())
		defer c.Close()
		_ = c.Send("MULTI")
		_ = c.Send("INCR", "a")
		_ = c.Send("EXEC")
		var all []outcome
		for _, cmd := range []string{"MULTI", "INCR", "EXEC"} {
			_, err := c.Receive()
			all = append(all, outcome{cmd, 0, err})
		}
		return all
	}, false},
	"transaction, step by step": {[]string{"WATCH", "MULTI", "INCR", "EXEC"}, func(_ context.Context, r *router.Router) []outcome {
		c := redis.Conn(r.NewConn())
		defer c.Close()
		var all []outcome
		for _, cmd := range []string{"WATCH", "MULTI", "INCR", "EXEC"} {
			var args []any
			if cmd == "WATCH" || cmd == "INCR" {
				args = []any{"a"}
			}
			_, err := c.Do(cmd, args...)
			all = append(all, outcome{cmd, 0, err})
		}
		return all
	}, false},
	"transaction of a function": {[]string{"WATCH", "GET", "MULTI", "INCR", "EXEC"}, func(ctx context.Context, r *router.Router) []outcome {
		_, err := r.Tx(router.WithRetry(ctx, router.Retry{MinWait: 1}), []string{"a"}, func(tx redis.Conn) error {
			if _, err := tx.Do("GET", "a"); err != nil {
				return err
			}
			return tx.Send("INCR", "a")
		})
		return []outcome{{"EXEC", 0, err}}
	}, false},
}

// parts are the outcomes of a split call on the two nodes.
func parts(cmd string, err error) []outcome {
	all := []outcome{{cmd, 0, nil}, {cmd, 1, nil}}
	var failed *command.NodesError
	if !errors.As(err, &failed) {
		all[0].err, all[1].err = err, err
		return all
	}
	for _, f := range failed.Failed {
		all[f.Node[0]-'A'].err = f.Err
	}
	return all
}

// requireTruth checks what the callers learned against what was executed.
func requireTruth(t *testing.T, f []*forgetful, all []outcome, at string) {
	t.Helper()
	for _, o := range all {
		n := f[o.node].Executed(o.cmd)
		if o.cmd == "EVALSHA" {
			n = int(f[o.node].ran.Load())
		}
		switch {
		case o.err == nil && o.cmd == "GET":
			require.NotZero(t, n, "%s: %s on %d", at, o.cmd, o.node)
		case o.err == nil:
			require.Equal(t, 1, n, "%s: %s on %d succeeded", at, o.cmd, o.node)
		case strings.HasPrefix(o.err.Error(), "NOSCRIPT "), node.SafeToRetry(o.err):
			require.Zero(t, n, "%s: %s on %d is safe to repeat: %v", at, o.cmd, o.node, o.err)
		default:
			require.True(t, node.MaybeExecuted(o.err), "%s: %s on %d: %v", at, o.cmd, o.node, o.err)
			if o.cmd != "GET" {
				require.LessOrEqual(t, n, 1, "%s: %s on %d", at, o.cmd, o.node)
			}
		}
	}
}

// forgetful is a fake server that knows transactions, though it runs what belongs to
// one at once, and one script, until it forgets that.
type forgetful struct {
	*redistest.Fake
	loaded atomic.Bool
	ran    atomic.Int64 // how often the script was
}

func newForgetful(t testing.TB) *forgetful {
	f := &forgetful{Fake: redistest.NewFake(t)}
	transact := multi("")
	f.Handle(func(cmd []string) []byte {
		switch {
		case cmd[0] == "EVALSHA" && !f.loaded.Load():
			return redistest.Error("NOSCRIPT No matching script. Please use EVAL.")
		case cmd[0] == "EVALSHA":
			return redistest.Int(int(f.ran.Add(1)))
		case cmd[0] == "SCRIPT" && cmd[1] == "LOAD":
			f.loaded.Store(true)
			return redistest.Bulk(count.Hash())
		case cmd[0] == "SCRIPT" && f.loaded.Load():
			return redistest.Array(redistest.Int(1))
		case cmd[0] == "SCRIPT":
			return redistest.Array(redistest.Int(0))
		}
		return transact(cmd)
	})
	return f
}

// A scenario goes over pools that the library built, over a connection that is
// shared there, or over pools of a user's.
const (
	own    = "own"
	shared = "shared"
	users  = "a user's"
)

// cutAt runs a scenario on two nodes of which the first is cut by cut, and reports
// whether anything failed.
func cutAt(t *testing.T, s scenario, path, at string, cut func(f *redistest.Fake)) (failed bool) {
	t.Helper()
	f := []*forgetful{newForgetful(t), newForgetful(t)}
	var pools []*redis.Pool
	for _, one := range f {
		pool := one.Pool(redistest.PoolOptions{Connect: 20 * time.Second})
		if path != users {
			pool = poolOf(t, one.Addr(), "dial_timeout=20s")
		}
		pools = append(pools, pool)
	}
	r := routeOver(t, pools...)
	_, err := r.Do(t.Context(), "SCRIPT", []any{"LOAD", countSource}) // dials, too
	require.NoError(t, err)
	if path == shared {
		r.sharing.on.Store(true)
		r.shareOn(t, 0)
	}
	f[0].loaded.Store(false)

	cut(f[0].Fake)
	all := s.run(t.Context(), r.Router)
	r.requireIdle(t)
	r.end()
	for _, one := range f {
		redistest.WaitFor(t, patient, func() bool { return one.Conns() == 0 }, "all is executed that ever will be")
	}
	requireTruth(t, f, all, at)
	for _, o := range all {
		failed = failed || o.err != nil
	}
	for _, one := range f {
		one.Close()
	}
	return failed
}

func TestRow23WhatIsSaidOfACutCallIsTrueAtEachByte(t *testing.T) {
	row := redistest.Faults(t, 23, "a connection is cut at each byte: routed calls", "a fake server that counts")
	for name, s := range scenarios {
		for _, path := range []string{own, shared, users} {
			if path == shared && !s.shares {
				continue
			}
			t.Run(name+"/"+path, func(t *testing.T) {
				sawFailure, step := false, 1
				if path == users {
					step = 5 // all that was tried may have run there
				}
				note := func(failed bool) {
					if row.Calls++; failed {
						row.Lost++
					}
					sawFailure = sawFailure || failed
				}
				for n := 1; n <= s.longest(); n += step {
					at := fmt.Sprintf("request cut after %d bytes", n)
					note(cutAt(t, s, path, at, func(f *redistest.Fake) { f.CutRequests(n) }))
				}
				for _, cmd := range s.cmds {
					for n := range 8 {
						at := fmt.Sprintf("reply to %s cut after %d bytes", cmd, n)
						note(cutAt(t, s, path, at, func(f *redistest.Fake) { f.CutReply(cmd, n) }))
					}
				}
				assert.True(t, sawFailure || name == "a read", "no cut was felt")
			})
		}
	}
}

func TestReadsAreRepeatedWhenTheirReplyIsLost(t *testing.T) {
	r, f := fakes(t, 1, "")
	f[0].CutReply("GET", 2)
	_, err := r.Do(t.Context(), "GET", []any{"a"})
	require.True(t, node.MaybeExecuted(err), "%v", err)
	assert.Equal(t, 3, f[0].Executed("GET"), "twice at most")

	f[0].CutReply("INCR", 2)
	_, err = r.Do(t.Context(), "INCR", []any{"a"})
	require.True(t, node.MaybeExecuted(err), "%v", err)
	assert.Equal(t, 1, f[0].Executed("INCR"))
}

func TestWhatAServerSaidIsNotRepeatedThere(t *testing.T) {
	for _, text := range []string{"LOADING Redis is loading the dataset in memory", "WRONGTYPE no", "READONLY no", "OOM no"} {
		r, f := fakes(t, 1, "")
		_, err := r.Do(t.Context(), "EXISTS", []any{"a"}) // for the dial is not to fail
		require.NoError(t, err)
		f[0].Fail(text)
		_, err = r.Do(t.Context(), "GET", []any{"a"})
		require.ErrorIs(t, err, redis.Error(text))
		assert.Equal(t, 1, f[0].Received("GET"), text)
	}
}

func TestRetriesOfANodeThatAlwaysFailsAreBounded(t *testing.T) {
	r, f := fakes(t, 1, "")
	f[0].CutReply("GET", 1)
	ctx := router.WithRetry(t.Context(), router.Retry{MinWait: 1}) // no pauses
	const calls = 10_000
	for range calls {
		_, err := r.Do(ctx, "GET", []any{"a"})
		require.Error(t, err)
	}
	received := f[0].Received("GET")
	t.Logf("%d calls, %d commands", calls, received)
	assert.LessOrEqual(t, float64(received), 1.2*calls)
	assert.Greater(t, received, calls, "some are repeated")
}

func TestNothingIsRepeatedAfterItsContext(t *testing.T) {
	r, f := fakes(t, 1, "")
	ctx, cancel := context.WithCancel(t.Context())
	f[0].Handle(func(cmd []string) []byte {
		if cmd[0] == "GET" {
			cancel()
			f[0].Drop()
		}
		return nil
	})
	_, err := r.Do(ctx, "GET", []any{"a"})
	require.Error(t, err)
	assert.Equal(t, 1, f[0].Received("GET"))
	_, err = r.Do(ctx, "GET", []any{"a"})
	require.ErrorIs(t, err, context.Canceled)
	_, err = r.NewConn().DoContext(ctx, "GET", "a")
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 1, f[0].Received("GET"))
}
