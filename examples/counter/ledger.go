package main

import (
	"fmt"
	"slices"
	"sync"
)

// ledger is what the callers know of what they counted.
type ledger struct {
	mu      sync.Mutex // protects following fields
	entries map[string]entry
	calls   int
}

// entry is what is known of one counter.
type entry struct{ counted, unsure int64 }

func newLedger() *ledger { return &ledger{entries: map[string]entry{}} }

// note notes what came of one increment.
func (l *ledger) note(key string, certain bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.entries[key]
	switch {
	case err == nil:
		e.counted++
	case !certain:
		e.unsure++
	}
	l.entries[key] = e
	l.calls++
}

// tries returns how often somebody wanted to count.
func (l *ledger) tries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// totals returns how many increments were acknowledged, and how many may or may not
// have counted.
func (l *ledger) totals() (counted, unsure int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.entries {
		counted += e.counted
		unsure += e.unsure
	}
	return counted, unsure
}

// wrong tells the counters whose sum cannot be.
func (l *ledger) wrong(sums map[string]int64) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wrong []string
	for key, e := range l.entries {
		if sum := sums[key]; sum < e.counted || sum > e.counted+e.unsure {
			wrong = append(wrong, fmt.Sprintf("%s is %d, and %d to %d were counted", key, sum, e.counted, e.counted+e.unsure))
		}
	}
	slices.Sort(wrong)
	return wrong
}
