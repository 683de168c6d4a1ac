package node

import (
	"runtime"
	"time"
)

// leadLocked decides whether whoever asks is to flush, who then must, in the turn that
// it returns. Zero is that he need not: there is nothing to flush, or somebody else will.
//
// If others are under way he is to let them run first: those whose replies have just
// come are about to call again, and join in. Where that takes long, because all
// processors are busy, the last of those need not wait for it: he takes the turn over.
func (m *mux) leadLocked() (turn uint64) {
	complete := m.slow > 0 && m.returning == 0 && !m.handing.Load()
	takesOver := m.yielding && complete
	if !takesOver && !m.mayFlushLocked() {
		return 0
	}
	m.flushing, m.yielding = true, !complete && (m.calls-m.answered > 1 || m.woken > 1)
	m.turn++
	return m.turn
}

// mayFlushLocked reports that something has gathered, that nobody is about to flush it, and
// that one more flush may be unanswered.
func (m *mux) mayFlushLocked() bool {
	if len(m.gathered) == 0 || m.flushing || m.failedLocked() {
		return false
	}
	return m.flights.n < m.node.shared.pace.flights(m.calls-m.answered, len(m.gathered))
}

// smallLocked reports that a socket takes at once what is under way and what has gathered.
func (m *mux) smallLocked() bool { return m.flights.unread+len(m.gathered) <= ownWrite }

// flush writes what has gathered, and goes on while more does.
func (m *mux) flush(turn uint64) {
	for turn != 0 && m.ripe(turn) {
		out := m.takeOff()
		err := m.write(out)
		turn = m.landed(out, err)
	}
}

// flushApart is flush for who must not wait for a socket.
func (m *mux) flushApart(turn uint64) {
	if turn != 0 {
		go m.flush(turn)
	}
}

// ripe lets others run if it is better to flush after them, and reports false if one of
// them has taken the turn over.
func (m *mux) ripe(turn uint64) bool {
	m.mu.Lock()
	mine, yielding := m.turn == turn, m.yielding
	m.mu.Unlock()
	if !mine || !yielding {
		return mine
	}
	slow := m.yield()
	m.mu.Lock()
	defer m.mu.Unlock()
	if mine = m.turn == turn; mine {
		m.yielding = false
	}
	m.judgeYieldLocked(slow, mine)
	return mine
}

// yield lets others run, and reports whether that took long.
func (m *mux) yield() (slow bool) {
	begun := m.node.clock()
	runtime.Gosched()
	return time.Duration(m.node.clock()-begun) >= slowYield
}

// judgeYieldLocked takes note of a yield. If several in a row take long and nobody cuts
// them short, calls take connections of the pool for a while: in a process whose
// processors are all busy every hand-over takes long.
func (m *mux) judgeYieldLocked(slow, whole bool) {
	switch {
	case !slow:
		m.slow = 0
	case !whole:
		m.slow = 1
	case m.slow == slowYields-1:
		m.slow = 1
		m.node.shared.part(apartFor)
	default:
		m.slow++
	}
}

// takeOff begins a flush.
func (m *mux) takeOff() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.gathered
	m.gathered, m.spare = m.spare[:0], nil
	m.flights.add(flight{m.calls, m.node.clock(), len(out)})
	m.admitLocked()
	return out
}

func (m *mux) write(p []byte) error {
	if limit := m.guard.writeLimit; limit > 0 {
		if err := m.writeLimit.renew(m.node.clock(), limit, m.guard.SetWriteDeadline); err != nil {
			return err
		}
	}
	_, err := m.guard.Write(p)
	return err
}

// keptLocked returns a buffer that was flushed to be used again, or none if it is
// much larger than what it is used for. A burst must not be remembered for ever.
func (m *mux) keptLocked(out []byte) []byte {
	const patience = 64
	switch {
	case cap(out) > keptBuffer:
		return nil
	case cap(out) <= modestBuffer || len(out) > cap(out)/8:
		m.roomy = 0
	case m.roomy == patience:
		m.roomy = 0
		return nil
	default:
		m.roomy++
	}
	return out[:0]
}

// landed ends a flush and returns the turn of another that is to be done. Whoever of
// reader and flusher ends last fails the calls, since only then it is known what
// the socket took.
func (m *mux) landed(out []byte, err error) (turn uint64) {
	m.mu.Lock()
	m.spare = m.keptLocked(out)
	m.flushing = false
	ended := m.readErr != nil
	if err != nil && !ended {
		m.writeErr = err
		m.over.Store(true)
	}
	if err == nil && !ended {
		turn = m.leadLocked()
	}
	m.mu.Unlock()
	switch {
	case ended:
		m.fail()
	case err != nil:
		_ = m.conn.inner.Close() // the reader does the rest
	}
	return turn
}
