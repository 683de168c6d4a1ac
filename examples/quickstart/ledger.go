package main

import (
	"maps"
	"sync"

	"github.com/redisfluster/fluster/fluster"
)

// ledger is what the callers know of what they did: what was acknowledged, and
// what may or may not have been executed. The summary holds it against what
// the servers say.
type ledger struct {
	mu       sync.Mutex // protects following fields
	counters map[string]count
	jobs     map[string]*job
	totals   totals
}

// count is what is known of one counter.
type count struct{ acknowledged, uncertain int64 }

// job is what is known of one job.
type job struct {
	node    string // where it was pushed
	pushed  bool   // that was acknowledged
	doubted bool   // an error left open whether it was pushed or acknowledged
	handled int    // how often
}

// totals are sums over the whole ledger.
type totals struct {
	counted, perhapsCounted int64
	pushed, handled         int64
	refused                 int64 // errors: the command cannot have been executed
	unanswered              int64 // errors: it may have been
	otherErrors             int64
	gaveUp                  int64 // increments that were never executed
}

func newLedger() *ledger {
	return &ledger{counters: map[string]count{}, jobs: map[string]*job{}}
}

func (l *ledger) sum() totals {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.totals
}

// met records an error that a caller saw.
func (l *ledger) met(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case fluster.MaybeExecuted(err):
		l.totals.unanswered++
	case fluster.SafeToRetry(err):
		l.totals.refused++
	default:
		l.totals.otherErrors++
	}
}

func (l *ledger) gaveUp() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.totals.gaveUp++
}

func (l *ledger) counted(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counters[key]
	c.acknowledged++
	l.counters[key] = c
	l.totals.counted++
}

func (l *ledger) perhapsCounted(key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counters[key]
	c.uncertain++
	l.counters[key] = c
	l.totals.perhapsCounted++
}

func (l *ledger) pushed(id, node string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.jobLocked(id)
	j.pushed, j.node = true, node
	l.totals.pushed++
}

func (l *ledger) doubt(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobLocked(id).doubted = true
}

func (l *ledger) handled(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.jobLocked(id)
	j.handled++
	if j.handled == 1 {
		l.totals.handled++
	}
}

// jobLocked returns the job of that id. A worker may have it before its
// producer has heard that it was pushed.
func (l *ledger) jobLocked(id string) *job {
	if l.jobs[id] == nil {
		l.jobs[id] = &job{}
	}
	return l.jobs[id]
}

// counts returns what is known of each counter.
func (l *ledger) counts() map[string]count {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.counters)
}

// waitingAt returns the jobs that were pushed to a node and not handled yet.
func (l *ledger) waitingAt(node string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for id, j := range l.jobs {
		if j.pushed && j.node == node && j.handled == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// unhandled returns how many of the jobs were not handled.
func (l *ledger) unhandled(ids []string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, id := range ids {
		if l.jobLocked(id).handled == 0 {
			n++
		}
	}
	return n
}

// jobCounts is what became of the jobs.
type jobCounts struct {
	lost    int // pushed, and never handled
	again   int // handled more than once, after an error that left that open
	twice   int // handled more than once for no reason
	unasked int // handled, and nobody had pushed them
}

func (l *ledger) jobCounts() jobCounts {
	l.mu.Lock()
	defer l.mu.Unlock()
	var c jobCounts
	for _, j := range l.jobs {
		switch {
		case j.pushed && j.handled == 0:
			c.lost++
		case j.handled > 1 && j.doubted:
			c.again++
		case j.handled > 1:
			c.twice++
		case j.handled == 1 && !j.pushed && !j.doubted:
			c.unasked++
		}
	}
	return c
}
