package main

import (
	"fmt"
	"io"
	"time"
)

// progress tells people who wait what is going on, since when, and for how long
// still. All parts of a run announce their work before the first begins.
type progress struct {
	w       io.Writer
	begun   time.Time
	planned time.Duration // of all work, as estimated
	done    time.Duration // of that
}

func newProgress(w io.Writer) *progress { return &progress{w: w, begun: time.Now()} }

// plan announces work that should take about d.
func (p *progress) plan(d time.Duration) { p.planned += d }

// planSteps announces steps.
func (p *progress) planSteps(steps []step) {
	for _, st := range steps {
		p.plan(st.estimate())
	}
}

// finish reports work done, by its estimate.
func (p *progress) finish(d time.Duration) { p.done += d }

// say writes one line.
func (p *progress) say(format string, args ...any) {
	elapsed := time.Since(p.begun)
	left := p.left(elapsed).Round(time.Second)
	_, _ = fmt.Fprintf(p.w, "%6.1fs  about %v left  %s\n", elapsed.Seconds(), left, fmt.Sprintf(format, args...))
}

// left corrects the estimate of what is to do by how it went so far, once some
// of it is done.
func (p *progress) left(elapsed time.Duration) time.Duration {
	left := max(p.planned-p.done, 0)
	if p.done < p.planned/20 {
		return left
	}
	return time.Duration(float64(left) * float64(elapsed) / float64(p.done))
}
