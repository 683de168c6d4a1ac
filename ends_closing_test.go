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
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestRow48CloseUnderTrafficFailsEveryCallWithErrClosed(t *testing.T) {
	eachBuilder(t, 48, "the cluster is closed under traffic", "Close, again and again, 50 callers for 2 connections", func(r *trial, builder string) {
		f := &fleet{}
		for range 3 {
			f.servers = append(f.servers, redistest.Start(r.t, "--requirepass", canary))
		}
		var longest maximum
		rounds := 40
		if wholeFaults {
			rounds = 100
		}
		for range rounds {
			longest.note(r.closeOnce(f, builder))
		}
		r.Longest, r.Remark = longest.get(), "of Close"
		r.within(quick.Read+50*time.Millisecond, r.Longest, "Close")
	})
}

// closeOnce closes a cluster over the fleet's servers under traffic, checks that
// nothing goes on, and returns how long Close took.
func (r *trial) closeOnce(f *fleet, builder string) time.Duration {
	t := r.t
	var closed atomic.Bool
	cfg := fluster.Config{Nodes: r.nodes(f.servers, builder)}
	for _, n := range cfg.Nodes {
		n.Pool.MaxActive, n.Pool.Wait = 2, true
		if dial := n.Pool.DialContext; dial != nil && builder == builders[0] {
			n.Pool.DialContext = func(ctx context.Context) (redis.Conn, error) {
				if closed.Load() { // who had begun before is told now, at the latest
					select {
					case <-ctx.Done():
					case <-time.After(patient):
						assert.Fail(t, "a dial after Close")
					}
				}
				return dial(ctx)
			}
		}
	}
	c, err := fluster.New(cfg)
	require.NoError(t, err)
	var wg sync.WaitGroup
	started := make(chan struct{}, 50)
	for i := range 50 {
		wg.Go(func() { callUntilClosed(t, c, fmt.Sprintf("key:%d", i), started) })
	}
	for range 50 {
		<-started
	}
	begun := time.Now()
	require.NoError(t, c.Close())
	took := time.Since(begun)
	closed.Store(true)
	require.NoError(t, c.Close(), "again")
	wg.Wait()
	r.said.print(c)
	requireAllClosed(t, c, cfg.Nodes)
	return took
}

// requireAllClosed checks that a cluster refuses whatever is asked of it.
func requireAllClosed(t *testing.T, c *fluster.FlusterCluster, nodes []fluster.Node) {
	t.Helper()
	_, err := c.GetClient("any")
	require.ErrorIs(t, err, fluster.ErrClosed)
	for _, n := range nodes {
		_, err := n.Pool.GetContext(t.Context())
		require.ErrorIs(t, err, fluster.ErrClosed)
	}
	steps := 0
	for _, err := range c.Iter(t.Context()) {
		require.ErrorIs(t, err, fluster.ErrClosed)
		steps++
	}
	require.Equal(t, 1, steps)
	require.ErrorIs(t, c.WaitReady(t.Context()), fluster.ErrClosed)
}

// callUntilClosed calls with short deadlines, as one of many who share few
// connections, until the cluster is closed.
func callUntilClosed(t *testing.T, c *fluster.FlusterCluster, key string, started chan<- struct{}) {
	for i := 0; ; i++ {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		_, err := doContext(ctx, c, key, "INCR")
		cancel()
		if i == 0 {
			started <- struct{}{}
		}
		switch {
		case errors.Is(err, fluster.ErrClosed):
			return
		case err == nil, errors.Is(err, context.DeadlineExceeded):
		default:
			assert.NoError(t, err)
			return
		}
	}
}

// panics are callbacks of a user's that panic with a connection in their hands.
var panics = map[string]func(ctx context.Context, f *fleet){
	"a walk": func(ctx context.Context, f *fleet) {
		for node, err := range f.Iter(ctx) {
			if err != nil {
				return // and the test finds that nothing panicked
			}
			conn := node.Pool.Get()
			defer conn.Close()
			panic("in the walk's body")
		}
	},
	"a transaction": func(ctx context.Context, f *fleet) {
		_, _ = f.Tx(ctx, []string{"k"}, func(tx redis.Conn) error {
			_ = tx.Send("INCR", "k")
			panic("in the transaction")
		})
	},
	"a routed connection": func(_ context.Context, f *fleet) {
		conn := f.Get()
		defer conn.Close()
		_ = conn.Send("MULTI")
		_ = conn.Send("INCR", "k")
		panic("in between")
	},
}

func TestRow49APanicOfACallersLeavesEverythingUsable(t *testing.T) {
	for name, use := range panics {
		eachBuilder(t, 49, "a caller panics in "+name, "panic", func(r *trial, builder string) {
			f := r.fleet(3, builder, fluster.Config{})
			assert.Panics(r.t, func() { use(r.t.Context(), f) })
			requireAllIdle(r.t, f)
			assert.Zero(r.t, f.executed("exec"))
			visited := 0
			for _, err := range f.Rounds(r.t.Context(), 1) {
				require.NoError(r.t, err)
				visited++
			}
			assert.Equal(r.t, 3, visited)
			n, err := redis.Int(f.Do(r.t.Context(), "INCR", "k"))
			require.NoError(r.t, err)
			assert.Equal(r.t, 1, n)
			r.onlyOut(f.FlusterCluster)
		})
	}
}

// Who forgets to give connections back has them taken away when the cluster ends.
func TestRow49ConnectionsThatWereForgottenEndWithTheCluster(t *testing.T) {
	eachBuilder(t, 49, "a caller forgets to close connections", "20 of them", func(r *trial, builder string) {
		f := r.fleet(1, builder, fluster.Config{})
		pool, err := f.GetClient("k")
		require.NoError(r.t, err)
		forgotten := make([]redis.Conn, 20)
		for i := range forgotten {
			forgotten[i] = pool.Get()
			_, err := forgotten[i].Do("INCR", "k")
			require.NoError(r.t, err)
		}
		assert.GreaterOrEqual(r.t, clients(r.t, f.servers[0]), len(forgotten))
		require.NoError(r.t, f.Close())
		redistest.WaitFor(r.t, patient, func() bool { return clients(r.t, f.servers[0]) == 1 }, "the server is rid of them")
	})
}
