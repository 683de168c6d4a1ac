package main

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	callers = 64
	pace    = 5 * time.Millisecond // between two calls of a caller
	keys    = 1000
)

// load is callers that count, each at its pace, until stopped.
type load struct {
	client client
	stop   chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex // protects following fields
	record record
}

// record is what became of the calls.
type record struct {
	calls, lost int
	longest     time.Duration
	last        time.Time // when the last call failed
	example     error     // one of the errors
}

func startLoad(c client) *load {
	l := &load{client: c, stop: make(chan struct{})}
	for i := range callers {
		l.wg.Go(func() { l.run(rand.New(rand.NewPCG(uint64(i), 1))) })
	}
	return l
}

func (l *load) run(rnd *rand.Rand) {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		begun := time.Now()
		err := l.client.Incr(fmt.Sprintf("counter:%d", rnd.IntN(keys)))
		l.note(time.Now(), time.Since(begun), err)
	}
}

func (l *load) note(at time.Time, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.record.calls++
	l.record.longest = max(l.record.longest, took)
	if err != nil {
		l.record.lost++
		l.record.last, l.record.example = at, err
	}
}

// finish stops the callers, waits for them, and returns what became of the calls.
func (l *load) finish() record {
	close(l.stop)
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record
}
