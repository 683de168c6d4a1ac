package node

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/redisfluster/fluster/health"
)

// read hands replies to their callers until the connection ends.
func (m *mux) read() {
	for {
		o, reply, err := m.readOne()
		if err != nil {
			m.end(err)
			return
		}
		m.node.shared.weigh(m.replies.size)
		m.replies.size = 0
		m.done++
		if o.take(reply) {
			m.next++
		}
	}
}

// readOne reads a reply, and tells whose it is.
func (m *mux) readOne() (o *muxOp, reply any, err error) {
	if err := m.replies.await(); err != nil {
		return nil, nil, err
	}
	o = m.first()
	if o == nil {
		return nil, nil, &replyError{"nobody asked for it"}
	}
	if n, all := o.toCome(); all {
		m.replies.bulks.begin(n)
	}
	reply, err = m.replies.next()
	return o, reply, err
}

// first returns the call or batch whose reply is the next. It takes all that wait at once.
func (m *mux) first() *muxOp {
	if m.next == len(m.batch) {
		clear(m.batch)
		m.mu.Lock()
		m.batch, m.queue = m.queue, m.batch[:0]
		m.mu.Unlock()
		m.next = 0
		if len(m.batch) == 0 {
			return nil
		}
	}
	return m.batch[m.next]
}

// Read reads from the socket, for the reply reader, which has then used up all it
// had.
func (m *mux) Read(p []byte) (int, error) {
	due := m.beforeRead()
	if err := m.setDeadline(due); err != nil {
		return 0, err
	}
	for {
		n, err := m.guard.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && m.extend() {
			continue
		}
		m.handing.Store(n > 0)
		return n, err
	}
}

// beforeRead tells what has been answered, and flushes if that makes room for it: a
// reader that waits while commands do would wait for ever. It reports whether
// replies are due.
func (m *mux) beforeRead() (due bool) {
	m.tellPart()
	if m.done != m.timed {
		m.timed, m.lastLook = m.done, false
		now := m.node.clock()
		m.moved.Store(now)
		m.conn.replied.Store(now)
	}
	m.mu.Lock()
	m.tellLocked()
	m.arriveLocked()
	m.admitLocked()
	turn := m.leadLocked()
	due = m.calls != m.answered
	spent := m.spentLocked()
	m.mu.Unlock()
	if turn != 0 {
		m.flush(turn)
	}
	if spent {
		m.conn.sever(errStale)
	}
	return due
}

// tellPart tells who waits for a batch that a part of it has come.
func (m *mux) tellPart() {
	if m.next < len(m.batch) && m.batch[m.next].batch != nil {
		m.batch[m.next].batch.tell()
	}
}

// tellLocked tells what has been answered, and how many callers are likely to be back
// at once: those who got replies, but for as many as have called meanwhile.
func (m *mux) tellLocked() {
	m.handing.Store(false)
	if m.answered == m.done {
		return
	}
	got, back := m.done-m.answered, m.calls-m.told
	m.answered, m.told = m.done, m.calls
	m.woken, m.returning = got, got-min(got, back)
	m.node.shared.keepWarm(m.calls-m.answered, got)
	if m.calls == m.answered {
		m.node.shared.exit()
	}
}

// arriveLocked counts out the flushes that are answered.
func (m *mux) arriveLocked() {
	for f, ok := m.flights.land(m.answered); ok; f, ok = m.flights.land(m.answered) {
		took := m.moved.Load() - f.begun
		if m.node.shared.pace.dragged(took) && m.woken+m.calls-m.answered <= maxApartNow {
			m.node.shared.part(apartFor)
		}
		m.node.shared.pace.note(took)
	}
}

// setDeadline makes the next read end in time. It is set anew only now and then.
func (m *mux) setDeadline(due bool) error {
	limit, now := m.guard.readLimit, m.moved.Load()
	switch {
	case limit == 0 && m.limit.at == 0: // the greeting's is in force
		m.limit.at = now
		return m.guard.SetReadDeadline(time.Time{})
	case limit == 0 || due && m.limit.at > now:
		return nil // it is looked into when it passes
	}
	return m.limit.renew(m.node.clock(), limit, m.guard.SetReadDeadline)
}

// extend sets a new deadline after one has passed, and reports false if that was a
// stall. Before it does, it has the socket looked at once more: it may have been this
// process that stood still.
func (m *mux) extend() bool {
	now, limit := m.node.clock(), int64(m.guard.readLimit)
	at := now + limit
	m.mu.Lock()
	if m.calls != m.answered {
		at = m.stallLocked()
	} else {
		m.slimLocked()
	}
	m.mu.Unlock()
	if at <= now && !m.lastLook {
		m.lastLook = true
		at = now + limit/16
	}
	return at > now && m.limit.move(at, m.guard.SetReadDeadline) == nil
}

// stallLocked returns when the replies that are due are too late: when no whole one
// came for as long as a read may take, or for twice as long not all of one flush, so
// that neither a reply that trickles in nor many slow ones hold their callers for
// much longer than connections of their own would.
func (m *mux) stallLocked() int64 {
	limit := int64(m.guard.readLimit)
	at := m.moved.Load() + limit
	if m.flights.n > 0 {
		at = min(at, m.flights.all[0].begun+2*limit)
	}
	return at
}

// slimLocked gives back what a burst has left, while nothing is due.
func (m *mux) slimLocked() {
	if cap(m.spare) > modestBuffer {
		m.spare = nil
	}
	if cap(m.gathered) > modestBuffer && len(m.gathered) == 0 {
		m.gathered = nil
	}
	if len(m.queue) == 0 && m.next == len(m.batch) {
		m.queue, m.batch, m.next = nil, nil, 0
	}
}

// end is the reader's end.
func (m *mux) end(err error) {
	m.tellPart()
	m.mu.Lock()
	m.over.Store(true)
	m.readErr = err // before the close, which fails the flusher too
	m.admitLocked()
	flushing := m.flushing
	m.mu.Unlock()
	_ = m.conn.inner.Close()
	if !flushing {
		m.fail()
	}
}

// fail fails all calls. Reader and flusher have ended.
func (m *mux) fail() {
	m.mu.Lock()
	due := append(m.batch[m.next:len(m.batch):len(m.batch)], m.queue...)
	m.queue, m.batch, m.next = nil, nil, 0
	calls := m.calls - m.done
	if m.calls != m.answered {
		m.answered = m.calls
		m.node.shared.exit()
	}
	if m.held {
		m.node.shared.relieved.Store(false)
	}
	err := m.readErr
	if m.writeErr != nil {
		err = m.writeErr
	}
	m.mu.Unlock()
	defer m.node.shared.goroutines.Done()
	err = m.accuse(err, int(calls))
	m.node.forget(m.conn)
	left := m.guard.written.Load() - m.base
	for _, o := range due {
		o.fail(err, left)
	}
}

// accuse tells what broke the connection, if that is news, and returns what the
// calls fail with.
func (m *mux) accuse(err error, calls int) error {
	c := m.conn
	if !c.dead.CompareAndSwap(nil, &err) {
		return *c.dead.Load()
	}
	f := classify(err, inUse)
	if calls == 0 && f.class == health.Broken {
		return err // a server may drop an idle connection
	}
	if f.class == health.Timeout {
		c.sent.Store(m.moved.Load())
		m.stallEvidence(f, err, calls)
	}
	m.node.sink(context.Background(), c.evidence(f, err))
	return err
}
