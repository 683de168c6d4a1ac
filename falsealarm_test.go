package fluster_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
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

// inParallel calls f n times with each of 0 to n-1, 32 at a time.
func inParallel(n int, f func(i int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, 32)
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			f(i)
		})
	}
	wg.Wait()
}

// doContext runs one command with a context on the pool that key belongs to.
func doContext(ctx context.Context, c *fluster.FlusterCluster, key, cmd string, args ...any) (any, error) {
	pool, err := c.GetClient(key)
	if err != nil {
		return nil, err
	}
	conn, err := pool.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return redis.DoContext(conn, ctx, cmd, append([]any{key}, args...)...)
}

func TestRow46CancelledAndExpiredContextsAreNoEvidence(t *testing.T) {
	eachBuilder(t, 46, "callers leave", "contexts cancelled before and during, deadlines of 1 ms", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk})
		cancelled, cancel := context.WithCancel(r.t.Context())
		cancel()
		inParallel(1000, func(i int) {
			_, err := doContext(cancelled, f.FlusterCluster, fmt.Sprintf("before:%d", i), "INCR")
			assert.ErrorIs(r.t, err, context.Canceled)
			_, err = f.Do(cancelled, "INCR", fmt.Sprintf("before:%d", i))
			assert.ErrorIs(r.t, err, context.Canceled)
		})
		assert.Zero(r.t, f.executed("incr"), "commands of contexts that were cancelled before")

		inParallel(1000, func(i int) { // cancelled under way, or just before or after
			ctx, cancel := context.WithCancel(r.t.Context())
			go cancel()
			_, err := doContext(ctx, f.FlusterCluster, fmt.Sprintf("during:%d", i), "INCR")
			if err != nil {
				assert.ErrorIs(r.t, err, context.Canceled)
			}
		})
		impatient := 300
		if wholeFaults {
			impatient = 10_000
		}
		var longest maximum
		inParallel(impatient, func(i int) {
			ctx, cancel := context.WithTimeout(r.t.Context(), time.Millisecond)
			defer cancel()
			begun := time.Now()
			_, err := doContext(ctx, f.FlusterCluster, fmt.Sprintf("queue:%d", i), "BLPOP", 1)
			longest.note(time.Since(begun))
			r.said.print(err)
			assert.ErrorIs(r.t, err, context.DeadlineExceeded)
		})
		r.Calls, r.Lost, r.Longest = impatient, impatient, longest.get()
		r.Remark = "each has left"
		r.within(50*time.Millisecond, r.Longest, "a call of 1 ms")
		r.onlyOut(f.FlusterCluster)
	})
}

func TestRow47AFullPoolIsNoEvidence(t *testing.T) {
	for _, wait := range []bool{false, true} {
		t.Run(fmt.Sprintf("wait=%v", wait), func(t *testing.T) {
			r := beginTrial(t, 47, fmt.Sprintf("a pool is full, wait=%v", wait), "4 connections for 32 callers and more")
			o := quick
			o.MaxActive, o.Wait = 4, wait
			f := &fleet{servers: startServers(t, 3, "--requirepass", canary)}
			f.FlusterCluster = r.cluster(fluster.Config{Nodes: nodesOf(f.servers, o), Health: brisk})
			inParallel(2000, func(i int) {
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				_, err := doContext(ctx, f.FlusterCluster, fmt.Sprintf("key:%d", i), "INCR")
				if err != nil && !wait && !errors.Is(err, context.DeadlineExceeded) { // which a slow machine may meet
					assert.ErrorIs(t, err, redis.ErrPoolExhausted)
				}
			})
			pool, err := f.GetClient("key")
			require.NoError(t, err)
			for range 4 {
				defer pool.Get().Close()
			}
			r.crowd(pool, wait)
			r.onlyOut(f.FlusterCluster)
		})
	}
}

// crowd has 64 callers ask a pool that is full. Those who wait do so as long as their
// contexts allow, and no longer.
func (r *trial) crowd(pool *redis.Pool, wait bool) {
	const limit = 50 * time.Millisecond
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(r.t.Context(), limit)
			defer cancel()
			begun := time.Now()
			_, err := pool.GetContext(ctx)
			took := time.Since(begun)
			mu.Lock()
			defer mu.Unlock()
			r.Calls, r.Lost, r.Longest = r.Calls+1, r.Lost+1, max(r.Longest, took)
			r.said.print(err)
			if wait {
				assert.ErrorIs(r.t, err, context.DeadlineExceeded)
			} else {
				assert.ErrorIs(r.t, err, redis.ErrPoolExhausted)
				assert.True(r.t, fluster.SafeToRetry(err))
			}
		})
	}
	wg.Wait()
	r.within(limit+50*time.Millisecond, r.Longest, "the wait for a connection")
}

func TestErrorRepliesAreNoEvidence(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	inParallel(200, func(i int) {
		key := fmt.Sprintf("text:%d", i)
		_, err := do(f.FlusterCluster, key, "SET", "a")
		assert.NoError(t, err)
		_, err = do(f.FlusterCluster, key, "LPUSH", "b")
		assert.IsType(t, redis.Error(""), err)
		assert.ErrorContains(t, err, "WRONGTYPE")
		assert.False(t, fluster.MaybeExecuted(err))
	})
	requireNoPenalties(t, f.FlusterCluster)
}

func TestWordsThatAScriptPutsIntoTheServersMouthAreNoEvidence(t *testing.T) {
	f := startFleet(t, 1, quick, fluster.Config{})
	for _, words := range []string{"LOADING", "READONLY", "MASTERDOWN", "NOAUTH", "MISCONF"} {
		pool, err := f.GetClient("any")
		require.NoError(t, err)
		conn := pool.Get()
		_, err = conn.Do("EVAL", "return redis.error_reply(ARGV[1] .. ' says a script')", 0, words)
		assert.ErrorContains(t, err, words)
		require.NoError(t, conn.Close())
	}
	requireNoPenalties(t, f.FlusterCluster)
}

func TestRow30OutOfMemoryIsNoEvidence(t *testing.T) {
	eachBuilder(t, 30, "memory is full", "CONFIG SET maxmemory 1", func(r *trial, builder string) {
		r.limit = patient // none is to be late
		f := r.fleet(3, builder, fluster.Config{Health: brisk})
		for _, s := range f.servers {
			s.Do("CONFIG", "SET", "maxmemory", "1")
		}
		inParallel(200, func(i int) {
			_, err := do(f.FlusterCluster, fmt.Sprintf("key:%d", i), "SET", "value")
			assert.ErrorContains(r.t, err, "OOM")
			assert.True(r.t, fluster.SafeToRetry(err), "the server refused it before it ran")
			_, err = f.Do(r.t.Context(), "SET", fmt.Sprintf("key:%d", i), "value")
			assert.ErrorContains(r.t, err, "OOM")
			assert.False(r.t, fluster.MaybeExecuted(err))
		})
		r.Calls, r.Lost = 400, 400
		r.Remark = "each is told so by the server"
		r.onlyOut(f.FlusterCluster)
	})
}

func TestRow36AServerThatDropsItsClientsIsNotOut(t *testing.T) {
	eachBuilder(t, 36, "a server drops its clients", "CLIENT KILL", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk})
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { // 20 who wait, and are dropped together
				_, err := doContext(r.t.Context(), f.FlusterCluster, fmt.Sprintf("queue:%d", i), "BLPOP", 0.15)
				if err != nil {
					assert.NotErrorIs(r.t, err, redis.ErrNil)
				}
			})
		}
		for range 10 { // and those that are idle
			for _, s := range f.servers {
				s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
			}
			inParallel(20, func(i int) { _, _ = do(f.FlusterCluster, fmt.Sprintf("key:%d", i), "INCR") })
			inParallel(20, func(i int) {
				_, err := f.Do(r.t.Context(), "GET", fmt.Sprintf("key:%d", i))
				assert.NoError(r.t, err, "what may be done again is")
			})
		}
		wg.Wait()
		r.Calls = 10 * 20
		r.Remark = "of reads by Do"
		r.onlyOut(f.FlusterCluster)
	})
}

func TestRow36AServerThatDropsIdleClientsCostsAnOwnPoolNothing(t *testing.T) {
	r := beginTrial(t, 36, "a server drops its idle clients: "+builders[1], "CLIENT KILL, timeout 1")
	r.limit = patient // a hundred callers dial at once, and none may be late
	f := r.fleet(3, builders[1], fluster.Config{Health: brisk})
	use := func() {
		r.Calls += 100
		inParallel(100, func(i int) {
			_, err := do(f.FlusterCluster, fmt.Sprintf("key:%d", i), "INCR")
			assert.NoError(t, err)
		})
	}
	for range 10 {
		for _, s := range f.servers {
			s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		}
		use()
	}
	if wholeFaults { // the server looks at its clients once a second
		b := f.servers[1]
		b.Do("CONFIG", "SET", "timeout", 1)
		redistest.WaitFor(t, patient, func() bool { return clients(t, b) <= 2 }, "the server has dropped who was idle")
		use()
	}
	r.onlyOut(f.FlusterCluster)
}

// sleepy lets a server obey DEBUG SLEEP.
var sleepy = []string{"--enable-debug-command", "yes"}

func TestRow12ASlowCommandHasNoLastingEffect(t *testing.T) {
	eachBuilder(t, 12, "a command keeps a node busy", "DEBUG SLEEP 0.4", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk}, sleepy...)
		r.pause(f, func() { _, _ = f.servers[1].Try("DEBUG", "SLEEP", "0.4") })
	})
}

func TestRow10AShortPauseHasNoLastingEffect(t *testing.T) {
	eachBuilder(t, 10, "a node pauses", "CLIENT PAUSE 400 ALL", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk})
		r.pause(f, func() {
			begun := time.Now()
			f.servers[1].Do("CLIENT", "PAUSE", 400, "ALL")
			f.servers[1].Do("PING") // which is answered when it is over
			require.GreaterOrEqual(r.t, time.Since(begun), 300*time.Millisecond)
		})
	})
}

// pause is a row in which node b answers nothing for 0.4 s under load.
func (r *trial) pause(f *fleet, sleep func()) {
	r.t.Helper()
	before := homes(r.t, f.FlusterCluster)
	l := startLoad(r.t, f.FlusterCluster, callers)
	l.goOn(r.t, 2000)
	sleep()
	healed := time.Now()
	waitLive(r.t, f.FlusterCluster, "b")
	r.back(healed, brisk.MaxWait)
	l.goOn(r.t, 2000)
	r.ended(f, l, false)
	redistest.WaitFor(r.t, patient, func() bool { return maps.Equal(before, homes(r.t, f.FlusterCluster)) }, "every key is at home again")
	r.onlyOut(f.FlusterCluster, "b")
}

// A script that runs on and on keeps everybody from a server, which says so.
func TestRow13ABusyServersCallsGoElsewhere(t *testing.T) {
	eachBuilder(t, 13, "a script runs on and on", "EVAL of an endless loop", func(r *trial, builder string) {
		t := r.t
		f := r.fleet(3, builder, fluster.Config{Health: brisk}, "--busy-reply-threshold", "50")
		key := keyOf(t, f.FlusterCluster, "b")
		_, err := f.Do(t.Context(), "GET", key) // over a connection that is there when it happens
		require.NoError(t, err)
		stuck := make(chan error, 1)
		go func() {
			_, err := f.servers[1].Try("EVAL", "while true do end", 0)
			stuck <- err
		}()
		redistest.WaitFor(t, patient, func() bool {
			_, err := f.servers[1].Try("PING")
			return err != nil && strings.HasPrefix(err.Error(), "BUSY")
		}, "the server is busy")
		for ; r.Calls < 1000; r.Calls++ { // none is lost: what was refused did not run, and goes elsewhere
			begun := time.Now()
			_, err := f.Do(t.Context(), "INCR", key)
			if err != nil {
				r.Lost++
				assert.False(t, r.calm(), "%v", err)
			}
			r.Longest = max(r.Longest, time.Since(begun))
		}
		r.within(longestCall, r.Longest, "the longest call")
		waitDown(t, f.FlusterCluster, "b")
		f.servers[1].Do("SCRIPT", "KILL")
		healed := time.Now()
		require.ErrorContains(t, <-stuck, "SCRIPT KILL")
		waitLive(t, f.FlusterCluster, "b")
		r.back(healed, brisk.MaxWait)
		sum := 0
		for _, s := range f.servers {
			n, err := redis.Int(s.Try("GET", key))
			if !errors.Is(err, redis.ErrNil) {
				require.NoError(t, err)
			}
			sum += n
		}
		assert.LessOrEqual(t, r.Calls-r.Lost, sum)
		assert.LessOrEqual(t, sum, r.Calls, "something ran twice")
		r.onlyOut(f.FlusterCluster, "b")
	})
}

func TestASingleSlowCommandIsNotEnough(t *testing.T) {
	f := fleetOf(t, startServers(t, 1, sleepy...), quick, fluster.Config{Health: health.Config{Timeout: patient}})
	pool, err := f.GetClient("any")
	require.NoError(t, err)
	require.NoError(t, f.WaitReady(t.Context()))
	conn := pool.Get()
	defer conn.Close()
	_, err = conn.Do("DEBUG", "SLEEP", "0.4")
	assert.True(t, fluster.MaybeExecuted(err))
	redistest.WaitFor(t, patient, func() bool { _, err := do(f.FlusterCluster, "any", "INCR"); return err == nil }, "it answers again")
	requireNoPenalties(t, f.FlusterCluster)
}

func TestImpatientBlockingPopsAreNoEvidence(t *testing.T) {
	f := startFleet(t, 1, quick, fluster.Config{})
	inParallel(32, func(int) { // each waits longer than the pool's read time-out
		_, err := do(f.FlusterCluster, "queue", "BLPOP", 1)
		var ne *fluster.NodeError
		assert.ErrorAs(t, err, &ne)
		assert.True(t, ne.Timeout())
	})
	requireNoPenalties(t, f.FlusterCluster)
}
