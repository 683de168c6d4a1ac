package main

import "sync"

// ledger is what is known of each job.
type ledger struct {
	mu   sync.Mutex // protects following fields
	jobs map[string]*job
}

type job struct {
	pushed  bool // acknowledged
	doubted bool // perhaps pushed once more
	handled int  // how often
}

func newLedger() *ledger { return &ledger{jobs: map[string]*job{}} }

func (l *ledger) jobLocked(id string) *job {
	if l.jobs[id] == nil {
		l.jobs[id] = &job{}
	}
	return l.jobs[id]
}

func (l *ledger) push(id string, doubted, acknowledged bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := l.jobLocked(id)
	j.doubted, j.pushed = doubted, acknowledged
}

// handle is what the workers do with a job.
func (l *ledger) handle(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobLocked(id).handled++
}

func (l *ledger) count(which func(*job) bool) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, j := range l.jobs {
		if which(j) {
			n++
		}
	}
	return n
}

func (l *ledger) pushes() int  { return l.count(func(j *job) bool { return j.pushed }) }
func (l *ledger) handles() int { return l.count(func(j *job) bool { return j.handled > 0 }) }

// judge counts the jobs that were lost, those that were handled more than once
// since their push was doubted, and those for which there is no such excuse.
func (l *ledger) judge() (lost, again, wrong int) {
	lost = l.count(func(j *job) bool { return j.pushed && j.handled == 0 })
	again = l.count(func(j *job) bool { return j.handled > 1 && j.doubted })
	wrong = l.count(func(j *job) bool { return !j.doubted && (j.handled > 1 || !j.pushed && j.handled > 0) })
	return lost, again, wrong
}
