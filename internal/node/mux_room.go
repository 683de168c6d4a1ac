package node

import (
	"container/list"
	"context"
)

// linedCall is a call that waits for room in a mux. Its command is encoded when there is,
// without waking its caller, whose arguments are not touched once he has left the line.
type linedCall struct {
	op    *muxOp
	cmd   string
	args  []any
	place *list.Element // in the line, whose mux's mu protects it; nil if it is not there
}

// fullLocked reports that whoever comes is to stand in line. Those who stand there are
// given room before anybody else hears of it, so there is none while somebody does.
func (m *mux) fullLocked() bool {
	return len(m.gathered) >= maxGathered || m.calls-m.answered >= maxUnanswered
}

// lineUpLocked puts a call at the end of the line.
func (m *mux) lineUpLocked(o *muxOp, cmd string, args []any) *linedCall {
	l := &linedCall{op: o, cmd: cmd, args: args}
	l.place = m.waiting.PushBack(l)
	return l
}

// waitInLine is Call.Wait for a call in line. It returns errMuxOver if the connection takes
// no more commands and this one has not come in.
func (m *mux) waitInLine(ctx context.Context, l *linedCall) (any, error) {
	select {
	case <-l.op.ended:
		return m.result(ctx, l.op, l.cmd)
	case <-ctx.Done():
	}
	if m.stepOut(l) {
		l.op.release()
		return nil, m.node.error(l.cmd, ctx.Err(), false)
	}
	return Call{m, l.op}.Wait(ctx, l.cmd)
}

// stepOut takes a call out of the line, and reports false if it does not stand there any
// more.
func (m *mux) stepOut(l *linedCall) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.place == nil {
		return false
	}
	m.waiting.Remove(l.place)
	l.place = nil
	return true
}

// admitLocked lets in as many of those who wait as there is room for, and all once the
// connection has failed: a batch then fails with the rest, and a call goes elsewhere.
// Whoever calls it is to have what comes in flushed, if need be.
func (m *mux) admitLocked() {
	failed := m.failedLocked()
	for e := m.waiting.Front(); e != nil && (failed || !m.fullLocked()); e = m.waiting.Front() {
		switch w := m.waiting.Remove(e).(type) {
		case *Batch:
			m.steppedOutLocked(w)
			m.absorbLocked(w)
		case *linedCall:
			w.place = nil
			if failed {
				w.op.complete(nil, errMuxOver)
			} else {
				m.enqueueLocked(w.op, w.cmd, w.args)
			}
		}
	}
}

// steppedOutLocked notes that a batch is not in the line any more.
func (m *mux) steppedOutLocked(b *Batch) {
	b.place = nil
	m.lined -= len(b.text)
}

// failedLocked reports that nothing will be written any more.
func (m *mux) failedLocked() bool { return m.readErr != nil || m.writeErr != nil }

// sendAwayLocked has the calls in line go elsewhere.
func (m *mux) sendAwayLocked() {
	var next *list.Element
	for e := m.waiting.Front(); e != nil; e = next {
		next = e.Next()
		if l, ok := e.Value.(*linedCall); ok {
			m.waiting.Remove(e)
			l.place = nil
			l.op.complete(nil, errMuxOver)
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
	m.mu.Unlock()
	b.fail(cause, 0)
	return true
}
