package fluster_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// increment is INCR in the manner of those who read first.
func increment(key string) func(tx redis.Conn) error {
	return func(tx redis.Conn) error {
		n, err := redis.Int(tx.Do("GET", key))
		if err != nil && !errors.Is(err, redis.ErrNil) {
			return err
		}
		return tx.Send("SET", key, n+1)
	}
}

// requireClean checks that each connection is back in its pool, and in no state: it
// takes all of them and asks.
func requireClean(t *testing.T, c *fluster.FlusterCluster) {
	t.Helper()
	for _, st := range c.Nodes() {
		require.Equal(t, st.PoolStats.ActiveCount, st.PoolStats.IdleCount, "node %s", st.Name)
		var conns []redis.Conn
		for range st.PoolStats.IdleCount {
			conn := st.Pool.Get()
			conns = append(conns, conn)
			reply, err := conn.Do("PING")
			require.NoError(t, err)
			require.Equal(t, "PONG", reply, "not in a transaction")
			info, err := redis.String(conn.Do("CLIENT", "INFO"))
			require.NoError(t, err)
			require.Contains(t, info, "multi=-1")
			require.Contains(t, info, "flags=N ")
		}
		for _, conn := range conns {
			require.NoError(t, conn.Close())
		}
	}
}

func TestTxReadsWatchesAndExecutes(t *testing.T) {
	f := openFleet(t, 3, "", fluster.Config{})
	ctx := t.Context()
	var read int
	replies, err := f.Tx(ctx, []string{"{u}:a", "{u}:b"}, func(tx redis.Conn) error {
		n, err := redis.Ints(tx.Do("MGET", "{u}:a", "{u}:b"))
		if err != nil {
			return err
		}
		read = n[0] + n[1]
		require.NoError(t, tx.Err())
		require.NoError(t, tx.Flush())
		require.NoError(t, tx.Send("INCR", "{u}:a"))
		require.NoError(t, tx.Send("LPUSH", "{u}:a", "x"))
		return tx.Send("RPUSH", "{u}:list", "x", "y")
	})
	require.NoError(t, err)
	assert.Zero(t, read)
	require.Len(t, replies, 3)
	assert.Equal(t, int64(1), replies[0])
	assert.ErrorContains(t, replies[1].(redis.Error), "WRONGTYPE", "an error reply stands in its place")
	assert.Equal(t, int64(2), replies[2])
	requireClean(t, f.FlusterCluster)
}

func TestTxOverUserBuiltPoolsDoesTheSame(t *testing.T) {
	f := startFleet(t, 2, unhurried, fluster.Config{})
	for range 3 {
		_, err := f.Tx(t.Context(), []string{"k"}, increment("k"))
		require.NoError(t, err)
	}
	n, err := redis.Int(f.Do(t.Context(), "GET", "k"))
	require.NoError(t, err)
	assert.Equal(t, 3, n)
	requireClean(t, f.FlusterCluster)
}

func TestNoIncrementIsLostToThoseWhoIncrementAtOnce(t *testing.T) {
	f := openFleet(t, 2, "", fluster.Config{})
	ctx := fluster.WithRetry(t.Context(), fluster.Retry{Conflicts: math.MaxInt, MinWait: time.Millisecond})
	const goroutines, each = 8, 10
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				_, err := f.Tx(ctx, []string{"counter"}, increment("counter"))
				assert.NoError(t, err)
			}
		})
	}
	wg.Wait()
	n, err := redis.Int(f.Do(t.Context(), "GET", "counter"))
	require.NoError(t, err)
	assert.Equal(t, goroutines*each, n)
	requireClean(t, f.FlusterCluster)
}

// meddle is increment while somebody else changes the key each time.
func meddle(t *testing.T, f *fleet, key string, calls *int) func(tx redis.Conn) error {
	return func(tx redis.Conn) error {
		*calls++
		err := increment(key)(tx)
		_, theirs := f.Do(t.Context(), "INCR", key)
		require.NoError(t, theirs)
		return err
	}
}

func TestTxBeginsAnewAsOftenAsItMay(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{Retry: fluster.Retry{MinWait: 1}})
	for conflicts, want := range map[int]int{-1: 1, 0: 11, 1: 2, 4: 5} {
		calls := 0
		ctx := fluster.WithRetry(t.Context(), fluster.Retry{Conflicts: conflicts})
		replies, err := f.Tx(ctx, []string{"k"}, meddle(t, f, "k", &calls))
		require.ErrorIs(t, err, fluster.ErrConflict)
		assert.Nil(t, replies)
		assert.Equal(t, want, calls)
		assert.True(t, fluster.SafeToRetry(err), "it did not run")
		assert.False(t, fluster.MaybeExecuted(err))
	}
	assert.Zero(t, f.servers[0].Executed("set"))
	requireClean(t, f.FlusterCluster)
}

func TestTxBeginsAnewUntilItsContextEnds(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{Retry: fluster.Retry{MinWait: time.Hour, MaxWait: time.Hour}})
	ctx, cancel := context.WithCancel(t.Context())
	calls := 0
	inner := meddle(t, f, "k", &calls)
	_, err := f.Tx(ctx, []string{"k"}, func(tx redis.Conn) error {
		if calls == 1 { // the pause comes after this one
			go func() {
				requireAllIdle(t, f) // so this attempt is over
				cancel()
			}()
		}
		return inner(tx)
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.True(t, fluster.SafeToRetry(err))
	require.ErrorIs(t, err, fluster.ErrConflict)
	assert.Equal(t, 2, calls)
	requireClean(t, f.FlusterCluster)
}

func TestTxOfSeveralNodesIsRefusedBeforeAnythingIsSent(t *testing.T) {
	f := openFleet(t, 2, "", fluster.Config{})
	a, b := keyOf(t, f.FlusterCluster, "a"), keyOf(t, f.FlusterCluster, "b")
	for _, s := range f.servers {
		s.Do("CONFIG", "RESETSTAT")
	}
	called := false
	_, err := f.Tx(t.Context(), []string{a, b}, func(redis.Conn) error {
		called = true
		return nil
	})
	require.ErrorIs(t, err, fluster.ErrCrossNode)
	assert.True(t, fluster.SafeToRetry(err))
	assert.False(t, called)
	for name, fn := range map[string]func(tx redis.Conn) error{
		"queued there, and not noticed": func(tx redis.Conn) error {
			assert.NoError(t, tx.Send("SET", a, 1))
			assert.ErrorIs(t, tx.Send("SET", b, 1), fluster.ErrCrossNode)
			assert.ErrorIs(t, tx.Err(), fluster.ErrCrossNode)
			return nil
		},
		"queued over both": func(tx redis.Conn) error { return tx.Send("MSET", a, 1, b, 1) },
		"read there": func(tx redis.Conn) error {
			if err := tx.Send("SET", a, 1); err != nil {
				return err
			}
			_, err := tx.Do("GET", b)
			return err
		},
	} {
		_, err = f.Tx(t.Context(), nil, fn)
		require.ErrorIs(t, err, fluster.ErrCrossNode, name)
		assert.True(t, fluster.SafeToRetry(err))
	}
	for _, s := range f.servers {
		for _, cmd := range []string{"watch", "multi", "set", "get", "mset"} {
			assert.Zero(t, s.Executed(cmd), cmd)
		}
	}
	_, err = f.Tx(t.Context(), []string{a}, func(tx redis.Conn) error { return tx.Send("SET", b, 1) })
	require.ErrorIs(t, err, fluster.ErrCrossNode)
	assert.Zero(t, f.servers[0].Executed("multi")+f.servers[1].Executed("set"))
	requireClean(t, f.FlusterCluster)
}

func TestAnEmptyTxAsksNobodyForMoreThanItsWatch(t *testing.T) {
	f := openFleet(t, 2, "", fluster.Config{})
	for _, s := range f.servers {
		s.Do("CONFIG", "RESETSTAT")
	}
	nothing := func(redis.Conn) error { return nil }
	replies, err := f.Tx(t.Context(), nil, nothing)
	require.NoError(t, err)
	assert.Equal(t, []any{}, replies)
	for _, st := range f.Nodes() {
		assert.Zero(t, st.PoolStats.ActiveCount, "no connection was wanted")
	}
	key := keyOf(t, f.FlusterCluster, "b")
	_, err = f.Tx(t.Context(), []string{key}, nothing)
	require.NoError(t, err)
	assert.Equal(t, 1, f.servers[1].Executed("watch"))
	assert.Equal(t, 1, f.servers[1].Executed("unwatch"))
	assert.Zero(t, f.servers[1].Executed("multi"))
	assert.Zero(t, f.servers[0].Executed("watch"))
	requireClean(t, f.FlusterCluster)
}

func TestWhatFnMayNotDo(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{})
	var kept redis.Conn
	_, err := f.Tx(t.Context(), []string{"k"}, func(tx redis.Conn) error {
		kept = tx
		for _, call := range [][]any{
			{"INCR", "k"},
			{"EVAL", "return 1", 1, "k"},
			{"XREAD", "BLOCK", 1, "STREAMS", "k", "$"},
			{"PING"},
			{"EXEC"},
			{"WATCH", "k"},
			{"SELECT", 1},
			{"NOSUCH"},
		} {
			_, err := tx.Do(call[0].(string), call[1:]...)
			assert.ErrorIs(t, err, fluster.ErrRefused, "%v at once", call)
		}
		reply, err := tx.Do("")
		assert.NoError(t, err)
		assert.Nil(t, reply)
		_, err = tx.Receive()
		assert.Error(t, err)
		_, err = redis.ReceiveContext(tx, t.Context())
		assert.Error(t, err)
		assert.NoError(t, tx.Close(), "it is not fn's to close")
		return tx.Send("INCR", "k")
	})
	require.NoError(t, err)
	require.Error(t, kept.Send("INCR", "k"), "it is over")
	_, err = kept.Do("GET", "k")
	require.Error(t, err)
	for _, call := range [][]any{{"MULTI"}, {"EXEC"}, {"DISCARD"}, {"FLUSHALL"}, {"SUBSCRIBE", "c"}, {"SELECT", 1}, {"SCAN", 0}} {
		_, err = f.Tx(t.Context(), nil, func(tx redis.Conn) error {
			assert.NoError(t, tx.Send("SET", "other", 1))
			_ = tx.Send(call[0].(string), call[1:]...)
			return nil
		})
		require.ErrorIs(t, err, fluster.ErrRefused, "%v", call)
	}
	_, err = f.Tx(t.Context(), nil, func(tx redis.Conn) error {
		_ = tx.Send("SET", "other")
		return nil
	})
	require.ErrorContains(t, err, "wrong number of arguments")
	n, err := redis.Strings(f.Do(t.Context(), "MGET", "k", "other"))
	require.NoError(t, err)
	assert.Equal(t, []string{"1", ""}, n)
	requireClean(t, f.FlusterCluster)
}

func TestFnsErrorIsThatOfTx(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{})
	enough := errors.New("there is not enough")
	calls := 0
	_, err := f.Tx(t.Context(), []string{"k"}, func(tx redis.Conn) error {
		calls++
		require.NoError(t, tx.Send("SET", "k", 1))
		return enough
	})
	assert.Equal(t, enough, err)
	assert.Equal(t, 1, calls)
	assert.False(t, fluster.MaybeExecuted(err))
	_, err = f.Tx(t.Context(), []string{"k"}, func(redis.Conn) error { return fmt.Errorf("mine: %w", fluster.ErrConflict) })
	require.ErrorContains(t, err, "mine", "also one that looks like Tx's own")
	assert.Zero(t, f.servers[0].Executed("set"))
	requireClean(t, f.FlusterCluster)
}

func TestAPanicOfFnGivesTheConnectionBackClean(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{})
	assert.PanicsWithValue(t, "no", func() {
		_, _ = f.Tx(t.Context(), []string{"k"}, func(tx redis.Conn) error {
			_ = tx.Send("SET", "k", 1)
			panic("no")
		})
	})
	requireClean(t, f.FlusterCluster)
	assert.Zero(t, f.servers[0].Executed("set"))
}

func TestWhatAServerRefusesToQueueAbortsTheWhole(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{})
	f.servers[0].Do("CONFIG", "SET", "maxmemory", "1")
	_, err := f.Tx(t.Context(), []string{"k"}, func(tx redis.Conn) error {
		_ = tx.Send("DEL", "k")
		return tx.Send("SET", "k", 1)
	})
	require.ErrorContains(t, err, "OOM", "the reason, not only that it was aborted")
	assert.True(t, fluster.SafeToRetry(err))
	assert.Zero(t, f.servers[0].Executed("del"))
	requireClean(t, f.FlusterCluster)
}

// answers makes a fake one that knows transactions: what it queues is executed by
// EXEC, as "ran" tells.
func answers(f *redistest.Fake, cut string) {
	var mu sync.Mutex
	multi := false
	f.Handle(func(cmd []string) []byte {
		mu.Lock()
		defer mu.Unlock()
		if cmd[0] == cut {
			f.Drop()
		}
		switch cmd[0] {
		case "WATCH", "UNWATCH":
			return redistest.Simple("OK")
		case "MULTI", "DISCARD":
			multi = cmd[0] == "MULTI"
			return redistest.Simple("OK")
		case "EXEC":
			multi = false
			return redistest.Array(redistest.Int(1))
		case "INCR":
			if multi {
				return redistest.Simple("QUEUED")
			}
		}
		return nil
	})
}

func TestALostConnectionIsToldRightAtEachStep(t *testing.T) {
	for cut, want := range map[string]struct {
		calls       int // of fn
		safe, maybe bool
	}{
		"WATCH": {0, true, false},
		"GET":   {3, true, false},
		"MULTI": {3, true, false},
		"INCR":  {1, false, true}, // written together with EXEC
		"EXEC":  {1, false, true},
	} {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/own %v", cut, own), func(t *testing.T) {
				redistest.NoLeaks(t)
				fake := redistest.NewFake(t)
				n := fluster.Node{Name: "a", Pool: fake.Pool(redistest.PoolOptions{})}
				if own {
					var err error
					n, err = fluster.ParseNode("redis://" + fake.Addr() + "?name=a")
					require.NoError(t, err)
				}
				c := newCluster(t, fluster.Config{Nodes: []fluster.Node{n}, Retry: fluster.Retry{MinWait: 1}})
				answers(fake, cut)
				calls := 0
				_, err := c.Tx(t.Context(), []string{"k"}, func(tx redis.Conn) error {
					calls++
					if _, err := tx.Do("GET", "k"); err != nil {
						return fmt.Errorf("reading: %w", err)
					}
					return tx.Send("INCR", "k")
				})
				var broken *fluster.NodeError
				require.ErrorAs(t, err, &broken)
				assert.Equal(t, want.calls, calls, "fn was called")
				assert.Equal(t, want.safe, fluster.SafeToRetry(err), "%v", err)
				assert.Equal(t, want.maybe, fluster.MaybeExecuted(err), "%v", err)
				assert.LessOrEqual(t, fake.Received("EXEC"), 1)
				if want.safe {
					assert.Equal(t, 3, fake.Received("WATCH"), "it began anew, twice")
					assert.Zero(t, fake.Received("EXEC"))
					assert.Equal(t, uint64(2), status(t, c, "a").Retries)
				}
			})
		}
	}
}

func TestTxGoesOnAtAnotherNodeWhenItsOwnIsLost(t *testing.T) {
	f := openFleet(t, 2, "", fluster.Config{Health: calmHealth})
	key := keyOf(t, f.FlusterCluster, "a")
	_, err := f.Tx(t.Context(), []string{key}, increment(key)) // so that there is a connection
	require.NoError(t, err)
	calls := 0
	replies, err := f.Tx(t.Context(), []string{key}, func(tx redis.Conn) error {
		if calls++; calls == 1 {
			f.servers[0].Kill()
		}
		return increment(key)(tx)
	})
	require.NoError(t, err)
	assert.Equal(t, []any{"OK"}, replies)
	assert.Equal(t, 2, calls)
	assert.Equal(t, []byte("1"), f.servers[1].Do("GET", key), "it began anew where the key is now")
}

func TestTxOnAFrozenNodeReturnsWithItsContext(t *testing.T) {
	f := openFleet(t, 1, "&read_timeout=0&dial_timeout=10s", fluster.Config{Health: health.Config{Interval: time.Hour}})
	_, err := f.Tx(t.Context(), []string{"k"}, increment("k"))
	require.NoError(t, err)
	for name, freeze := range map[string]func(tx redis.Conn) error{
		"reading": func(tx redis.Conn) error {
			f.servers[0].Stop()
			_, err := tx.Do("GET", "k")
			return err
		},
		"executing": func(tx redis.Conn) error {
			f.servers[0].Stop()
			return tx.Send("INCR", "k")
		},
		"giving up": func(redis.Conn) error {
			f.servers[0].Stop()
			return errors.New("mine")
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		w := startStopwatch()
		_, err := f.Tx(ctx, []string{"k"}, freeze)
		late := context.Cause(ctx)
		deadline, _ := ctx.Deadline()
		over := time.Since(deadline)
		f.servers[0].Cont()
		cancel()
		require.Error(t, err, name)
		require.Error(t, late, "%s waited for the node", name)
		assert.Less(t, over, 50*time.Millisecond+w.slack(), name)
		assert.False(t, fluster.MaybeExecuted(err), "%s: EXEC was not sent", name)
		redistest.WaitFor(t, patient, func() bool {
			n, err := redis.Int(f.Do(t.Context(), "GET", "k"))
			return err == nil && n == 1
		}, "nothing was executed")
	}
}

func TestTxOfAClosedClusterIsRefused(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{})
	require.NoError(t, f.Close())
	_, err := f.Tx(t.Context(), []string{"k"}, increment("k"))
	require.ErrorIs(t, err, fluster.ErrClosed)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = f.Tx(ctx, []string{"k"}, increment("k"))
	require.ErrorIs(t, err, context.Canceled)
}
