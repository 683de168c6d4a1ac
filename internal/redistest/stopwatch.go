package redistest

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stopwatch measures how late this process gets to run, so that a test can tell a slow
// machine from slow code. Its methods are safe for concurrent use.
type Stopwatch struct {
	stop  chan struct{}
	done  chan struct{}
	once  sync.Once
	worst atomic.Int64 // how late so far, in nanoseconds
}

// StartStopwatch begins a measurement in a goroutine, which End ends.
func StartStopwatch() *Stopwatch {
	w := &Stopwatch{stop: make(chan struct{}), done: make(chan struct{})}
	go w.run()
	return w
}

func (w *Stopwatch) run() {
	defer close(w.done)
	const beat = 2 * time.Millisecond
	tick := time.NewTimer(beat)
	defer tick.Stop()
	for {
		due := time.Now().Add(beat)
		select {
		case <-tick.C:
			w.worst.Store(max(w.worst.Load(), int64(time.Since(due))))
			tick.Reset(beat)
		case <-w.stop:
			return
		}
	}
}

// Slack returns by how much a bound is to be eased by now: what is bounded takes
// several turns of several goroutines, and of servers.
func (w *Stopwatch) Slack() time.Duration { return 10 * time.Duration(w.worst.Load()) }

// End ends the measurement. What it has found stays.
func (w *Stopwatch) End() {
	w.once.Do(func() { close(w.stop) })
	<-w.done
}
