package node

import (
	"runtime"
	"time"
)

// leadLocked reports whether whoever asks is to flush, who then must.
func (m *mux) leadLocked() bool {
	if m.flushing || len(m.gathered) == 0 || m.flights == maxFlights || m.writeErr != nil {
		return false
	}
	m.flushing = true
	return true
}

// flush writes what has gathered, and goes on while more does. If others are under
// way it gives them a chance to join first: those whose replies have just come are
// about to call again.
func (m *mux) flush(others bool) {
	if others {
		m.yield()
	}
	for {
		out := m.takeOff()
		err := m.write(out)
		if !m.landed(out, err) {
			return
		}
	}
}

// yield lets others run. In a process whose processors are all busy that takes
// long, and so does every time that a goroutine hands work to another: calls are
// then better off apart.
func (m *mux) yield() {
	begun := m.node.clock()
	runtime.Gosched()
	if time.Duration(m.node.clock()-begun) < slowYield {
		m.slow = 0
	} else if m.slow++; m.slow == slowYields {
		m.slow = 0
		m.node.shared.part(apartFor)
	}
}

// takeOff begins a flush.
func (m *mux) takeOff() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.gathered
	m.gathered, m.spare = m.spare[:0], nil
	m.lastCall[m.flights], m.begun[m.flights] = m.calls, m.node.clock()
	m.flights++
	m.unread += len(out)
	if len(m.waiting) > 0 {
		m.admitLocked()
	}
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

// landed ends a flush and reports whether there is another to be done. Whoever of
// reader and flusher ends last fails the calls, since only then it is known what
// the socket took.
func (m *mux) landed(out []byte, err error) (again bool) {
	m.mu.Lock()
	m.spare = m.keptLocked(out)
	m.flushing = false
	ended := m.readErr != nil
	if err != nil && !ended {
		m.writeErr = err
		m.over.Store(true)
	}
	again = err == nil && !ended && m.leadLocked()
	m.mu.Unlock()
	switch {
	case ended:
		m.fail()
	case err != nil:
		_ = m.conn.inner.Close() // the reader does the rest
	}
	return again
}
