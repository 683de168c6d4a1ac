package stats

import (
	"math/bits"
	"time"
)

// A bucket is a 32nd of a power of two wide, so what is read from a histogram
// is off by at most one part in 64. Beyond some 68 seconds all is one bucket.
const (
	subBits = 5
	subs    = 1 << subBits
	maxExp  = 36
	buckets = (maxExp - subBits + 1) * subs
)

// Histogram counts durations in buckets that grow with them. The zero value is
// empty. It is for one goroutine; several are merged afterwards.
type Histogram struct {
	// What was added last is noted in one cache line, and counted when that is
	// full: the buckets of hundreds of histograms do not stay in the cache, and
	// what is measured would wait for them at each Add.
	noted  [30]uint16 // numbers of buckets
	notes  uint32     // how many those are
	counts [buckets]uint32
	n      uint64 // in counts
}

// Add counts d. A negative one counts as zero.
func (h *Histogram) Add(d time.Duration) {
	if int(h.notes) == len(h.noted) {
		h.count()
	}
	h.noted[h.notes] = uint16(bucketOf(d))
	h.notes++
}

// count counts what is noted.
func (h *Histogram) count() {
	for _, i := range h.noted[:h.notes] {
		h.counts[i]++
	}
	h.n += uint64(h.notes)
	h.notes = 0
}

// Len returns how many durations were added.
func (h *Histogram) Len() int { return int(h.n) + int(h.notes) }

// Merge adds what other holds.
func (h *Histogram) Merge(other *Histogram) {
	other.count()
	if other.n == 0 {
		return
	}
	for i, c := range other.counts {
		h.counts[i] += c
	}
	h.n += other.n
}

// Reset empties h.
func (h *Histogram) Reset() {
	if h.Len() != 0 {
		*h = Histogram{}
	}
}

// Quantile returns the duration that the share q of all counted ones does not
// exceed, as the middle of its bucket; zero if there are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	h.count()
	if h.n == 0 {
		return 0
	}
	rank := uint64(q * float64(h.n))
	if rank >= h.n {
		rank = h.n - 1
	}
	seen := uint64(0)
	for i, c := range h.counts {
		if seen += uint64(c); seen > rank {
			return middleOf(i)
		}
	}
	panic("bug: a histogram counts less than it holds")
}

// bucketOf returns d's bucket: durations below 32 ns have one each, and each
// power of two from there on has 32.
func bucketOf(d time.Duration) int {
	if d < 0 {
		return 0
	}
	x := uint64(d)
	if x < subs {
		return int(x)
	}
	exp := bits.Len64(x) - 1
	i := (exp-subBits+1)<<subBits + int(x>>(exp-subBits))&(subs-1)
	return min(i, buckets-1)
}

// middleOf is the way back.
func middleOf(i int) time.Duration {
	if i < subs {
		return time.Duration(i)
	}
	shift := i>>subBits - 1
	low := uint64(subs+i&(subs-1)) << shift
	return time.Duration(low + uint64(1)<<shift/2)
}
