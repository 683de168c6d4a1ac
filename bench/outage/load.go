package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	callers = 64
	pace    = 20 * time.Millisecond // between two calls of a caller

	// late is how long a call takes that counts as trouble though it succeeds: a
	// client that repeats until a server is back has not coped with its death.
	late = 100 * time.Millisecond
)

// load is callers that count, each at its pace, until stopped. Every call counts a
// key of its own, so that the servers can tell afterwards how often it ran.
type load struct {
	client client
	stop   chan struct{}
	gate   sync.RWMutex // held for reading by every call, and to keep all from calling
	wg     sync.WaitGroup

	mu     sync.Mutex // protects following fields
	record record
}

// record is what became of the calls.
type record struct {
	calls, lost int
	missed      int // those lost or late, and those that were due while one took so long
	longest     time.Duration
	trouble     time.Time // when the last call ended that failed or was late
	example     error     // one of the errors
}

func startLoad(c client) *load {
	l := &load{client: c, stop: make(chan struct{})}
	for i := range callers {
		l.wg.Go(func() { l.run(i) })
	}
	return l
}

func (l *load) run(caller int) {
	time.Sleep(rand.N(pace)) // they are not to call in step
	tick := time.NewTicker(pace)
	defer tick.Stop()
	for i := 0; ; i++ {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		l.call(fmt.Sprintf("call:%d:%d", caller, i))
	}
}

func (l *load) call(key string) {
	l.gate.RLock()
	defer l.gate.RUnlock()
	begun := time.Now()
	_, err := l.client.Do(context.Background(), "INCR", key)
	l.note(time.Now(), time.Since(begun), err)
}

func (l *load) note(at time.Time, took time.Duration, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := &l.record
	r.calls++
	r.longest = max(r.longest, took)
	if err != nil {
		r.lost++
		r.example = err
	}
	r.missed += int(took / pace)
	if err != nil || took >= late {
		r.missed++
		r.trouble = at
	}
}

// begin forgets what became of the calls so far, and returns it.
func (l *load) begin() record {
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.record
	l.record = record{}
	return before
}

// rest keeps the callers from calling until resume, after they have all called at
// once: so there are as many idle connections as the client wants to keep.
func (l *load) rest() (resume func()) {
	for range 2 {
		l.gate.Lock()
		time.Sleep(2 * pace)
		l.gate.Unlock()
		time.Sleep(pace)
	}
	l.gate.Lock()
	return l.gate.Unlock
}

// finish stops the callers, waits for them, and returns what became of the calls.
func (l *load) finish() record {
	close(l.stop)
	l.wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.record
}
