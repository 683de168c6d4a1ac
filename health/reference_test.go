package health

import (
	"math"
	"slices"
	"time"
)

// reference is a second telling of the rules, to hold the machine and the group
// against. It keeps a log of what happened to a live node since its last
// answer, and counts it anew at every step. Its jitter is all or nothing.
type reference struct {
	cfg   Config
	full  bool // jitter at its longest, else at its shortest
	nodes []refNode
}

type refNode struct {
	out, held, answered                  bool
	generation, successes                int
	class                                Class
	level                                float64
	clean, due                           time.Time
	pause                                time.Duration
	probedAgain                          bool // after an answer that came late
	log                                  []record
	replied, incident                    time.Time
	askedAt, failedAt                    time.Time
	repeat, wanted                       bool
	mustTryWrite, tries, onlyTries       bool         // writes: to be tried, being tried, for no other reason
	wish                                 ProbeRequest // of those who want a probe
	accusedWrite, boxWrite, boxMustWrite bool
	running, givenUp                     bool
	request                              ProbeRequest
	began, deadline                      time.Time
	beganIn                              int
	took                                 []time.Duration // by the answers, newest last
}

// record is one fault: a failed probe, or one seen in traffic.
type record struct {
	at, sent time.Time
	class    Class
	conn     uint64
	probe    bool
	counted  bool // of a broken connection
}

func newReference(cfg Config, n int, full bool) *reference {
	r := &reference{cfg: cfg, full: full, nodes: make([]refNode, n)}
	for i := range r.nodes {
		r.nodes[i].clean = epoch
	}
	return r
}

func (r *reference) cut(wait time.Duration) time.Duration {
	if r.full {
		return wait
	}
	return wait - wait/2
}

func (r *reference) interval() time.Duration {
	if r.full {
		return r.cfg.Interval / 10 * 11
	}
	return r.cfg.Interval / 10 * 9
}

func (r *reference) out() (out int) {
	for _, n := range r.nodes {
		if n.out {
			out++
		}
	}
	return out
}

func (r *reference) report(now time.Time, i int, ev Evidence) {
	n := &r.nodes[i]
	if n.out || int(ev.Generation) != n.generation || ev.Class == None {
		return
	}
	if ev.Class == Alive {
		n.acquit(now)
		return
	}
	damning := ev.Class == Hard || ev.Class == Refusing || ev.Class == Misconfigured
	switch {
	case ev.Class == Broken:
		n.accusedWrite = n.accusedWrite || ev.Write
		if n.incident.IsZero() || now.Sub(n.incident) > 10*ms {
			n.incident = now
			n.log = append(n.log, record{at: now, class: Broken})
		}
	case ev.Class == Timeout:
		r.timeout(now, n, ev)
	case ev.Verify || ev.Class == Ask:
	case damning:
		r.enter(now, n, ev.Class, ev.Write)
		return
	default:
		n.soil(now, r.cfg)
		n.accusedWrite = n.accusedWrite || ev.Write
		n.log = append(n.log, record{at: now, class: Soft})
	}
	n.wanted = true
	n.wish.Fresh = n.wish.Fresh || ev.Fresh
	n.wish.Write = n.wish.Write || ev.Write
	r.judge(now, n, ev.Class)
}

func (r *reference) timeout(now time.Time, n *refNode, ev Evidence) {
	n.mustTryWrite = true
	if ev.Replied.After(n.replied) {
		n.replied = ev.Replied
	}
	if len(n.silentConns(now)) == 0 {
		n.askedAt = now
	}
	if ev.Sent.Before(n.replied) {
		return
	}
	n.log = slices.DeleteFunc(n.log, func(rec record) bool { return rec.class == Timeout && !rec.probe && rec.conn == ev.Conn })
	n.log = append(n.log, record{at: now, sent: ev.Sent, class: Timeout, conn: ev.Conn})
	n.accusedWrite = n.accusedWrite || ev.Write
}

func (n *refNode) silentConns(now time.Time) map[uint64]bool {
	conns := map[uint64]bool{}
	for _, rec := range n.log {
		if rec.class == Timeout && !rec.probe && now.Sub(rec.at) <= time.Second && !rec.sent.Before(n.replied) {
			conns[rec.conn] = true
		}
	}
	return conns
}

func (n *refNode) acquit(now time.Time) {
	n.answered, n.held = true, false
	if now.After(n.replied) {
		n.replied = now
	}
	n.log, n.failedAt, n.accusedWrite = nil, time.Time{}, false
}

// judge counts what is in the log. class is that of the newest fault.
func (r *reference) judge(now time.Time, n *refNode, class Class) {
	overdue := func(since time.Time, least time.Duration) bool {
		if !n.failedAt.IsZero() && !n.failedAt.Before(since) {
			return true
		}
		patience := max(least, min(4*n.usually(), r.cfg.Timeout))
		return n.running && now.Sub(since) >= patience && now.Sub(n.began) >= patience
	}
	failures := 0
	for i := range n.log {
		rec := &n.log[i]
		recent := now.Sub(rec.at) <= time.Second
		if recent && !rec.probe && rec.class == Broken && !rec.counted && overdue(rec.at, 40*ms) {
			rec.counted = true
			n.soil(now, r.cfg)
		}
		if rec.probe || recent && (rec.class == Soft || rec.counted) {
			failures++
		}
	}
	switch {
	case failures >= r.cfg.Failures, n.held && failures > 0:
		r.enter(now, n, class, n.accusedWrite)
	case len(n.silentConns(now)) >= r.cfg.Failures && overdue(n.askedAt, 20*ms):
		r.enter(now, n, Timeout, n.accusedWrite)
	}
}

func (r *reference) enter(now time.Time, n *refNode, class Class, write bool) {
	n.log, n.failedAt, n.accusedWrite = nil, time.Time{}, false
	if share := float64(r.out()+1) / float64(len(r.nodes)); r.cfg.MaxDown > 0 && share > r.cfg.MaxDown+1e-9 {
		n.held = true
		if !n.due.After(now) {
			n.due = now.Add(r.interval())
		}
		return
	}
	n.out, n.held, n.class = true, false, class
	n.boxWrite, n.boxMustWrite = write || class == Timeout || n.tries, write
	n.mustTryWrite, n.tries = false, false
	n.generation++
	n.successes, n.probedAgain, n.wanted, n.wish = 0, false, false, ProbeRequest{}
	n.soil(now, r.cfg)
	r.wait(now, n)
}

// wait draws the wait after a fault, and shortens all of them if no node lives.
func (r *reference) wait(now time.Time, n *refNode) {
	switch n.class {
	case Refusing:
		n.pause = r.cfg.MinWait
	case Misconfigured:
		n.pause = r.cfg.MaxWait
	default:
		n.level = min(max(math.Round(n.level*r.cfg.Multiplier), float64(r.cfg.MinWait)), float64(r.cfg.MaxWait))
		n.pause = time.Duration(n.level)
	}
	n.due = now.Add(r.cut(n.pause))
	if r.out() < len(r.nodes) {
		return
	}
	for i := range r.nodes {
		limit := max(r.cfg.MinWait, r.cfg.Interval/2)
		r.nodes[i].level = min(r.nodes[i].level, float64(limit))
		r.nodes[i].pause = min(r.nodes[i].pause, limit)
		if other := &r.nodes[i]; other.due.Sub(now) > limit {
			other.due = now.Add(r.cut(limit))
		}
	}
}

func (n *refNode) soil(now time.Time, cfg Config) {
	for range min(now.Sub(n.clean)/cfg.MaxWait, 100) {
		n.level /= cfg.Multiplier
	}
	n.level = math.Round(n.level)
	if n.level < float64(cfg.MinWait) {
		n.level = 0
	}
	n.clean = now
}

func (r *reference) begin(now time.Time, i int) (ProbeRequest, bool) {
	n := &r.nodes[i]
	if n.running || !n.wanted && now.Before(n.due) {
		return ProbeRequest{}, false
	}
	n.request = ProbeRequest{Fresh: n.out || n.repeat || n.wish.Fresh, Write: n.out && n.boxWrite || !n.out && (n.wish.Write || n.tries)}
	if !n.out {
		n.onlyTries = n.tries && !n.wish.Write
	}
	n.running, n.givenUp, n.wanted, n.wish = true, false, false, ProbeRequest{}
	n.began, n.beganIn = now, n.generation
	n.deadline = now.Add(r.cfg.Timeout + 10*ms)
	return n.request, true
}

func (r *reference) tick(now time.Time, i int) {
	n := &r.nodes[i]
	if n.running && !now.Before(n.deadline) {
		n.deadline = now.Add(r.cfg.Timeout)
		switch {
		case !n.givenUp:
			n.givenUp = true
			r.heard(now, i, Evidence{Class: Timeout})
		case !n.out:
			r.failed(now, n, Evidence{Class: Timeout})
		}
	}
	if !n.out {
		r.judge(now, n, n.newest())
	}
}

// usually is how long an answer takes: the median of the last five.
func (n *refNode) usually() time.Duration {
	if len(n.took) == 0 {
		return 0
	}
	last := slices.Sorted(slices.Values(n.took[max(0, len(n.took)-5):]))
	return last[(len(last)-1)/2]
}

// newest is the class that a penalty would have now.
func (n *refNode) newest() Class {
	if len(n.log) == 0 {
		return None
	}
	return n.log[len(n.log)-1].class
}

func (r *reference) finish(now time.Time, i int, ev Evidence) {
	n := &r.nodes[i]
	n.running = false
	if !n.givenUp {
		r.heard(now, i, ev)
	}
}

func (r *reference) heard(now time.Time, i int, ev Evidence) {
	n := &r.nodes[i]
	late := now.Sub(n.began) > max(40*ms, min(4*n.usually(), r.cfg.Timeout))
	if ev.Class == Alive {
		n.answered = n.answered || !late || !n.out || n.class != Timeout || n.probedAgain
		n.took = append(n.took, now.Sub(n.began))
	}
	switch {
	case n.beganIn != n.generation:
	case n.out:
		r.heardInBox(now, n, ev, late)
	case ev.Class == Broken || ev.Class == Timeout || ev.Class == Soft:
		r.failed(now, n, ev)
	default:
		n.repeat, n.due = false, now.Add(r.interval())
		if ev.Class == Alive || n.onlyTries && ev.Class == Refusing && ev.Write {
			n.acquit(n.began)
			again := n.mustTryWrite && !n.request.Write
			n.mustTryWrite, n.tries = again, again
			n.wanted = n.wanted || again
		} else if ev.Class > Ask {
			r.enter(now, n, ev.Class, ev.Write || n.request.Write && !n.onlyTries)
		}
	}
}

func silentClass(c Class) bool { return c == Hard || c == Broken || c == Timeout }

func (r *reference) failed(now time.Time, n *refNode, ev Evidence) {
	n.repeat, n.due = true, now
	if ev.Class == Broken && !n.request.Fresh {
		return
	}
	for _, rec := range n.log {
		if rec.probe {
			n.due = now.Add(15 * ms)
		}
	}
	n.soil(now, r.cfg)
	n.failedAt = now
	n.accusedWrite = n.accusedWrite || ev.Write || n.request.Write && !n.onlyTries
	n.log = append(n.log, record{at: now, class: ev.Class, probe: true})
	r.judge(now, n, ev.Class)
}

func (r *reference) heardInBox(now time.Time, n *refNode, ev Evidence, late bool) {
	if ev.Class == None || ev.Class == Ask {
		n.due = now.Add(r.cut(n.pause))
		return
	}
	refusesOnlyWrites := ev.Class == Refusing && ev.Write
	if ev.Class != Alive && (n.boxMustWrite || !refusesOnlyWrites) {
		n.successes, n.probedAgain = 0, false
		if silentClass(ev.Class) && !silentClass(n.class) {
			n.generation++
		}
		n.class = ev.Class
		n.boxWrite, n.boxMustWrite = n.boxWrite || ev.Write, n.boxMustWrite || ev.Write
		r.wait(now, n)
		return
	}
	if late && n.class == Timeout && !n.probedAgain {
		n.probedAgain = true
		n.due = now
		if r.full {
			n.due = now.Add(n.pause)
		}
		return
	}
	if n.successes++; n.successes < r.cfg.Successes {
		n.pause = r.cfg.MinWait
		n.due = now.Add(r.cut(n.pause))
		return
	}
	n.out, n.class = false, None
	n.clean, n.replied = now, now
	n.repeat, n.due = false, now.Add(r.interval())
	for j := range r.nodes {
		r.nodes[j].wanted = r.nodes[j].wanted || r.nodes[j].held
	}
}
