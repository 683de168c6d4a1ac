package health

import (
	"math"
	"time"
)

// backoff says how long one node waits in the penalty box. It remembers the
// last wait after the release, so that a node which is soon back goes on from
// there, and forgets it step by step while the node behaves.
//
// Worked example, with waits from 1 s to 8 s and multiplier 2: a node waits
// 1, 2 and 4 s and is released. Back within 8 s, it waits 8 s. Back only after
// 8 s without a fault, its 4 s have decayed to 2 s, and it waits 4 s. After
// 24 s they have decayed below 1 s and are forgotten: it waits 1 s.
type backoff struct {
	min, max   time.Duration
	multiplier float64

	level time.Duration // the last wait that grew; zero if there is none to go on from
	clean time.Time     // since when the node has shown no fault
}

// soil ends the time without a fault: the level decays by one step for each
// max that it lasted, and a new such time begins.
func (b *backoff) soil(now time.Time) {
	steps := float64(now.Sub(b.clean) / b.max)
	decayed := float64(b.level) / math.Pow(b.multiplier, steps)
	b.level = time.Duration(math.Round(decayed))
	if b.level < b.min {
		b.level = 0
	}
	b.clean = now
}

// next returns the wait after a fault of class. A server that refuses to work
// for now is looked at steadily, and a fault that waiting does not mend seldom;
// only for the others does the wait grow.
func (b *backoff) next(class Class) time.Duration {
	switch class {
	case Refusing:
		return b.min
	case Misconfigured:
		return b.max
	}
	b.level = b.grown()
	return b.level
}

// grown returns the level one step up. It works on floats, which neither
// overflow nor turn a fraction of a second into nothing.
func (b *backoff) grown() time.Duration {
	if b.level == 0 {
		return b.min
	}
	wait := math.Round(float64(b.level) * b.multiplier)
	if wait >= float64(b.max) {
		return b.max
	}
	return time.Duration(wait)
}

// equalJitter cuts a random part of up to one half off wait: u from 0 to 1
// gives half of it to all of it, and never zero for a positive wait.
func equalJitter(wait time.Duration, u float64) time.Duration {
	return wait - time.Duration((1-u)*float64(wait/2))
}

// fullJitter cuts a random part off wait: u from 0 to 1 gives none to all of it.
func fullJitter(wait time.Duration, u float64) time.Duration {
	return time.Duration(u * float64(wait))
}

// tenthJitter lengthens or shortens interval by up to a tenth.
func tenthJitter(interval time.Duration, u float64) time.Duration {
	return interval + time.Duration((u-0.5)*0.2*float64(interval))
}
