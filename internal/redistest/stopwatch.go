package redistest

import (
	"sync"
	"time"
)

// Stopwatch measures how late this process gets to run, so that a test can tell a slow
// machine from slow code. Its methods are safe for concurrent use.
type Stopwatch struct {
	stop chan struct{}
	done chan struct{}
	once sync.Once

	mu    sync.Mutex // protects following fields
	worst time.Duration
	lap   [2]time.Duration // the worst since the last, and the second worst
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
			w.note(time.Since(due))
			tick.Reset(beat)
		case <-w.stop:
			return
		}
	}
}

func (w *Stopwatch) note(late time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.worst = max(w.worst, late)
	w.lap[1] = max(w.lap[1], min(w.lap[0], late))
	w.lap[0] = max(w.lap[0], late)
}

// Lap returns by how much turns came late at worst, and at second worst, since it was last called.
func (w *Stopwatch) Lap() (late [2]time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	late, w.lap = w.lap, late
	return late
}

// Slack returns by how much a bound is to be eased by now: what is bounded takes
// several turns of several goroutines, and of servers.
func (w *Stopwatch) Slack() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	return 10 * w.worst
}

// End ends the measurement. What it has found stays.
func (w *Stopwatch) End() {
	w.once.Do(func() { close(w.stop) })
	<-w.done
}
