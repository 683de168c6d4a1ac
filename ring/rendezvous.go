package ring

import (
	"math"
	"math/bits"
	"sync"
)

// Everything here is integer arithmetic. Floating point would not do: a
// compiler may fuse a multiplication with an addition on one machine and not
// on another, and a last bit that differs is a key that two processes look for
// on different nodes.

// candidate is a node that stands for election by rendezvous.
type candidate struct {
	seed   uint64 // hash of its name
	weight uint64 // at least 1; divided by what the weights of all have in common
	node   uint16 // its position in the list that Build got
}

// A chooser holds a rendezvous for the hash h: every candidate draws a lot
// that depends on h and its seed alone, and the best lot wins; of equal ones,
// the first. It returns the winner's index, or -1 if there are no candidates.
// A candidate that joins or leaves therefore only gains or loses what it wins.
type chooser func(h uint64, among []candidate) int

// draw returns the lot of the candidate with seed at the rendezvous for h:
// the two halves of a 128-bit product, folded. The constants keep a zero on
// one side from making all lots equal.
func draw(h, seed uint64) uint64 {
	hi, lo := bits.Mul64(h^0x9e3779b97f4a7c15, seed^0xd1b54a32d192ed03)
	return hi ^ lo
}

// chooseEqual is the chooser for weights that are all the same: the smallest
// lot wins. It is what chooseWeighted comes to then, without the logarithms.
func chooseEqual(h uint64, among []candidate) int {
	if len(among) == 0 {
		return -1
	}
	winner, best := 0, draw(h, among[0].seed)
	for i := 1; i < len(among); i++ {
		if lot := draw(h, among[i].seed); lot < best {
			winner, best = i, lot
		}
	}
	return winner
}

// chooseWeighted is the chooser that gives each candidate a share in
// proportion to its weight: with the lot as a fraction x of 1, the smallest
// -log2(1-x) / weight wins.
func chooseWeighted(h uint64, among []candidate) int {
	logs := logTable()
	winner, best := -1, uint64(math.MaxUint64)
	for i := range among {
		c := &among[i]
		lot := draw(h, c.seed)
		// Few lots need their logarithm: -log2(1-x) is never less than x, so a
		// lot whose x alone is too much has lost.
		if hi, limit := bits.Mul64(best, c.weight); hi == 0 && lot>>(64-logBits) >= limit {
			continue
		}
		if cost := logs.cost(lot) / c.weight; cost < best {
			winner, best = i, cost
		}
	}
	return winner
}

const (
	logBits   = 57 // binary places of a cost; costs go up to 65, so it fits into 64 bits
	logDigits = 32 // of these, the places that the table's entries are exact to
	logSteps  = 256
)

// A logarithms holds 1 - log2(1 + i/256) in units of 2^-57, each entry the
// least multiple of 2^-32 that is not below it.
type logarithms [logSteps + 1]uint64

var logTable = sync.OnceValue(func() *logarithms {
	var t logarithms
	for i := range uint64(logSteps) {
		t[i] = (1<<logDigits - log2(1<<63|i<<55)) << (logBits - logDigits)
	}
	return &t // log2(2) is 1, so the last entry stays 0
})

// log2 returns the binary logarithm of m/2^63, which is in [1,2), to 32 binary
// places, cut off. Squaring a number doubles its logarithm, so whether the
// square reaches 2 is the next digit.
func log2(m uint64) uint64 {
	var digits uint64
	for range logDigits {
		hi, lo := bits.Mul64(m, m)
		digits <<= 1
		if hi>>63 == 1 {
			digits |= 1
			m = hi
		} else {
			m = hi<<1 | lo>>63
		}
	}
	return digits
}

// cost returns -log2(1-x) in units of 2^-57, x being lot/2^64. It goes
// straight from one entry of the table to the next, which is off by less than
// a part in 500 and keeps the order of lots. The largest lot, for which that
// would be infinite, costs 65.
func (t *logarithms) cost(lot uint64) uint64 {
	y := ^lot // 1-x, less 2^-64
	zeros := bits.LeadingZeros64(y)
	y <<= zeros
	i := y >> 55 & (logSteps - 1)
	hi, lo := bits.Mul64(t[i]-t[i+1], y&(1<<55-1))
	return uint64(zeros)<<logBits + t[i] - (hi<<9 | lo>>55)
}
