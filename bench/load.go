package main

import (
	"context"
	"errors"
	"fmt"
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
	crew    crew
	length  time.Duration
	servers []*redisserver.Server
}

// caller is one goroutine's own.
type caller struct {
	random *rand.Rand
	took   stats.Histogram
	keys   []string // of the next call
	value  []byte
	calls  int // that succeeded
	failed int
	fault  error // the first
}

// crew are the callers of a load. Loads that take turns may share it.
type crew []*caller

func newCrew(op operation, callers int) crew {
	c, value := make(crew, callers), make([]byte, op.size)
	for i := range c {
		c[i] = &caller{
			random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
			keys:   make([]string, op.keys), value: value,
		}
	}
	return c
}

// rest forgets what was counted.
func (c crew) rest() {
	for _, one := range c {
		one.took.Reset()
		one.calls, one.failed, one.fault = 0, 0, nil
	}
}

// tally returns what all callers counted.
func (c crew) tally() *caller {
	sum := new(caller)
	for _, one := range c {
		sum.took.Merge(&one.took)
		sum.calls += one.calls
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
	gone := make(chan struct{})
	go func() {
		callers.Wait()
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
	return l.crew.tally().sample(r, after-before)
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

// work is one caller's part, of one call at least. A caller's time runs from reply to reply, so the
// choice of keys is in it.
func (c *caller) work(l *load, over *atomic.Bool) error {
	begun := time.Now()
	for first := true; first || !over.Load(); first = false {
		for i := range c.keys {
			c.keys[i] = l.keys[c.random.IntN(len(l.keys))]
		}
		err := l.call(c.keys, c.value)
		now := time.Now()
		if err == nil {
			c.calls++
			c.took.Add(now.Sub(begun))
		} else if err := c.fail(err); err != nil {
			return err
		}
		begun = now
	}
	return nil
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
	if c.calls == 0 {
		return sample{}, fmt.Errorf("no call succeeded in %v, %d failed: %w", r.wall, c.failed, c.fault)
	}
	s := r.per(c.calls)
	s.servers = float64(servers) / float64(c.calls)
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
