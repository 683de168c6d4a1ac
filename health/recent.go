package health

import (
	"slices"
	"time"
)

// recent is the last few of some durations. One among them that is out of the way,
// because the process had to wait for a processor, does not show in their median.
type recent struct {
	last [5]time.Duration
	n    int // ever added
}

func (r *recent) add(d time.Duration) {
	r.last[r.n%len(r.last)] = d
	r.n++
}

// median returns the middle one, of two the shorter, and zero of none.
func (r *recent) median() time.Duration {
	n := min(r.n, len(r.last))
	if n == 0 {
		return 0
	}
	sorted := r.last
	slices.Sort(sorted[:n])
	return sorted[(n-1)/2]
}
