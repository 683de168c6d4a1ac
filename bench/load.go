package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
	"github.com/redisfluster/fluster/bench/internal/stats"
)

const (
	stuck   = 3 * ioTimeout // after which a call will not end any more
	hurried = time.Second   // the same if the run is broken off
)

// load is callers that do an operation with random keys through one client for
// a while.
type load struct {
	name    string // of the client, as a label in profiles
	call    call
	keys    []string
	value   []byte
	crew    crew
	busy    bool // all processors compute meanwhile
	length  time.Duration
	servers []*redisserver.Server
}

// caller is one goroutine's own. What each call touches comes first, in two cache
// lines: with hundreds of callers all else is out of the cache at each call, and
// waiting for it would be measured as if the clients did.
type caller struct {
	random rand.PCG
	place  int             // of the next key in the list
	keys   []string        // of the next call
	single [1]string       // keys, where that is one
	took   stats.Histogram // by calls that succeeded
	failed int             // calls
	fault  error           // the first
}

// crew are the callers of a load. Loads that take turns may share it.
type crew []*caller

func newCrew(op operation, callers int) crew {
	c := make(crew, callers)
	for i := range c {
		one := new(caller)
		one.random.Seed(rand.Uint64(), rand.Uint64())
		if one.keys = one.single[:]; op.keys > 1 {
			one.keys = make([]string, op.keys)
		}
		c[i] = one
	}
	return c
}

// rest forgets what was counted.
func (c crew) rest() {
	for _, one := range c {
		one.took.Reset()
		one.failed, one.fault = 0, nil
	}
}

// tally returns what all callers counted.
func (c crew) tally() *caller {
	sum := new(caller)
	for _, one := range c {
		sum.took.Merge(&one.took)
		sum.failed += one.failed
		if sum.fault == nil {
			sum.fault = one.fault
		}
	}
	return sum
}

// run returns what was measured. A call that fails is counted and the load goes
// on, but it ends early, with an error, at a wrong reply and when ctx ends.
func (l *load) run(ctx context.Context) (sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.crew.rest()
	var (
		begin   = make(chan struct{})
		over    atomic.Bool
		callers sync.WaitGroup
		burners burners
	)
	for _, one := range l.crew {
		callers.Go(func() {
			pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("client", l.name)))
			<-begin
			if err := one.work(l, &over); err != nil {
				cancel(err)
			}
		})
	}
	if l.busy {
		burners.start(begin)
	}
	defer burners.stop()
	gone := make(chan struct{})
	go func() {
		callers.Wait()
		burners.stop()
		close(gone)
	}()
	before, err := usedBy(l.servers)
	m := startMeter()
	close(begin)
	select {
	case <-time.After(l.length):
	case <-ctx.Done():
	}
	over.Store(true)
	if err := l.await(ctx, gone); err != nil {
		return sample{}, err
	}
	r := m.stop()
	after, afterErr := usedBy(l.servers)
	if err := errors.Join(context.Cause(ctx), err, afterErr); err != nil {
		return sample{}, err
	}
	s, err := l.crew.tally().sample(r, after-before)
	if l.busy {
		s.cpu = math.NaN() // calls were not all that was paid for
	}
	return s, err
}

// await waits for all callers to be gone after their last call, which is when a
// client that is stuck becomes known.
func (l *load) await(ctx context.Context, gone <-chan struct{}) error {
	patience := stuck
	if ctx.Err() != nil {
		patience = hurried
	}
	select {
	case <-gone:
		return nil
	case <-time.After(patience):
		return errors.Join(context.Cause(ctx), fmt.Errorf("calls are unanswered %v after the end", patience))
	}
}

// work is one caller's part, of one call at least. A caller's time runs from reply
// to reply, so the choice of keys is in it.
func (c *caller) work(l *load, over *atomic.Bool) error {
	start := time.Now() // time.Since reads one clock where time.Now reads two
	var begun time.Duration
	for first := true; first || !over.Load(); first = false {
		c.choose(l.keys)
		err := l.call(c.keys, l.value)
		now := time.Since(start)
		if err == nil {
			c.took.Add(now - begun)
		} else if err := c.fail(err); err != nil {
			return err
		}
		begun = now
	}
	return nil
}

// neighbors are keys that are chosen together.
const neighbors = 16

// choose draws the keys of the next call. To draw each by itself would be to wait
// for the memory where it lies, which no program does that has just made its key.
// The list is in no order, so neighbors are as random as others.
func (c *caller) choose(list []string) {
	for i := range c.keys {
		if c.place%neighbors == 0 || c.place >= len(list) {
			c.place = neighbors * c.below((len(list)+neighbors-1)/neighbors)
		}
		c.keys[i] = list[c.place]
		c.place++
	}
}

// below returns a random number from 0 to n-1. That some come more often by one
// part in billions is no matter here.
func (c *caller) below(n int) int {
	high, _ := bits.Mul64(c.random.Uint64(), uint64(n))
	return int(high)
}

// fail counts err, or returns it if it is a wrong reply.
func (c *caller) fail(err error) error {
	if _, wrong := errors.AsType[*wrongReply](err); wrong {
		return err
	}
	if c.failed++; c.fault == nil {
		c.fault = err
	}
	return nil
}

// sample returns what a slice came to, for each call that succeeded.
func (c *caller) sample(r reading, servers time.Duration) (sample, error) {
	calls := c.took.Len()
	if calls == 0 {
		return sample{}, fmt.Errorf("no call succeeded in %v, %d failed: %w", r.wall, c.failed, c.fault)
	}
	s := r.per(calls)
	s.servers = float64(servers) / float64(calls)
	s.p50 = float64(c.took.Quantile(0.5))
	s.p99 = float64(c.took.Quantile(0.99))
	s.p999 = float64(c.took.Quantile(0.999))
	s.failed, s.fault = c.failed, c.fault
	return s, nil
}

// usedBy returns the processor time that servers used, all together.
func usedBy(servers []*redisserver.Server) (sum time.Duration, _ error) {
	for _, s := range servers {
		used, err := s.CPU()
		if err != nil {
			return 0, err
		}
		sum += used
	}
	return sum, nil
}
