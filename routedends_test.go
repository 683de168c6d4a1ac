package fluster_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
)

// limitedCalls are all ways of calling with a context, of which node b has a part.
var limitedCalls = map[string]func(ctx context.Context, f *fleet, key string) error{
	"Do":     func(ctx context.Context, f *fleet, key string) error { _, err := f.Do(ctx, "INCR", key); return err },
	"a read": func(ctx context.Context, f *fleet, key string) error { _, err := f.Do(ctx, "GET", key); return err },
	"BLPOP": func(ctx context.Context, f *fleet, key string) error {
		_, err := f.Do(ctx, "BLPOP", listOf(key), 0)
		return err
	},
	"a fan-out": func(ctx context.Context, f *fleet, _ string) error { _, err := f.Do(ctx, "DBSIZE"); return err },
	"a union": func(ctx context.Context, f *fleet, key string) error {
		_, err := f.Do(ctx, "SUNION", key, "1", "2", "3", "4")
		return err
	},
	"a split": func(ctx context.Context, f *fleet, key string) error {
		_, err := f.Do(ctx, "MGET", key, "1", "2", "3", "4")
		return err
	},
	"Each": func(ctx context.Context, f *fleet, _ string) error {
		_, err := f.Each(ctx, fluster.AllNodes(), "TIME")
		return err
	},
	"a script": func(ctx context.Context, f *fleet, key string) error {
		_, err := f.Do(ctx, "EVAL", echo, 1, key, "x")
		return err
	},
	"a publisher": func(ctx context.Context, f *fleet, key string) error {
		_, err := f.Do(ctx, "PUBLISH", key, "x")
		return err
	},
	"a connection": func(ctx context.Context, f *fleet, key string) error {
		return onConn(f, func(c redis.Conn) error { _, err := redis.DoContext(c, ctx, "INCR", key); return err })
	},
	"a pipeline": func(ctx context.Context, f *fleet, key string) error {
		return onConn(f, func(c redis.Conn) error {
			_ = c.Send("INCR", key)
			_, err := redis.DoContext(c, ctx, "INCR", key)
			return err
		})
	},
	"a reply": func(ctx context.Context, f *fleet, key string) error {
		return onConn(f, func(c redis.Conn) error {
			_ = c.Send("BLPOP", listOf(key), 0)
			_, err := redis.ReceiveContext(c, ctx)
			return err
		})
	},
	"a split in a pipeline": func(ctx context.Context, f *fleet, key string) error {
		return onConn(f, func(c redis.Conn) error {
			_ = c.Send("MGET", key, "1", "2", "3", "4")
			_, err := redis.ReceiveContext(c, ctx)
			return err
		})
	},
	"a transaction": func(ctx context.Context, f *fleet, key string) error {
		return onConn(f, func(c redis.Conn) error {
			_, _ = c.Do("MULTI")
			_ = c.Send("INCR", key)
			_, err := redis.DoContext(c, ctx, "EXEC")
			return err
		})
	},
	"WATCH": func(ctx context.Context, f *fleet, key string) error {
		return onConn(f, func(c redis.Conn) error { _, err := redis.DoContext(c, ctx, "WATCH", key); return err })
	},
	"SUBSCRIBE": func(ctx context.Context, f *fleet, key string) error {
		return onConn(f, func(c redis.Conn) error { _, err := redis.DoContext(c, ctx, "SUBSCRIBE", key); return err })
	},
}

// listOf is a key beside another one, which may hold something else.
func listOf(key string) string { return "{" + key + "}list" }

func onConn(f *fleet, call func(c redis.Conn) error) error {
	c := f.Get()
	err := call(c)
	return errors.Join(err, c.Close())
}

func TestEveryCallEndsWithItsContextAlsoOnAFrozenNode(t *testing.T) {
	f := openFleet(t, 3, "&read_timeout=30s&dial_timeout=30s", fluster.Config{})
	require.NoError(t, f.WaitReady(t.Context()))
	key := keyOf(t, f.FlusterCluster, "b")
	for name, call := range limitedCalls {
		for _, frozen := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, frozen %v", name, frozen), func(t *testing.T) {
				waitLive(t, f.FlusterCluster, "b")
				ended, end := context.WithCancel(t.Context())
				end()
				require.Error(t, call(ended, f, key))
				if frozen {
					f.servers[1].Stop()
					defer f.servers[1].Cont()
				} else if name != "BLPOP" && name != "a reply" {
					return
				}
				const limit = 60 * time.Millisecond
				w := startStopwatch()
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				defer cancel()
				begun := time.Now()
				err := call(ctx, f, key)
				took := time.Since(begun)
				require.Error(t, err)
				assert.ErrorIs(t, err, context.DeadlineExceeded)
				assert.Less(t, took, limit+50*time.Millisecond+w.slack())
			})
		}
	}
}

func TestABlockingCallWaitsAsLongAsItWasToldTo(t *testing.T) {
	f := openFleet(t, 3, "&read_timeout=200ms", fluster.Config{})
	begun := time.Now()
	reply, err := f.Do(t.Context(), "BLPOP", "list", 1)
	require.NoError(t, err)
	assert.Nil(t, reply)
	assert.GreaterOrEqual(t, time.Since(begun), 900*time.Millisecond)
	c := f.Get()
	defer c.Close()
	require.NoError(t, c.Send("BLPOP", "list", 1))
	reply, err = c.Receive()
	require.NoError(t, err)
	assert.Nil(t, reply)
	requireNoPenalties(t, f.FlusterCluster)
}

func TestClosingTheClusterEndsEveryRoutedCall(t *testing.T) {
	f := openFleet(t, 3, "&read_timeout=30s", fluster.Config{})
	var calls atomic.Int64
	var wrong sync.Map
	over := func(err error) bool {
		calls.Add(1)
		if err != nil && !errors.Is(err, fluster.ErrClosed) {
			wrong.Store(err.Error(), true)
		}
		return err == nil
	}
	uses := []func(g int) bool{
		func(g int) bool { _, err := f.Do(context.Background(), "INCR", fmt.Sprint("k", g)); return over(err) },
		func(int) bool {
			_, err := f.Do(context.Background(), "MGET", "1", "2", "3", "4", "5")
			return over(err)
		},
		func(int) bool { _, err := f.Do(context.Background(), "DBSIZE"); return over(err) },
		func(g int) bool {
			_, err := f.Do(context.Background(), "BLPOP", fmt.Sprint("list", g), 0)
			return over(err)
		},
		func(g int) bool {
			return over(onConn(f, func(c redis.Conn) error {
				for i := range 20 {
					_ = c.Send("INCR", fmt.Sprint("k", g, i))
				}
				_, err := c.Do("")
				return err
			}))
		},
		func(g int) bool {
			return over(onConn(f, func(c redis.Conn) error {
				_ = c.Send("MULTI")
				_ = c.Send("INCR", fmt.Sprint("k", g))
				_, err := c.Do("EXEC")
				return err
			}))
		},
		func(g int) bool {
			ps := redis.PubSubConn{Conn: f.Get()}
			defer func() { _ = ps.Close() }()
			if err := ps.Subscribe(fmt.Sprint("channel", g)); err != nil {
				return over(err)
			}
			_ = ps.Receive()
			err, _ := ps.ReceiveWithTimeout(0).(error)
			return over(err)
		},
	}
	stop := atOnce(4*len(uses), func(g int) bool { return uses[g%len(uses)](g) })
	awaitMore(t, &calls, 500)
	require.NoError(t, f.Close())
	stop() // all have ended, which is the point
	wrong.Range(func(text, _ any) bool { return assert.Fail(t, "not ErrClosed", text) })
	_, err := f.Do(t.Context(), "GET", "k")
	require.ErrorIs(t, err, fluster.ErrClosed)
	_, err = f.GetContext(t.Context())
	require.ErrorIs(t, err, fluster.ErrClosed)
	for _, st := range f.Nodes() {
		assert.Equal(t, st.PoolStats.IdleCount, st.PoolStats.ActiveCount, "node %s", st.Name)
	}
}

func TestCloseDoesNotWaitForWhatBlocksAndWasNotFlushed(t *testing.T) {
	f := startFleet(t, 1, quick, fluster.Config{})
	conn := f.Get()
	require.NoError(t, conn.Send("BLPOP", "queue", 0))
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		_ = conn.Close()
	}()
	select {
	case <-closed:
	case <-time.After(patient):
		t.Fatal("Close waits for a push")
	}
	f.servers[0].Do("RPUSH", "queue", "item")
	assert.Equal(t, int64(1), f.servers[0].Do("LLEN", "queue"), "nobody took it")
}

func TestAScriptThatSaysNoscriptItselfRunsOnceOverASharedConnection(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{})
	sha, err := redis.String(f.Do(t.Context(), "SCRIPT", "LOAD", "redis.call('INCR', KEYS[1]); return redis.error_reply('NOSCRIPT of my own')"))
	require.NoError(t, err)
	_, err = f.Do(t.Context(), "EVALSHA", sha, 1, "n")
	require.ErrorContains(t, err, "NOSCRIPT of my own")
	n, err := redis.Int(f.Do(t.Context(), "GET", "n"))
	require.NoError(t, err)
	assert.Equal(t, 1, n)

	f.servers[0].Do("SCRIPT", "FLUSH") // and one that is really lacking is loaded
	_, err = f.Do(t.Context(), "EVALSHA", sha, 1, "n")
	require.ErrorContains(t, err, "NOSCRIPT of my own")
	n, err = redis.Int(f.Do(t.Context(), "GET", "n"))
	require.NoError(t, err)
	assert.Equal(t, 2, n)
}

func TestALimitOfOneCallsOwnHoldsAmongMany(t *testing.T) {
	f := openFleet(t, 1, "&read_timeout=200ms", fluster.Config{})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 6 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_, _ = f.Do(t.Context(), "GET", "n")
				}
			}
		})
	}
	conn := f.Get()
	defer conn.Close()
	reply, err := redis.DoWithTimeout(conn, patient, "BLPOP", "never", 0.5)
	close(stop)
	wg.Wait()
	assert.NoError(t, err)
	assert.Nil(t, reply)
}

func TestAnErrorOfThePipelineDoesNotMakeItsLastCommandSafe(t *testing.T) {
	f := startFleet(t, 2, quick, fluster.Config{})
	a, b := keyOf(t, f.FlusterCluster, "a"), keyOf(t, f.FlusterCluster, "b")
	conn := f.Get()
	defer conn.Close()
	require.NoError(t, conn.Send("RENAME", a, b))
	reply, err := redis.Int(conn.Do("INCR", a))
	require.ErrorIs(t, err, fluster.ErrCrossNode)
	assert.Zero(t, reply, "redigo's helpers look at the error first")
	assert.False(t, fluster.SafeToRetry(err), "INCR ran")
	assert.True(t, fluster.MaybeExecuted(err))
}

func TestEachRefusesWhatWouldStayWithAPooledConnection(t *testing.T) {
	f := startFleet(t, 2, quick, fluster.Config{})
	for _, cmd := range [][]any{{"SELECT", 3}, {"SSUBSCRIBE", "ch"}, {"MULTI"}, {"CLIENT", "REPLY", "OFF"}} {
		_, err := f.Each(t.Context(), fluster.AllNodes(), cmd[0].(string), cmd[1:]...)
		assert.ErrorIs(t, err, fluster.ErrRefused, "%v", cmd)
	}
}

func TestAnUnknownCommandDoesNotWaitForTheConnectionThatItsCallerHolds(t *testing.T) {
	f := openFleet(t, 1, "&pool_size=1&pool_wait=true", fluster.Config{})
	conn := f.Get()
	defer conn.Close()
	_, err := conn.Do("WATCH", "k")
	require.NoError(t, err)
	_, err = conn.Do("NOSUCHCMD", "k")
	assert.Error(t, err)
	_, err = conn.Do("UNWATCH")
	assert.NoError(t, err)
}
