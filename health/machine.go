package health

import (
	"errors"
	"time"
)

const (
	// silentFor is how long a probe may be awaited before time-outs on several
	// connections mean that the node is silent rather than that its clients
	// were impatient.
	silentFor = 20 * time.Millisecond

	// brokenFor is how long a probe may be awaited before a broken connection
	// counts. Report waits a little longer, so that whoever reports one learns
	// what became of it.
	brokenFor = 40 * time.Millisecond
)

var errNoCause = errors.New("health: no cause was given")

// machine is the health of one node. Its methods take the time and an event,
// and say what is to become of the node: no clock, no goroutine, no I/O. It
// decides nothing that depends on other nodes, so it does not move itself in or
// out of the penalty box: its verdicts ask the group to.
type machine struct {
	cfg  Config
	rand func() float64

	state    State
	class    Class // behind the penalty; None while the node lives
	since    time.Time
	last     error     // the newest fault, kept after the release
	answered bool      // has ever been seen alive
	replied  time.Time // when the newest command was sent that is known to be answered
	incident time.Time // when the current or last incident began

	suspicion suspicion // of a live node
	held      bool      // live only because the group had no room for it in the box

	backoff    backoff // of a node that is out
	successes  int     // of probes in a row
	write      bool    // the probe that lets it out is to write
	unwritable bool    // and the write has to succeed

	probing
	penalties, refused, failures uint64
}

// verdict is what a machine wants done with its node, and why.
type verdict struct {
	move move
	ev   Evidence
}

type move uint8

const (
	stay   move = iota // nothing changes
	enter              // the node belongs in the penalty box
	linger             // it is in there, and another probe failed
	leave              // it is in there, and has answered often enough
)

func newMachine(cfg Config, rand func() float64, now time.Time) *machine {
	return &machine{
		cfg:       cfg,
		rand:      rand,
		state:     State{Live: true},
		since:     now,
		suspicion: suspicion{need: cfg.Failures},
		backoff:   backoff{min: cfg.MinWait, max: cfg.MaxWait, multiplier: cfg.Multiplier, clean: now},
	}
}

// silent reports whether a node penalized for class does not answer at all, so
// that whoever waits for it waits in vain. Of the other classes that is not said:
// the server may refuse to work, be full, or have a name that does not resolve,
// and connections that are open may go on.
func (c Class) silent() bool { return c == Hard || c == Broken || c == Timeout }

// settles reports whether a probe is to settle what ev claims, and the one who
// reports it to wait for that.
func (ev Evidence) settles() bool {
	return ev.Class == Broken || ev.Class == Timeout || ev.Verify && ev.Class > Ask
}

// concerned reports whether evidence from traffic says anything of the node as
// it is: it does not while the node is out, nor if it comes from a connection
// dialed before the last penalty.
func (m *machine) concerned(ev Evidence) bool {
	return m.state.Live && ev.Generation == m.state.Generation
}

// withCause returns ev with some cause, if it is against the node.
func (ev Evidence) withCause() Evidence {
	if ev.Cause == nil && ev.Class > Ask {
		ev.Cause = errNoCause
	}
	return ev
}

// report takes evidence from traffic.
func (m *machine) report(now time.Time, ev Evidence) verdict {
	ev = ev.withCause()
	if !m.concerned(ev) {
		return verdict{}
	}
	switch ev.Class {
	case None:
		return verdict{}
	case Alive:
		m.acquit(now)
		return verdict{}
	case Ask:
	case Broken:
		m.broke(now, ev)
	case Timeout:
		m.timedOut(now, ev)
	default:
		if v := m.accept(now, ev); v.move != stay {
			return v
		}
	}
	m.ask(ProbeRequest{Fresh: ev.Fresh, Write: ev.Write})
	return m.judge(now)
}

// accept takes a fault that needs no probe's word. One that does counts when
// the probe finds it too.
func (m *machine) accept(now time.Time, ev Evidence) verdict {
	if ev.Verify {
		return verdict{}
	}
	if ev.Class != Soft {
		return verdict{enter, ev}
	}
	m.backoff.soil(now)
	m.suspicion.soft = append(m.suspicion.soft, now)
	m.suspicion.accuse(ev)
	return verdict{}
}

// broke notes a broken connection. It counts once for each incident, and not
// before a probe has had its say.
func (m *machine) broke(now time.Time, ev Evidence) {
	if !m.incident.IsZero() && now.Sub(m.incident) <= incidentSpan {
		m.suspicion.accused.Write = m.suspicion.accused.Write || ev.Write
		return
	}
	m.suspicion.accuse(ev)
	m.incident = now
	m.suspicion.incidents = append(m.suspicion.incidents, now)
}

// timedOut notes a command that was not answered. A server may answer PING and
// others' reads, and leave writes waiting: so the probe after the next will write.
func (m *machine) timedOut(now time.Time, ev Evidence) {
	m.unwritten = true
	if ev.Replied.After(m.replied) {
		m.replied = ev.Replied
	}
	m.suspicion.prune(now, m.replied)
	m.suspicion.addTimeout(now, ev, m.replied)
}

// acquit takes proof of life of a live node, which answered what was sent at sent:
// nothing stands against it.
func (m *machine) acquit(sent time.Time) {
	m.answered = true
	if sent.After(m.replied) {
		m.replied = sent
	}
	m.held = false
	m.suspicion.clear()
}

// judge looks whether what stands against a live node is enough.
func (m *machine) judge(now time.Time) verdict {
	s := &m.suspicion
	s.prune(now, m.replied)
	for len(s.incidents) > 0 && m.unanswered(now, s.incidents[0], m.patience(brokenFor)) {
		s.soft = append(s.soft, s.incidents[0])
		s.incidents = s.incidents[1:]
		m.backoff.soil(now)
	}
	if failures := s.failures(); failures >= m.cfg.Failures || m.held && failures > 0 {
		return verdict{enter, s.accused}
	}
	if len(s.timeouts) >= m.cfg.Failures && m.unanswered(now, s.asked, m.patience(silentFor)) {
		newest := s.timeouts[len(s.timeouts)-1]
		return verdict{enter, Evidence{Class: Timeout, Cause: newest.cause, Write: s.accused.Write}}
	}
	return verdict{}
}

// unanswered reports whether a probe asked for at since has failed, or has run
// for longer than patience without an answer. A probe that did not get to start
// says nothing: this process may be starved.
func (m *machine) unanswered(now, since time.Time, patience time.Duration) bool {
	if !m.suspicion.failed.IsZero() && !m.suspicion.failed.Before(since) {
		return true
	}
	return m.running && !now.Before(m.overdue(since, patience))
}

// overdue is when the running probe has been awaited for patience since since.
func (m *machine) overdue(since time.Time, patience time.Duration) time.Time {
	if since.Before(m.started) {
		since = m.started
	}
	return since.Add(patience)
}

// patience is how long a probe may be awaited: least, or longer if the node is
// so far away that its probes have lately taken long. A fresh connection takes
// several round trips where a kept one takes one.
func (m *machine) patience(least time.Duration) time.Duration {
	return max(least, min(4*m.took.median(), m.cfg.Timeout))
}

// penalize puts the node into the penalty box.
func (m *machine) penalize(now time.Time, ev Evidence) {
	m.state = State{Silent: ev.Class.silent(), Generation: m.state.Generation + 1, Cause: ev.Cause}
	m.class, m.last, m.since = ev.Class, ev.Cause, now
	m.write, m.unwritable = ev.Write || ev.Class == Timeout || m.rewrite, ev.Write
	m.held = false
	m.successes, m.thawed = 0, false
	m.suspicion.clear()
	m.unwritten, m.rewrite = false, false
	m.penalties++
	m.backoff.soil(now)
	m.dismiss()
	m.wait(now, m.backoff.next(ev.Class))
}

// linger keeps the node in the penalty box after a failed probe. It reports
// whether the fault is of another class than before, so that the State changed.
func (m *machine) linger(now time.Time, ev Evidence) bool {
	changed := ev.Class != m.class
	if changed {
		if ev.Class.silent() && !m.state.Silent {
			m.state.Generation++ // connections dialed while it answered hang now
		}
		m.class = ev.Class
		m.state.Silent, m.state.Cause = ev.Class.silent(), ev.Cause
	}
	m.write, m.unwritable = m.write || ev.Write, m.unwritable || ev.Write
	m.wait(now, m.backoff.next(ev.Class))
	return changed
}

// hold keeps the node live though it belongs in the penalty box. The next
// failed probe asks for its penalty again. It is counted once until the node
// answers or is penalized.
func (m *machine) hold(now time.Time, ev Evidence) {
	if !m.held {
		m.refused++
	}
	m.held = true
	m.last = ev.Cause
	m.suspicion.clear()
	m.postpone(now)
}

// release lets the node out of the penalty box.
func (m *machine) release(now time.Time) {
	m.state = State{Live: true, Generation: m.state.Generation}
	m.class, m.since = None, now
	m.backoff.clean = now
	m.replied = now
	m.schedule(now)
}

// status returns what is known of the node.
func (m *machine) status(now time.Time) Status {
	m.suspicion.prune(now, m.replied)
	s := Status{
		State:         m.state,
		Class:         m.class,
		Since:         m.since,
		Last:          m.last,
		FirstAnswer:   m.answered,
		Failures:      m.suspicion.failures(),
		Penalties:     m.penalties,
		Refused:       m.refused,
		Probes:        m.seq,
		ProbeFailures: m.failures,
	}
	if !m.state.Live {
		s.Until = m.due
	}
	return s
}
