package health

import (
	"flag"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestAnySequenceOfEventsEndsWhereTheRulesSay plays random events to the group
// and to the reference. It plays 10,000 sequences, a tenth of that with -short,
// or as many as -rapid.checks says.
func TestAnySequenceOfEventsEndsWhereTheRulesSay(t *testing.T) {
	playSequences(t, 10_000)
	rapid.Check(t, func(t *rapid.T) {
		play := newPlay(t)
		t.Repeat(map[string]func(*rapid.T){
			"":           play.check,
			"report":     play.report,
			"storm":      play.storm,
			"time":       play.time,
			"next event": play.nextEvent,
			"probe ends": play.probeEnds,
			"rouse":      play.rouse,
		})
	})
}

// playSequences sets the number of sequences, if the command line does not.
func playSequences(t *testing.T, n int) {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "rapid.checks" })
	if given {
		return
	}
	if testing.Short() {
		n /= 10
	}
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	require.NoError(t, checks.Value.Set(strconv.Itoa(n)))
	t.Cleanup(func() { _ = checks.Value.Set(before) })
}

// play is one sequence: the group, its reference, and what both looked like
// after the last event.
type play struct {
	cfg     Config
	group   *group
	ref     *reference
	now     time.Time
	running []bool  // probes, as the shell would know
	before  []State // of the last check
	answers bool    // the event was a probe that succeeded
	quiet   bool    // the event may move nothing
}

func newPlay(t *rapid.T) *play {
	pick := func(name string, from ...time.Duration) time.Duration { return rapid.SampledFrom(from).Draw(t, name) }
	cfg := Config{
		Interval:   pick("interval", time.Second, 100*ms),
		Timeout:    pick("timeout", 500*ms, 30*ms),
		Failures:   rapid.IntRange(1, 4).Draw(t, "failures"),
		Successes:  rapid.IntRange(1, 3).Draw(t, "successes"),
		MinWait:    pick("min", 250*ms, 7*ms, time.Second),
		MaxWait:    pick("max", 10*time.Second, time.Second),
		Multiplier: rapid.SampledFrom([]float64{1, 1.5, 2, 3}).Draw(t, "multiplier"),
		MaxDown:    rapid.SampledFrom([]float64{0, 0.3, 0.5, 0.75, 1}).Draw(t, "max down"),
	}
	n := rapid.IntRange(1, 4).Draw(t, "nodes")
	full := rapid.Bool().Draw(t, "jitter")
	jitter := func() float64 {
		if full {
			return 1
		}
		return 0
	}
	p := &play{
		cfg:     cfg,
		group:   newGroup(cfg, n, jitter, epoch),
		ref:     newReference(cfg, n, full),
		now:     epoch,
		running: make([]bool, n),
	}
	for i, m := range p.group.nodes {
		m.due = epoch.Add(cfg.Interval)
		p.ref.nodes[i].due = m.due
	}
	p.before = p.group.snapshot()
	return p
}

func (p *play) node(t *rapid.T) int {
	return rapid.IntRange(0, len(p.group.nodes)-1).Draw(t, "node")
}

func class(t *rapid.T) Class {
	return Class(rapid.IntRange(int(None), int(Misconfigured)).Draw(t, "class"))
}

func (p *play) report(t *rapid.T) {
	i := p.node(t)
	ev := Evidence{
		Class:      class(t),
		Cause:      errFault,
		Verify:     rapid.IntRange(0, 3).Draw(t, "verify") == 0,
		Write:      rapid.IntRange(0, 3).Draw(t, "write") == 0,
		Fresh:      rapid.IntRange(0, 3).Draw(t, "fresh") == 0,
		Conn:       uint64(rapid.IntRange(1, 5).Draw(t, "conn")),
		Generation: p.group.nodes[i].state.Generation,
		Sent:       p.now.Add(-200 * ms),
	}
	if rapid.IntRange(0, 7).Draw(t, "replied") == 0 {
		ev.Replied = p.now.Add(-100 * ms)
	}
	if rapid.IntRange(0, 7).Draw(t, "stale") == 0 {
		ev.Generation--
	}
	p.tell(i, ev)
}

// storm reports time-outs on several connections at once.
func (p *play) storm(t *rapid.T) {
	i := p.node(t)
	for conn := range rapid.IntRange(2, 5).Draw(t, "conns") {
		p.tell(i, Evidence{
			Class: Timeout, Cause: errFault, Conn: uint64(conn),
			Generation: p.group.nodes[i].state.Generation, Sent: p.now.Add(-200 * ms),
		})
	}
	p.quiet = false
}

func (p *play) tell(i int, ev Evidence) {
	m := p.group.nodes[i]
	p.quiet = ev.Class <= Ask || ev.Generation != m.state.Generation || !m.state.Live
	p.group.report(p.now, i, ev)
	p.ref.report(p.now, i, ev)
}

func (p *play) time(t *rapid.T) {
	p.now = p.now.Add(rapid.SampledFrom([]time.Duration{
		0, ms, 9 * ms, 20 * ms, 41 * ms, 200 * ms, 600 * ms, 3 * time.Second, time.Minute,
	}).Draw(t, "passes"))
}

// nextEvent lets time pass until some node has something due.
func (p *play) nextEvent(*rapid.T) {
	next := p.group.nodes[0].next(p.now)
	for _, m := range p.group.nodes[1:] {
		next = earlier(next, m.next(p.now))
	}
	p.now = later(p.now, next)
}

func (p *play) probeEnds(t *rapid.T) {
	i := p.node(t)
	if !p.running[i] {
		t.Skip("no probe runs")
	}
	ev := Evidence{Class: class(t), Cause: errFault, Write: rapid.IntRange(0, 3).Draw(t, "write") == 0}
	p.running[i] = false
	p.answers = ev.Class == Alive || ev.Class == Refusing && ev.Write // refused a write, which is an answer too
	p.group.finish(p.now, i, ev)
	p.ref.finish(p.now, i, ev)
}

func (p *play) rouse(*rapid.T) {
	p.group.rouse()
	for i := range p.ref.nodes {
		n := &p.ref.nodes[i]
		n.wanted = n.wanted || !n.answered
	}
}

// check compares the group with the reference and with what must always hold,
// then does what the probers would do, and compares again.
func (p *play) check(t *rapid.T) {
	p.compare(t)
	p.invariants(t)
	for i, m := range p.group.nodes {
		p.group.tick(p.now, i)
		p.ref.tick(p.now, i)
		req, begun := m.begin(p.now)
		refReq, refBegun := p.ref.begin(p.now, i)
		must(t, begun == refBegun && req == refReq, "node %d begins %v %v, not %v %v", i, begun, req, refBegun, refReq)
		must(t, !begun || !p.running[i], "node %d: more than one probe", i)
		p.running[i] = p.running[i] || begun
		must(t, m.next(p.now).After(p.now), "node %d: busy loop", i)
	}
	p.answers, p.quiet = false, false
	p.compare(t)
	p.invariants(t)
	p.group.outbox = outbox{}
}

// standing is what group and reference must agree on about one node.
type standing struct {
	out, held, answered bool
	generation          int
	class               Class
	due                 time.Duration
}

func (p *play) compare(t *rapid.T) {
	for i, m := range p.group.nodes {
		n := &p.ref.nodes[i]
		got := standing{!m.state.Live, m.held, m.answered, int(m.state.Generation), m.class, m.due.Sub(epoch)}
		want := standing{n.out, n.held, n.answered, n.generation, n.class, n.due.Sub(epoch)}
		must(t, got == want, "node %d: %+v, not %+v", i, got, want)
	}
}

func (p *play) invariants(t *rapid.T) {
	out := 0
	for i, m := range p.group.nodes {
		was, is := p.before[i], m.state
		if !is.Live {
			out++
		}
		must(t, is.Live == (is.Cause == nil), "node %d: out with a cause, live without", i)
		must(t, is.Live || m.due.Sub(p.now) <= p.cfg.MaxWait, "node %d: probed within MaxWait, whatever it did", i)
		must(t, !is.Live || was.Live || p.answers, "node %d: only a probe releases", i)
		must(t, !p.quiet || is == was, "node %d: moved by what says nothing", i)
		ended := was.Live && !is.Live || !was.Live && !was.Silent && !is.Live && is.Silent
		must(t, is.Generation-was.Generation == one(ended), "node %d: one generation for each penalty and each fall silent", i)
	}
	must(t, out == p.group.out, "%d are out, not %d", out, p.group.out)
	share := float64(out) / float64(len(p.before))
	must(t, p.cfg.MaxDown == 0 || share <= p.cfg.MaxDown, "a share of %v is out", share)
	for _, c := range p.group.changes {
		must(t, c.Live || c.Wait >= p.cfg.MinWait/2 && c.Wait <= p.cfg.MaxWait, "waits %v", c.Wait)
	}
	p.before = p.group.snapshot()
}

// must is require.True without its price, which is high at a million calls.
func must(t *rapid.T, holds bool, format string, args ...any) {
	if !holds {
		t.Helper()
		t.Fatalf(format, args...)
	}
}

func one(yes bool) uint64 {
	if yes {
		return 1
	}
	return 0
}
