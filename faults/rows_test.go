package faults_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// tries are calls that are counted and timed.
type tries struct {
	r  *trial
	wg sync.WaitGroup

	mu            sync.Mutex // protects following fields
	calls, failed int
	maybe         int // of failed
	longest       time.Duration
}

// try makes one call and returns its error.
func (c *tries) try(call func() error) error {
	begun := time.Now()
	err := call()
	took := time.Since(begun)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls++
	c.longest = max(c.longest, took)
	if err != nil {
		c.failed++
		c.r.secretless(err)
		assert.NotEqual(c.r.t, fluster.SafeToRetry(err), fluster.MaybeExecuted(err), "%v", err)
		if fluster.MaybeExecuted(err) {
			c.maybe++
		}
	}
	return err
}

// during makes calls in n goroutines until done is closed.
func (c *tries) during(n int, done <-chan struct{}, call func(i int) error) {
	for g := range n {
		c.wg.Go(func() {
			for i := g; ; i += n {
				select {
				case <-done:
					return
				default:
					_ = c.try(func() error { return call(i) })
				}
			}
		})
	}
}

// on makes a call on a connection of a node's pool.
func (r *trial) on(key, cmd string, args ...any) error {
	pool, err := r.GetClient(key)
	if err != nil {
		return err
	}
	conn := pool.Get()
	defer conn.Close()
	_, err = conn.Do(cmd, append([]any{key}, args...)...)
	return err
}

// warm leaves n idle connections to the home of key.
func (r *trial) warm(key string, n int) {
	r.t.Helper()
	pool, err := r.GetClient(key)
	require.NoError(r.t, err)
	for range n {
		conn := pool.Get()
		defer conn.Close()
		require.NoError(r.t, conn.Err())
	}
}

// A read limit that began anew with each byte would let a reply that trickles hold its
// caller for as long as it likes. It is one for the whole reply.
func TestRow14AReplyThatTrickles(t *testing.T) {
	const size = 2000 // bytes, which take twenty seconds
	run := func(r *trial, builder string, callers int, most time.Duration, call func(key, value string) error) {
		t := r.t
		r.open(1, builder)
		value := strings.Repeat("x", size)
		r.lines[0].Do("SET", "key", value)
		r.warm("key", callers)
		c := tries{r: r}
		if callers > 1 { // so many at once that they share a connection
			done := make(chan struct{})
			c.during(callers, done, func(i int) error { return call("other", "") })
			redistest.WaitFor(t, patient, func() bool { c.mu.Lock(); defer c.mu.Unlock(); return c.calls > 2000 }, "calls before")
			close(done)
			c.wg.Wait()
			c.calls, c.failed, c.maybe, c.longest = 0, 0, 0, 0
		}
		r.lines[0].spoil("slicer", `{"average_size": 1, "delay": 10000}`)
		for range callers {
			c.wg.Go(func() { assert.Error(t, c.try(func() error { return call("key", value) })) })
		}
		c.wg.Wait()
		r.Calls, r.Lost, r.Longest = c.calls, c.failed, c.longest
		r.within(most, c.longest, "the longest call")
		if callers == 1 {
			assert.Equal(t, 1, c.maybe, "it was sent")
		}
		r.lines[0].renew()
		healed := time.Now()
		redistest.WaitFor(t, patient, func() bool { return call("key", value) == nil }, "calls succeed")
		r.Recovered = time.Since(healed)
	}
	eachBuilder(t, 14, "a reply trickles, a byte in 10 ms", "toxiproxy slicer", func(r *trial, builder string) {
		run(r, builder, 1, r.limit+100*time.Millisecond, func(key, value string) error { return r.on(key, "GETSET", value) })
	})
	t.Run("shared", func(t *testing.T) {
		r := beginTrial(t, 14, "a reply trickles, a byte in 10 ms: shared connections", "toxiproxy slicer")
		// Who has not been sent when the connection breaks is tried again, twice at most, and
		// dials first. Greetings trickle, too.
		run(r, builders[1], 32, 5*r.limit+100*time.Millisecond, func(key, value string) error {
			_, err := r.Do(t.Context(), "GETSET", key, value)
			return err
		})
	})
}

func TestRow15ALineThatIsTooNarrowForAReplyCostsThatCallOnly(t *testing.T) {
	eachBuilder(t, 15, "1 MB comes at 1 KB/s", "toxiproxy bandwidth", func(r *trial, builder string) {
		r.open(1, builder)
		r.lines[0].Do("SET", "key", strings.Repeat("x", 1<<20))
		r.warm("key", 1)
		r.lines[0].spoil("bandwidth", `{"rate": 1}`)
		c := tries{r: r}
		err := c.try(func() error { return r.on("key", "GET") })
		var ne *fluster.NodeError
		require.ErrorAs(t, err, &ne)
		assert.True(t, ne.Timeout(), "%v", err)
		assert.True(t, fluster.MaybeExecuted(err))
		r.Calls, r.Lost, r.Longest = c.calls, c.failed, c.longest
		r.within(r.limit+100*time.Millisecond, c.longest, "the call")
		assert.Zero(r.t, r.node("a").PoolStats.ActiveCount, "the connection is gone")
		assert.Zero(r.t, r.node("a").Penalties, "one is not enough")
	})
}

func TestRow16SlownessBelowTheTimeOutPutsNobodyOut(t *testing.T) {
	eachBuilder(t, 16, "each reply takes 300 ms, give or take 100, of 600 allowed", "toxiproxy latency", func(r *trial, builder string) {
		r.limit = 600 * time.Millisecond // far enough from the fault for a slow machine
		r.open(3, builder)
		for _, l := range r.lines {
			l.spoil("latency", `{"latency": 300, "jitter": 100}`)
		}
		span := time.Second
		if wholeFaults {
			span = 10 * time.Second
		}
		done := make(chan struct{})
		c := tries{r: r}
		c.during(32, done, func(i int) error { return r.on(fmt.Sprintf("key:%d", i), "INCR") })
		time.Sleep(span) // which the fault lasts
		close(done)
		c.wg.Wait()
		r.Calls, r.Lost, r.Longest = c.calls, c.failed, c.longest
		r.within(3*r.limit+100*time.Millisecond, c.longest, "the longest call")
		if !r.calm() { // by then the machine is slower than the line
			return
		}
		assert.Zero(r.t, c.failed)
		for _, st := range r.Nodes() {
			assert.Zero(r.t, st.Penalties, "%s: %v", st.Name, st.LastCause)
		}
	})
}

func TestRow22ResetsEvery50MillisecondsLoseNoReadAndRepeatNoWrite(t *testing.T) {
	eachBuilder(t, 22, "a node's connections are reset every 50 ms", "toxiproxy reset_peer", func(r *trial, builder string) {
		t := r.t
		r.open(3, builder)
		done := make(chan struct{})
		reads, writes := tries{r: r}, tries{r: r}
		reads.during(8, done, func(i int) error {
			_, err := r.Do(t.Context(), "GET", fmt.Sprintf("key:%d", i%100))
			return err
		})
		writes.during(8, done, func(i int) error {
			_, err := r.Do(t.Context(), "INCR", fmt.Sprintf("key:%d", i%100))
			return err
		})
		storms := 30
		if wholeFaults {
			storms = 200
		}
		felt := func() uint64 {
			reads.mu.Lock()
			defer reads.mu.Unlock()
			writes.mu.Lock()
			defer writes.mu.Unlock()
			return uint64(reads.failed+writes.failed) + r.node("b").Retries
		}
		for range storms {
			before := felt()
			r.lines[1].spoil("reset_peer", `{"timeout": 0}`)
			redistest.WaitFor(t, patient, func() bool { return felt() > before || !r.node("b").Live }, "the reset is felt")
			r.lines[1].heal()
			time.Sleep(50 * time.Millisecond) // the storm's own beat
		}
		close(done)
		reads.wg.Wait()
		writes.wg.Wait()
		r.Calls, r.Lost = reads.calls+writes.calls, reads.failed+writes.failed
		r.Longest = max(reads.longest, writes.longest)
		r.Remark = fmt.Sprintf("%d of %d reads, %d of %d writes failed", reads.failed, reads.calls, writes.failed, writes.calls)
		r.within(3*(3*r.limit+100*time.Millisecond), r.Longest, "three tries")
		if r.calm() {
			assert.LessOrEqual(t, float64(reads.failed), 0.001*float64(reads.calls))
		}
		counted := 0
		for _, l := range r.lines {
			for i := range 100 {
				n, err := redis.Int(l.Try("GET", fmt.Sprintf("key:%d", i)))
				if !errors.Is(err, redis.ErrNil) {
					require.NoError(t, err)
				}
				counted += n
			}
		}
		acked := writes.calls - writes.failed
		assert.LessOrEqual(t, acked, counted, "a write is lost that was acknowledged")
		assert.LessOrEqual(t, counted, acked+writes.maybe, "a write ran twice")
		for _, other := range []string{"a", "c"} {
			if r.calm() {
				assert.Zero(t, r.node(other).Penalties)
			}
		}
	})
}
