package fluster_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redisfluster/fluster/health"
)

// The arithmetic of a fleet: what one node sees of C clients while it is up, while it
// is out for a time T, and when it comes back. health's settings are I = Interval,
// w = MinWait, M = MaxWait and m = Multiplier. A probe that fails takes F: no time if
// the node is dead, since the connection is refused, and Timeout if it is frozen.
//
// # Up
//
// A client probes after pauses that are even between 0.9 I and 1.1 I, so I on average,
// and clients begin at random: the node sees C / I probes a second. In a window d
// shorter than 0.9 I a client has one probe or none, and one with probability d / I. So
// a window holds a binomial number: Cp, give or take the square root of Cp(1-p), where
// p = d / I. From that follows what the busiest of many windows holds (crowd).
//
// # Out
//
// The waits of a client are even between L/2 and L, so 3/4 L on average, where L is w,
// mw, m²w and so on up to M. Growing takes K = log(M/w) / log(m) waits, rounded up, and
//
//	3/4 w (m^K - 1) / (m - 1) + K F
//
// on average: 12 s with the defaults. From then on a client probes every 3/4 M + F on
// average, and the node sees C / (3/4 M + F) probes a second: fewer than while it was up
// if 3/4 M is longer than I. Before, it sees more, and most of all when the first waits
// end: if all notice at once, all probe between w/2 and w later. That has no closed form.
// But the time of each probe has a density: that of the one before, moved by F and folded
// with the wait's, which is even. It is computed here cell by cell (model).
//
// # Back
//
// A client is back with its first probe that begins when the node is up. When an outage
// was long, clients' probes have nothing to do with each other any more, and the time x
// until that probe is what is left of a wait at a random moment. Its density is
//
//	1 / (3/4 M + F)                    for x up to M/2
//	2 (M - x) / (M (3/4 M + F))        for x from there to M
//
// beside those whose probe hangs when a frozen node thaws, F / (3/4 M + F) of all. They are
// answered at once. Those whose probe began H ago at most, H being what health takes for an
// answer, are back at once, and the others with one more probe, at any time within their
// last wait. So the biggest wave within d, if d is shorter than M/2, has
//
//	d / (3/4 M)                               if the node was dead
//	(d + H + d (F - H) / M) / (3/4 M + F)     if it was frozen
//
// of the clients, and chance adds to that as above. All are back after M. One client of
// all is still away when C (M - x)² / (3/4 M²) = 1, so the last is back after some
//
//	M (1 - sqrt(3/4 / C))
//
// When an outage was short, so were the waits, and clients come back closer together:
// that is computed, too.
//
// # Connections
//
// A probe of a live node goes over a connection that is kept, so that nobody dials. One of
// a node that is out dials, so that dials are probes; the last of each client is over the
// connection that it then keeps. Callers' connections come on top, and of those no client
// dials more than eight at a time.

// fleetOutage is what the arithmetic is about: an outage of one node of a fleet.
type fleetOutage struct {
	clients int
	health  health.Config // without zeros
	outage  time.Duration
	frozen  bool    // and not dead, so that probes hang until they time out
	notice  density // when clients know, from the beginning of the outage
}

// cell is how fine densities are.
const cell = time.Millisecond

// density is how likely something is in each cell of time, or how often it happens.
type density []float64

func cells(d time.Duration) int { return int(d / cell) }

// answering is how long a probe may take to be an answer: H. Nothing is far away here.
const answering = 40 * time.Millisecond

// overlapping is how many windows there are in the width of one that tell something new.
const overlapping = 3

// even is the density of something that happens once, at any time between two.
func even(from, to time.Duration) density {
	d := make(density, cells(to))
	for i := cells(from); i < len(d); i++ {
		d[i] = 1 / float64(len(d)-cells(from))
	}
	return d
}

// sums returns how much of the density lies before each cell.
func (d density) sums() []float64 {
	sums := make([]float64, len(d)+1)
	for i, x := range d {
		sums[i+1] = sums[i] + x
	}
	return sums
}

// share returns how much of the density lies between two times.
func (d density) share(from, to time.Duration) (sum float64) {
	for _, x := range d[min(cells(from), len(d)):min(cells(to), len(d))] {
		sum += x
	}
	return sum
}

// busiest returns the largest share of any window of that width between two times, and
// how many windows there are that are about as large.
func (d density) busiest(width, from, to time.Duration) (most float64, windows int) {
	sums := d.sums()
	in := func(i int) float64 { return sums[i+cells(width)] - sums[i] }
	first, end := cells(from), min(cells(to), len(d))-cells(width)
	for i := first; i <= end; i++ {
		most = max(most, in(i))
	}
	for i := first; i <= end; i++ {
		if in(i) > 0.95*most {
			windows++
		}
	}
	return most, max(1, overlapping*windows/cells(width))
}

// waited returns the density of what happens after a wait in the penalty box, of half
// its level to all of it.
func (d density) waited(level time.Duration, n int) density {
	sums := d.sums()
	before := func(i int) float64 { return sums[min(max(i, 0), len(d))] }
	short, long := cells(level/2), cells(level)
	after := make(density, n)
	for i := range after {
		// Half of a window and half of the next, whose middle is a whole number of cells away.
		after[i] = (before(i-short+1) + before(i-short) - before(i-long+1) - before(i-long)) / (2 * float64(long-short))
	}
	return after
}

// later returns the density of what happens a while later.
func (d density) later(by time.Duration) density {
	return append(make(density, cells(by)), d...)
}

// course is what one client does, on average, in an outage.
type course struct {
	fleetOutage
	probes  density // that begin, from the beginning of the outage
	returns density // from its end
}

// model computes the course of an outage.
func (f fleetOutage) model() course {
	fails := time.Duration(0)
	if f.frozen {
		fails = f.health.Timeout
	}
	back := cells(f.outage)
	n := back + cells(f.health.MaxWait+fails) + 1
	c := course{fleetOutage: f, probes: make(density, n), returns: make(density, n-back)}
	ready := f.notice
	for level := f.health.MinWait; !ready.none(); level = f.grown(level) {
		begun := ready.waited(level, n)
		late := max(0, back-cells(fails)) // what begins from here on finds the node up
		prompt := max(0, back-cells(min(fails, answering)))
		for i, x := range begun {
			c.probes[i] += x
			if i >= prompt {
				c.returns[max(0, i-back)] += x
			}
		}
		c.scatter(begun.share(time.Duration(late)*cell, time.Duration(prompt)*cell), level)
		ready = begun[:late].later(fails)
	}
	return c
}

// scatter has a share of the clients, whose probe hung when the node thawed, probe it once
// more and return, at any time within their last wait.
func (c course) scatter(share float64, level time.Duration) {
	back := cells(c.outage)
	for i, x := range even(0, level) {
		c.probes[back+i] += share * x
		c.returns[i] += share * x
	}
}

// none reports whether nothing is left that is worth a thought.
func (d density) none() bool { return d.share(0, time.Duration(len(d))*cell) < 1e-9 }

// grown returns the wait after one of that level.
func (f fleetOutage) grown(level time.Duration) time.Duration {
	return min(f.health.MaxWait, time.Duration(float64(level)*f.health.Multiplier))
}

// wave is the largest share of the clients that is back within a window: as expected, and
// with what chance adds.
func (c course) wave(width time.Duration) (expected, whole float64) {
	expected, windows := c.returns.busiest(width, 0, c.health.MaxWait)
	return expected, crowd(c.clients, expected, windows) / float64(c.clients)
}

// left is when n clients are expected to be still away.
func (c course) left(n float64) time.Duration {
	sums := c.returns.sums()
	i, _ := slices.BinarySearch(sums, sums[len(sums)-1]-n/float64(c.clients))
	return time.Duration(i) * cell
}

// upPeak is how many probes of a live node the busiest window of an hour holds.
func (f fleetOutage) upPeak(width time.Duration) float64 {
	return crowd(f.clients, float64(width)/float64(f.health.Interval), overlapping*int(time.Hour/width))
}

// crowd returns how many of the clients are in the fullest of n windows, where each
// client is with probability p: as many as are exceeded once in twice as many windows.
// It is the normal distribution's figure, corrected for the binomial's skewness.
func crowd(clients int, p float64, n int) float64 {
	z := math.Sqrt2 * math.Erfinv(1-1/float64(max(n, 1)))
	mean := float64(clients) * p
	return mean + z*math.Sqrt(mean*max(0, 1-p)) + (z*z-1)*(1-2*p)/6
}

// defaultHealth is health's default configuration, but for one setting.
func defaultHealth(maxWait time.Duration) health.Config {
	return health.Config{
		Interval:   health.DefaultInterval,
		Timeout:    health.DefaultTimeout,
		MinWait:    health.DefaultMinWait,
		MaxWait:    maxWait,
		Multiplier: health.DefaultMultiplier,
	}
}

const (
	// noticing is how long it takes until all callers of a fleet have met a dead node.
	noticing = 50 * time.Millisecond
	// wide is the width of the waves that are asked for.
	wide = 100 * time.Millisecond
)

// outageOf is an outage at the default settings that busy clients notice: of a dead node
// at once, of a frozen one when their first calls time out.
func outageOf(clients int, maxWait, outage time.Duration, frozen bool) fleetOutage {
	f := fleetOutage{clients: clients, health: defaultHealth(maxWait), outage: outage, frozen: frozen, notice: even(0, noticing)}
	if frozen {
		const readTimeout = time.Second
		f.notice = even(readTimeout, readTimeout+noticing)
	}
	return f
}

func TestLongOutagesEndAsTheClosedFormsSay(t *testing.T) {
	for _, maxWait := range []time.Duration{2 * time.Second, health.DefaultMaxWait} {
		m := maxWait.Seconds()
		dead, frozen := outageOf(1000, maxWait, 15*maxWait, false).model(), outageOf(1000, maxWait, 15*maxWait, true).model()
		wave, _ := dead.wave(wide)
		assert.InEpsilon(t, 0.1/(0.75*m), wave, 0.01)
		wave, _ = frozen.wave(wide)
		assert.InEpsilon(t, (0.1+0.04+0.1*(0.5-0.04)/m)/(0.75*m+0.5), wave, 0.01)
		assert.InEpsilon(t, m*(1-math.Sqrt(0.75/1000)), dead.left(1).Seconds(), 0.001)
		steady := dead.probes.share(10*maxWait, 15*maxWait) / (5 * m)
		assert.InEpsilon(t, 1/(0.75*m), steady, 0.01)
		assert.InDelta(t, 1, dead.returns.share(0, maxWait), 1e-6, "all are back after MaxWait")
		assert.InDelta(t, 1, frozen.returns.share(0, maxWait), 1e-6)
	}
}

// TestTheBackOffsOfAMillionClientsAreAsComputed draws the waits of each, without a
// machine or a clock.
func TestTheBackOffsOfAMillionClientsAreAsComputed(t *testing.T) {
	seed := seedOfSim(t)
	clients := scale(1_000_000, 1_000_000, 50_000)
	for _, outage := range []time.Duration{time.Second, 5 * time.Second, 30 * time.Second} {
		for _, frozen := range []bool{false, true} {
			c := outageOf(clients, health.DefaultMaxWait, outage, frozen).model()
			probes, returns := c.draw(rand.New(rand.NewPCG(seed, 2)))
			what := fmt.Sprintf("out for %v, frozen: %t", outage, frozen)
			assert.Less(t, distance(c.returns, returns), chance/math.Sqrt(float64(clients)), what)
			assert.InDelta(t, c.probes.share(0, outage), probes, 0.01, what)
		}
	}
}

// chance is how far, in standard deviations at most, a share may be from the computed one.
// The distance of two distributions is that large once in a million times.
const chance = 2.7

// draw returns how many probes a client begins in the outage, and the density of their
// return, by drawing every client's waits.
func (c course) draw(rnd *rand.Rand) (probes float64, returns density) {
	returns = make(density, len(c.returns))
	fails := time.Duration(0)
	if c.frozen {
		fails = c.health.Timeout
	}
	first, last := time.Duration(slices.IndexFunc(c.notice, func(x float64) bool { return x > 0 }))*cell, time.Duration(len(c.notice))*cell
	for range c.clients {
		at, level := first+rand.N(last-first), c.health.MinWait
		for at += jittered(rnd, level); at < c.outage-fails; at += fails + jittered(rnd, level) {
			level = c.grown(level)
			probes++
		}
		if at < c.outage {
			probes++
		}
		if at < c.outage-answering && c.frozen {
			at = c.outage + rand.N(level)
		}
		returns[max(0, cells(at-c.outage))] += 1 / float64(c.clients)
	}
	return probes / float64(c.clients), returns
}

// jittered cuts up to one half off a wait.
func jittered(rnd *rand.Rand, wait time.Duration) time.Duration {
	return wait - time.Duration(rnd.Int64N(int64(wait/2)))
}

// distance returns how far two distributions are from each other, at most.
func distance(a, b density) (most float64) {
	before, after := a.sums(), b.sums()
	for i := range min(len(before), len(after)) {
		most = max(most, math.Abs(before[i]-after[i]))
	}
	return most
}

// This holds what DESIGN.md says of large fleets, and prints its tables.
func TestAFleetOfAMillionHasTheFiguresThatAreWritten(t *testing.T) {
	const clients, outage = 1_000_000, 30 * time.Second
	for maxWait, want := range map[time.Duration]struct{ dead, frozen, dials float64 }{
		health.DefaultMaxWait: {0.0148, 0.0200, 9.0},
		2 * time.Second:       {0.0672, 0.0816, 22.6},
	} {
		dead, frozen := outageOf(clients, maxWait, outage, false).model(), outageOf(clients, maxWait, outage, true).model()
		_, wave := dead.wave(wide)
		assert.InEpsilon(t, want.dead, wave, 0.01)
		_, wave = frozen.wave(wide)
		assert.InEpsilon(t, want.frozen, wave, 0.01)
		assert.InEpsilon(t, want.dials, dead.probes.share(0, outage)+1, 0.01)
		assert.Less(t, dead.left(1), maxWait)
	}
	if testing.Verbose() {
		t.Log("\n" + fleetTable())
		t.Log("\n" + waveTable(clients))
	}
}

// TestAnOutageThatLastsEndsInNoWaveOverATenth holds what DESIGN.md says of outages that are
// long, and of those that are not.
func TestAnOutageThatLastsEndsInNoWaveOverATenth(t *testing.T) {
	patient := defaultHealth(health.DefaultMaxWait)
	patient.MinWait = 3500 * time.Millisecond
	for name, of := range map[string]struct {
		health       health.Config
		dead, frozen time.Duration // from where on it holds
	}{
		"defaults":         {defaultHealth(health.DefaultMaxWait), 3 * time.Second, 6 * time.Second},
		"MaxWait of 2 s":   {defaultHealth(2 * time.Second), 3 * time.Second, 12 * time.Second},
		"MinWait of 3.5 s": {patient, 100 * time.Millisecond, 1100 * time.Millisecond},
	} {
		for frozen, from := range map[bool]time.Duration{false: of.dead, true: of.frozen} {
			for outage := from; outage < time.Minute; outage += max(cell, outage/16).Truncate(cell) {
				f := outageOf(1_000_000, of.health.MaxWait, outage, frozen)
				f.health = of.health
				_, wave := f.model().wave(wide)
				assert.LessOrEqual(t, wave, 0.1, "%s, out for %v, frozen: %t", name, outage, frozen)
			}
		}
	}
}

// fleetTable is a table of fleets by size, at the defaults and at what a million can do with.
func fleetTable() string {
	var b strings.Builder
	b.WriteString("| clients | MaxWait | up: probes/s (busiest 100 ms) | just out: busiest 100 ms | waits grown: probes/s (busiest 100 ms) | dials a client | biggest wave back in 100 ms | thawed | last back |\n")
	b.WriteString("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n")
	for _, clients := range []int{1000, 5000, 100_000, 1_000_000} {
		for _, maxWait := range []time.Duration{health.DefaultMaxWait, 2 * time.Second} {
			b.WriteString(fleetRow(clients, defaultHealth(maxWait), 30*time.Second))
		}
	}
	patient := defaultHealth(time.Minute)
	patient.Interval, patient.MinWait = time.Minute, 5*time.Second
	b.WriteString(fleetRow(1_000_000, patient, 10*time.Minute))
	return b.String()
}

func fleetRow(clients int, cfg health.Config, outage time.Duration) string {
	d, f := outageOf(clients, cfg.MaxWait, outage, false), outageOf(clients, cfg.MaxWait, outage, true)
	d.health, f.health = cfg, cfg
	dead, frozen := d.model(), f.model()
	grown := 2 * d.growing() // when nearly all waits have grown
	n := float64(clients)
	first, _ := dead.probes.busiest(wide, 0, outage)
	then, windows := dead.probes.busiest(wide, grown, outage)
	_, wave := dead.wave(wide)
	_, thaw := frozen.wave(wide)
	return fmt.Sprintf("| %d | %v | %.0f (%.0f) | %.0f | %.0f (%.0f) | %.1f | %.0f: %.2g %% | %.0f: %.2g %% | %.2f s |\n",
		clients, cfg.MaxWait, n/cfg.Interval.Seconds(), d.upPeak(wide), n*first,
		n*dead.probes.share(grown, outage)/(outage-grown).Seconds(), crowd(clients, then, windows),
		dead.probes.share(0, outage)+1, n*wave, 100*wave, n*thaw, 100*thaw, dead.left(1).Seconds())
}

// growing is how long the waits of a dead node's client grow, on average.
func (f fleetOutage) growing() (sum time.Duration) {
	for level := f.health.MinWait; level < f.health.MaxWait; level = f.grown(level) {
		sum += level * 3 / 4
	}
	return sum
}

// waveTable is a table of the biggest waves by how long a node was out.
func waveTable(clients int) string {
	var b strings.Builder
	b.WriteString("| out for | dead, MaxWait 10 s | 2 s | frozen, MaxWait 10 s | 2 s |\n| ---: | ---: | ---: | ---: | ---: |\n")
	for _, outage := range []float64{0.5, 1, 2, 3, 5, 10, 30, 60} {
		fmt.Fprintf(&b, "| %v s |", outage)
		for _, frozen := range []bool{false, true} {
			for _, maxWait := range []time.Duration{health.DefaultMaxWait, 2 * time.Second} {
				f := outageOf(clients, maxWait, time.Duration(outage*float64(time.Second)), frozen)
				if f.outage < time.Duration(len(f.notice))*cell {
					b.WriteString(" not noticed |")
					continue
				}
				_, wave := f.model().wave(wide)
				fmt.Fprintf(&b, " %.1f %% |", 100*wave)
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}
