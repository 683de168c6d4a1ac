package node

import (
	"container/list"
	"context"
)

// muxWaiter is a caller who waits for room in a mux.
type muxWaiter struct {
	size  int           // bytes of his command
	ready chan struct{} // closed when he is let in
	in    bool
}

// fullLocked reports that callers are to wait before they add more.
func (m *mux) fullLocked() bool {
	return len(m.gathered)+m.promised >= maxGathered || m.calls-m.answered >= maxUnanswered
}

// awaitRoomLocked waits until a caller may add a command, or the connection is over,
// and returns an error if ctx ends before. Meanwhile mu is not held. If then he adds
// nothing, passOnAndUnlock must follow.
func (m *mux) awaitRoomLocked(ctx context.Context, size int) error {
	if m.over.Load() {
		return nil
	}
	w := &muxWaiter{size: size, ready: make(chan struct{})}
	place := m.waiting.PushBack(w)
	m.mu.Unlock()
	select {
	case <-w.ready:
		m.mu.Lock()
		m.promised -= w.size
		return nil
	case <-ctx.Done():
		m.mu.Lock()
		m.giveUpLocked(place)
		return ctx.Err()
	}
}

// giveUpLocked is the end of a caller who waits no more.
func (m *mux) giveUpLocked(place *list.Element) {
	if w := place.Value.(*muxWaiter); w.in {
		m.promised -= w.size
	} else {
		m.waiting.Remove(place)
	}
}

// passOnAndUnlock gives the room of a caller who does not use it to the next ones, and has
// them flushed.
func (m *mux) passOnAndUnlock() {
	m.admitLocked()
	turn := m.leadLocked()
	m.mu.Unlock()
	m.flushApart(turn)
}

// admitLocked lets in as many of those who wait as there is room for, and all once the
// connection has failed: a batch then fails with the rest. A caller who comes in adds a
// command, whose flush lets in the next ones; or passes his room on. Whoever calls it is to
// have what comes in flushed, if need be.
func (m *mux) admitLocked() {
	failed := m.failedLocked()
	for e := m.waiting.Front(); e != nil && (failed || !m.fullLocked()); e = m.waiting.Front() {
		switch w := m.waiting.Remove(e).(type) {
		case *Batch:
			m.steppedOutLocked(w)
			m.absorbLocked(w)
		case *muxWaiter:
			m.promised += w.size
			w.letIn()
		}
	}
}

func (w *muxWaiter) letIn() {
	w.in = true
	close(w.ready)
}

// steppedOutLocked notes that a batch is not in the line any more.
func (m *mux) steppedOutLocked(b *Batch) {
	b.place = nil
	m.lined -= len(b.text)
}

// failedLocked reports that nothing will be written any more.
func (m *mux) failedLocked() bool { return m.readErr != nil || m.writeErr != nil }

// sendAwayLocked has the callers in line go elsewhere. They take no room.
func (m *mux) sendAwayLocked() {
	var next *list.Element
	for e := m.waiting.Front(); e != nil; e = next {
		next = e.Next()
		if w, ok := e.Value.(*muxWaiter); ok {
			m.waiting.Remove(e)
			w.size = 0
			w.letIn()
		}
	}
}

// withdraw takes a batch out of the line, if it stands there, and reports whether it is out.
func (m *mux) withdraw(b *Batch, cause error) bool {
	m.mu.Lock()
	if b.place == nil {
		defer m.mu.Unlock()
		return b.out
	}
	m.waiting.Remove(b.place)
	m.steppedOutLocked(b)
	b.out = true
	spent := m.spentLocked()
	m.mu.Unlock()
	for i := range b.ops {
		b.ops[i].complete(nil, cause)
	}
	if spent {
		m.conn.sever(errStale)
	}
	return true
}
