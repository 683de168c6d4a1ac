package node

import (
	"context"
	"slices"
)

// muxWaiter is a caller who waits for room in a mux, or a batch that does.
type muxWaiter struct {
	batch *Batch        // nil for a caller
	size  int           // bytes of the caller's command
	ready chan struct{} // closed when the caller is let in
	in    bool
}

// fullLocked reports that callers are to wait before they add more.
func (m *mux) fullLocked() bool {
	return len(m.gathered)+m.promised >= maxGathered || m.calls-m.answered >= maxUnanswered
}

// awaitRoomLocked waits until a caller may add a command, or the connection is over,
// and returns an error if ctx ends before. Meanwhile mu is not held.
func (m *mux) awaitRoomLocked(ctx context.Context, size int) error {
	if m.over.Load() {
		return nil
	}
	w := &muxWaiter{size: size, ready: make(chan struct{})}
	m.waiting = append(m.waiting, w)
	m.mu.Unlock()
	select {
	case <-w.ready:
		m.mu.Lock()
		m.promised -= size
		return nil
	case <-ctx.Done():
		m.mu.Lock()
		m.giveUpLocked(w)
		return ctx.Err()
	}
}

// giveUpLocked is the end of a caller who waits no more. The room that was promised to
// him is the next one's.
func (m *mux) giveUpLocked(w *muxWaiter) {
	if w.in {
		m.promised -= w.size
		m.admitLocked()
	} else if i := slices.Index(m.waiting, w); i >= 0 {
		m.waiting = slices.Delete(m.waiting, i, i+1)
	}
}

// admitLocked lets in as many of those who wait as there is room for, and all once the
// connection is over: a batch is then still answered, or fails with the rest. A caller who
// comes in adds a command, whose flush lets in the next ones; or gives up, and does so
// himself. Whoever calls it is to have what comes in flushed, if need be.
func (m *mux) admitLocked() {
	over, n := m.over.Load(), 0
	for ; n < len(m.waiting) && (over || !m.fullLocked()); n++ {
		if w := m.waiting[n]; w.batch != nil {
			m.lined -= len(w.batch.text)
			m.absorbLocked(w.batch)
		} else {
			w.in = true
			m.promised += w.size
			close(w.ready)
		}
	}
	m.waiting = slices.Delete(m.waiting, 0, n)
}
