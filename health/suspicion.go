package health

import (
	"slices"
	"time"
)

const (
	// suspicionWindow is how long a fault seen in traffic counts. Faults
	// further apart do not add up.
	suspicionWindow = time.Second

	// incidentSpan is how long one incident lasts: connections that break
	// within it count once, however many they are.
	incidentSpan = 10 * time.Millisecond
)

// suspicion is what stands against a live node and is not enough, yet, to
// penalize it. It is pure bookkeeping: what a probe has to say to it is the
// machine's business.
type suspicion struct {
	need int // how much is enough

	accused   Evidence    // the newest fault that counts; its Write is set if any fault's was
	soft      []time.Time // soft failures in traffic, oldest first
	probes    int         // failed probes in a row
	incidents []time.Time // broken connections on which no probe has had its say
	timeouts  []timeout   // one for each connection, oldest first
	asked     time.Time   // since when a probe is to say whether the time-outs mean silence; zero if there are none
	failed    time.Time   // when a probe last failed; zero if none has since the last answer
}

// timeout is a command that was not answered in time.
type timeout struct {
	conn     uint64
	sent, at time.Time
	cause    error
}

// clear forgets everything: the node has answered.
func (s *suspicion) clear() { *s = suspicion{need: s.need} }

// accuse notes the fault that the next penalty would be for.
func (s *suspicion) accuse(ev Evidence) {
	ev.Write = ev.Write || s.accused.Write
	s.accused = ev
}

// addTimeout notes that a command on ev.Conn was not answered, unless the node
// has replied to somebody since it was sent. More connections than needed are
// not kept; the time since which a probe is asked stands, all the same.
func (s *suspicion) addTimeout(now time.Time, ev Evidence, replied time.Time) {
	s.timeouts = slices.DeleteFunc(s.timeouts, func(t timeout) bool { return t.conn == ev.Conn })
	if ev.Sent.Before(replied) {
		return
	}
	if len(s.timeouts) == s.need {
		s.timeouts = s.timeouts[1:]
	}
	s.timeouts = append(s.timeouts, timeout{ev.Conn, ev.Sent, now, ev.Cause})
	s.accuse(ev)
	if s.asked.IsZero() {
		s.asked = now
	}
}

// prune drops what is too old to count, and the time-outs that a reply has
// proved harmless.
func (s *suspicion) prune(now, replied time.Time) {
	old := func(at time.Time) bool { return now.Sub(at) > suspicionWindow }
	s.soft = slices.DeleteFunc(s.soft, old)
	s.incidents = slices.DeleteFunc(s.incidents, old)
	s.timeouts = slices.DeleteFunc(s.timeouts, func(t timeout) bool {
		return old(t.at) || t.sent.Before(replied)
	})
	if len(s.timeouts) == 0 {
		s.asked = time.Time{}
	}
}

// failures is the number of soft failures in a row.
func (s *suspicion) failures() int { return len(s.soft) + s.probes }
