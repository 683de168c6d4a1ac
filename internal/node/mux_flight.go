package node

import (
	"sync/atomic"
	"time"
)

const (
	// mostFlights is how many flushes may be unanswered at most. While no more may be,
	// calls gather for the next, so a batch is as large as the round trip makes it.
	mostFlights = 16
	// flightGap is how far apart flushes are sent, by and large, where the way is long:
	// often enough that the wait for one is nothing beside the way itself.
	flightGap = 50 * time.Microsecond
	// slowdown is how much longer than the quickest the usual flight takes where it is
	// processors that calls wait for. There a second flush would make batches smaller,
	// and nothing faster.
	slowdown = 4
	// slowFlight is how long one takes where processors are busy, and maxApartNow how
	// many calls are under way at most that are better off apart then: every hand-over
	// takes its time, and a caller with a connection to himself has none.
	slowFlight  = 5 * time.Millisecond
	maxApartNow = 8
	// fullFlight is so large that it gains nothing by what might still join it: a server reads
	// no more at a time.
	fullFlight = 16 << 10 // bytes
	// fewCalls are so few that they would stand still together.
	fewCalls = 4
)

// flight is a flush that is not answered.
type flight struct {
	last  uint64 // call in it
	begun int64  // by the node's clock
	size  int    // bytes
}

// flights are those of one connection, in order.
type flights struct {
	all    [mostFlights]flight
	n      int
	unread int // bytes of all of them, at most
}

func (f *flights) add(one flight) {
	f.all[f.n] = one
	f.n++
	f.unread += one.size
}

// land takes away the first flight if it was answered, as far as calls were.
func (f *flights) land(answered uint64) (landed flight, ok bool) {
	if f.n == 0 || f.all[0].last > answered {
		return flight{}, false
	}
	landed = f.all[0]
	copy(f.all[:], f.all[1:f.n])
	f.n--
	f.unread -= landed.size
	return landed, true
}

// pace is how long flights of a node take. Its zero value knows of none.
type pace struct{ usual, quickest atomic.Int64 }

// note takes note of how long a flight took.
func (p *pace) note(took int64) {
	usual, quickest := p.usual.Load(), p.quickest.Load()
	p.usual.Store(usual + (took-usual)/8)
	if took > quickest && quickest > 0 {
		took = quickest + quickest/512 + 1 // it is forgotten, slowly
	}
	p.quickest.Store(max(took, 1))
}

// dragged reports a flight that took so long although the server answers quickly that this
// process must have been what was slow: its processors are busy with something else.
func (p *pace) dragged(took int64) bool {
	return took >= int64(slowFlight) && took > 20*p.quickest.Load()
}

// forget is for when flights have got no answer: calls are not to wait for such.
func (p *pace) forget() {
	p.usual.Store(0)
	p.quickest.Store(0)
}

// flights returns how many there may be at once, while so many calls are under way and so
// many bytes have gathered for the next.
func (p *pace) flights(calls uint64, gathered int) int {
	quickest := p.quickest.Load()
	far := int(min(quickest/int64(flightGap), mostFlights))
	switch {
	case quickest == 0: // none is known to have been answered
		return mostFlights
	case calls <= fewCalls || gathered >= fullFlight:
		return max(far, 2)
	case p.usual.Load() > slowdown*quickest:
		return 1
	}
	return max(far, 1)
}
