package health

import "time"

// group is the health of all nodes together: the machines, and what depends on
// more than one of them. How many may be out at once is decided here, and how
// long they wait when none is left. Like a machine it is pure; what it asks of
// its caller collects in the outbox.
type group struct {
	cfg   Config
	nodes []*machine
	out   int // how many are in the penalty box
	outbox
}

// outbox is what became of the nodes since it was last emptied.
type outbox struct {
	changes []Change // in order
	states  bool     // a State changed
	nudged  []int    // nodes whose next probe or tick may be sooner than thought
	settled []int    // nodes on which a probe has spoken, or which are out now
}

func newGroup(cfg Config, n int, rand func() float64, now time.Time) *group {
	g := &group{cfg: cfg, nodes: make([]*machine, n)}
	for i := range g.nodes {
		g.nodes[i] = newMachine(cfg, rand, now)
	}
	return g
}

// start spreads the first probes of the live nodes over a random part of the
// interval.
func (g *group) start(now time.Time) {
	for _, m := range g.nodes {
		if m.state.Live {
			m.due = now.Add(time.Duration(m.rand() * float64(g.cfg.Interval)))
		}
	}
}

// report takes evidence from traffic against node i. It reports whether what
// it claims is open until a probe settles it.
func (g *group) report(now time.Time, i int, ev Evidence) bool {
	m := g.nodes[i]
	g.carryOut(now, i, m.report(now, ev))
	if ev.Class > Alive {
		g.nudged = append(g.nudged, i)
	}
	return ev.settles() && m.concerned(ev)
}

// tick does what is due at node i.
func (g *group) tick(now time.Time, i int) {
	g.carryOut(now, i, g.nodes[i].tick(now))
}

// finish takes the result of the running probe of node i.
func (g *group) finish(now time.Time, i int, ev Evidence) {
	g.carryOut(now, i, g.nodes[i].finish(now, ev))
	g.settled = append(g.settled, i)
}

// rouse wants a probe of every node that has never answered, also of those
// whose wait is not over.
func (g *group) rouse() {
	for i, m := range g.nodes {
		if !m.answered {
			m.ask(ProbeRequest{})
			g.nudged = append(g.nudged, i)
		}
	}
}

// answered reports whether every node has been seen alive.
func (g *group) answered() bool {
	for _, m := range g.nodes {
		if !m.answered {
			return false
		}
	}
	return true
}

// carryOut does what the machine of node i asks for, as far as the others
// allow it.
func (g *group) carryOut(now time.Time, i int, v verdict) {
	m := g.nodes[i]
	switch v.move {
	case stay:
	case enter:
		if !g.room() {
			m.hold(now, v.ev)
			return
		}
		m.penalize(now, v.ev)
		g.out++
		g.capWaits(now)
		g.states = true
		g.settled = append(g.settled, i)
		g.changed(now, i, Change{Cause: v.ev.Cause})
	case linger:
		if m.linger(now, v.ev) {
			g.states = true
		}
		g.capWaits(now)
		g.changed(now, i, Change{Cause: v.ev.Cause, Still: true})
	case leave:
		g.rejoin(now, i)
	}
}

// rejoin stands between a node's last answer in the penalty box and its
// release. It is the place for whatever must come first, such as emptying a
// cache that has grown stale; today nothing does.
func (g *group) rejoin(now time.Time, i int) {
	g.release(now, i)
}

// release lets node i out, which makes room for those that were held back.
func (g *group) release(now time.Time, i int) {
	cause := g.nodes[i].state.Cause
	g.nodes[i].release(now)
	g.out--
	g.states = true
	g.changed(now, i, Change{Cause: cause})
	for j, m := range g.nodes {
		if m.held {
			m.ask(ProbeRequest{})
			g.nudged = append(g.nudged, j)
		}
	}
}

// room reports whether one more node may be out.
func (g *group) room() bool {
	const rounding = 1e-9 // of a product such as 0.1 * 10
	most := g.cfg.MaxDown*float64(len(g.nodes)) + rounding
	return g.cfg.MaxDown == 0 || float64(g.out+1) <= most
}

// capWaits shortens all waits while no node lives, so that the first server to
// come back is found within a second.
func (g *group) capWaits(now time.Time) {
	if g.out < len(g.nodes) {
		return
	}
	limit := max(g.cfg.MinWait, g.cfg.Interval/2)
	for i, m := range g.nodes {
		if m.capWait(now, limit) {
			g.nudged = append(g.nudged, i)
		}
	}
}

// changed fills in c with the state of node i, and keeps it for the caller.
func (g *group) changed(now time.Time, i int, c Change) {
	m := g.nodes[i]
	c.Node, c.At = i, now
	c.Live, c.Silent, c.Class = m.state.Live, m.state.Silent, m.class
	c.Generation = m.state.Generation
	if !c.Live {
		c.Wait = m.due.Sub(now)
	}
	g.changes = append(g.changes, c)
}

// snapshot returns the state of every node.
func (g *group) snapshot() []State {
	states := make([]State, len(g.nodes))
	for i, m := range g.nodes {
		states[i] = m.state
	}
	return states
}
