package health

import (
	"errors"
	"time"
)

// giveUpAfter is how much longer than its time-out a probe is awaited: one that
// heeds its context says itself why it failed.
const giveUpAfter = 10 * time.Millisecond

// repeatAfter is the pause before a probe that failed twice or more is repeated, so
// that a fault which shows at once and lasts for an instant is not taken for several.
const repeatAfter = 15 * time.Millisecond

var errGivenUp = errors.New("health: the probe did not return in time")

// probing is the part of a machine that knows when to probe, and what runs.
type probing struct {
	due     time.Time    // when the next probe is
	fresh   bool         // it repeats one that failed, so it is to dial
	rewrite bool         // it is to write, whoever asks
	wanted  bool         // the next probe is as soon as none runs
	asked   ProbeRequest // what it is to do at least

	unwritten bool // a command timed out, and no probe has tried to write since
	curious   bool // the running probe writes for that alone: nobody has seen a write refused

	running  bool         // a probe has not returned
	givenUp  bool         // and will not be heard when it does
	request  ProbeRequest // what it was asked for
	during   uint64       // the generation that it looks at
	started  time.Time    // when it began
	deadline time.Time    // when it is given up

	pause  time.Duration // the last wait in the penalty box, before its jitter
	thawed bool          // a probe that hung was answered, and none has failed since

	seq      uint64 // probes started so far
	aliveSeq uint64 // the last among them that the node answered
	took     recent // how long answers took of late
}

// ask wants a probe as soon as none runs. All who ask before it begins share
// it.
func (p *probing) ask(req ProbeRequest) {
	p.wanted = true
	p.asked.Fresh = p.asked.Fresh || req.Fresh
	p.asked.Write = p.asked.Write || req.Write
}

// dismiss forgets that a probe is wanted.
func (p *probing) dismiss() { p.wanted, p.asked = false, ProbeRequest{} }

// begin starts a probe, if one is due and none runs. The caller runs it, and
// calls finish when it returns.
func (m *machine) begin(now time.Time) (ProbeRequest, bool) {
	if m.running || !m.wanted && now.Before(m.due) {
		return ProbeRequest{}, false
	}
	m.request = ProbeRequest{Fresh: m.fresh || m.asked.Fresh, Write: m.asked.Write || m.rewrite}
	m.curious = m.rewrite && !m.asked.Write
	if !m.state.Live {
		m.request = ProbeRequest{Fresh: true, Write: m.write}
	}
	m.dismiss()
	m.running, m.givenUp = true, false
	m.during = m.state.Generation
	m.started, m.deadline = now, now.Add(m.cfg.Timeout+giveUpAfter)
	m.seq++
	return m.request, true
}

// finish takes the result of the running probe.
func (m *machine) finish(now time.Time, ev Evidence) verdict {
	m.running = false
	if m.givenUp {
		return verdict{}
	}
	return m.heard(now, ev)
}

// tick does what is due: it gives up a probe that does not return, and looks
// whether one has been awaited for long enough to judge the node.
func (m *machine) tick(now time.Time) verdict {
	if m.running && !now.Before(m.deadline) {
		if v := m.giveUp(now); v.move != stay {
			return v
		}
	}
	if !m.state.Live {
		return verdict{}
	}
	return m.judge(now)
}

// giveUp counts a probe that does not return as failed. No other can be
// started, so each further time-out that passes on a live node counts as well.
func (m *machine) giveUp(now time.Time) verdict {
	again := m.givenUp
	m.givenUp = true
	m.deadline = now.Add(m.cfg.Timeout)
	ev := Evidence{Class: Timeout, Cause: errGivenUp}
	if !again {
		return m.heard(now, ev)
	}
	if m.state.Live {
		return m.doubt(now, ev)
	}
	return verdict{}
}

// heard counts the result of a probe and acts on it, unless the node was
// penalized since the probe began: then it proves nothing.
func (m *machine) heard(now time.Time, ev Evidence) verdict {
	ev = ev.withCause()
	thaws := m.thaws(now) // before this answer changes what is usual
	switch {
	case ev.Class == Alive:
		m.answered = m.answered || !thaws
		m.aliveSeq = m.seq
		m.took.add(now.Sub(m.started))
	case ev.Class > Ask:
		m.failures++
		m.last = ev.Cause
	}
	switch {
	case m.during != m.state.Generation:
		return verdict{}
	case m.state.Live:
		return m.heardLive(now, ev)
	default:
		return m.heardInBox(now, ev, thaws)
	}
}

// thaws reports whether the probe that ends now took so long that the node, which is out
// for its silence, was frozen meanwhile.
func (m *machine) thaws(now time.Time) bool {
	return !m.state.Live && m.class == Timeout && !m.thawed && now.Sub(m.started) > m.patience(brokenFor)
}

func (m *machine) heardLive(now time.Time, ev Evidence) verdict {
	m.schedule(now)
	if ev.Class == Refusing && ev.Write && m.curious {
		ev.Class = Alive // it takes no writes, and may be meant not to
	}
	switch ev.Class {
	case None, Ask:
		return verdict{}
	case Alive:
		m.acquit(m.started)
		m.tryWrite()
		return verdict{}
	case Hard, Refusing, Misconfigured:
		ev.Write = ev.Write || m.request.Write && !m.curious
		return verdict{enter, ev}
	default:
		return m.doubt(now, ev)
	}
}

// tryWrite has a node that answered a PING write too, if a command timed out.
func (m *machine) tryWrite() {
	if m.unwritten && !m.request.Write {
		m.wanted, m.rewrite = true, true
		return
	}
	m.unwritten, m.rewrite = false, false
}

// doubt repeats a failed probe of a live node at once, and then with a short pause,
// over a connection of its own, and counts it. If a kept connection broke it is only repeated: the
// server may have dropped it for being idle.
func (m *machine) doubt(now time.Time, ev Evidence) verdict {
	m.due, m.fresh = now, true
	if ev.Class == Broken && !m.request.Fresh {
		return verdict{}
	}
	ev.Write = ev.Write || m.request.Write && !m.curious
	m.backoff.soil(now)
	if m.suspicion.probes > 0 {
		m.due = now.Add(repeatAfter)
	}
	m.suspicion.probes++
	m.suspicion.failed = now
	m.suspicion.accuse(ev)
	return m.judge(now)
}

func (m *machine) heardInBox(now time.Time, ev Evidence, thaws bool) verdict {
	switch {
	case ev.Class <= Ask && ev.Class != Alive:
		m.wait(now, m.pause)
		return verdict{}
	case ev.Class == Alive, m.answersAtLeast(ev):
		if thaws {
			m.scatter(now)
			return verdict{}
		}
		m.successes++
		if m.successes >= m.cfg.Successes {
			return verdict{move: leave}
		}
		m.wait(now, m.cfg.MinWait)
		return verdict{}
	default:
		m.successes, m.thawed = 0, false
		return verdict{linger, ev}
	}
}

// answersAtLeast reports whether a probe's refused write is all that is asked of
// the node: it was out for its silence, and may well be one that takes no writes.
func (m *machine) answersAtLeast(ev Evidence) bool {
	return ev.Class == Refusing && ev.Write && !m.unwritable
}

// schedule sets the next probe of a live node that gives no cause for doubt.
func (m *machine) schedule(now time.Time) {
	m.fresh = false
	m.due = now.Add(tenthJitter(m.cfg.Interval, m.rand()))
}

// postpone keeps a live node that fails and must not be penalized from being
// probed without a pause.
func (m *machine) postpone(now time.Time) {
	if !m.due.After(now) {
		m.due = now.Add(tenthJitter(m.cfg.Interval, m.rand()))
	}
}

// wait sets the next probe of a node that is out.
func (m *machine) wait(now time.Time, pause time.Duration) {
	m.pause = pause
	m.due = now.Add(equalJitter(pause, m.rand()))
}

// scatter has a node that thawed probed once more, at any time within its last wait. A
// frozen server answers all probes that hang on it in the same instant, and the clients
// that sent them must not come back in it.
func (m *machine) scatter(now time.Time) {
	m.thawed = true
	m.due = now.Add(fullJitter(m.pause, m.rand()))
}

// capWait shortens the wait of a node that is out to what is left of limit
// after its jitter, and reports whether it was longer. Waits that follow go on from
// there: probes that came so often must not have made them grow.
func (m *machine) capWait(now time.Time, limit time.Duration) bool {
	m.backoff.level, m.pause = min(m.backoff.level, limit), min(m.pause, limit)
	if m.due.Sub(now) <= limit {
		return false
	}
	m.due = now.Add(equalJitter(limit, m.rand()))
	return true
}

// next returns when begin or tick has something to do, if nothing happens
// before.
func (m *machine) next(now time.Time) time.Time {
	if !m.running {
		if m.wanted {
			return now
		}
		return m.due
	}
	next := m.deadline
	s := &m.suspicion
	if len(s.incidents) > 0 {
		next = earlier(next, m.overdue(s.incidents[0], m.patience(brokenFor)))
	}
	if len(s.timeouts) >= m.cfg.Failures {
		next = earlier(next, m.overdue(s.asked, m.patience(silentFor)))
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
