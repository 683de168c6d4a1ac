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
		reply, err := m.replies.next()
		if err != nil {
			m.end(err)
			return
		}
		o := m.take()
		if o == nil {
			m.end(&replyError{"nobody asked for it"})
			return
		}
		m.node.shared.weigh(m.replies.size)
		m.replies.size = 0
		m.done++
		o.complete(reply, nil)
	}
}

// take returns the call whose reply is the next. It takes all that wait at once.
func (m *mux) take() *muxOp {
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
	o := m.batch[m.next]
	m.next++
	return o
}

// Read reads from the socket, for the reply reader, which has then used up all it
// had.
func (m *mux) Read(p []byte) (int, error) {
	m.beforeRead()
	if err := m.setDeadline(); err != nil {
		return 0, err
	}
	for {
		n, err := m.guard.Read(p)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && m.extend() {
			continue
		}
		if n > 0 {
			now := m.node.clock()
			m.moved.Store(now)
			m.conn.replied.Store(now)
		}
		return n, err
	}
}

// beforeRead tells what has been answered, and flushes if that makes room for it: a
// reader that waits while commands do would wait for ever.
func (m *mux) beforeRead() {
	m.mu.Lock()
	m.answered = m.done
	m.arriveLocked()
	lead := m.leadLocked()
	leave := m.retired && m.calls == m.answered
	m.mu.Unlock()
	if lead {
		m.flush(true)
	}
	if leave {
		m.conn.sever(errStale)
	}
}

// arriveLocked counts out the flushes that are answered.
func (m *mux) arriveLocked() {
	for m.flights > 0 && m.lastCall[0] <= m.answered {
		copy(m.lastCall[:], m.lastCall[1:])
		m.flights--
	}
	if m.flights == 0 && !m.flushing {
		m.unread = 0
	}
}

// setDeadline makes the next read end in time. It is renewed only now and then.
func (m *mux) setDeadline() error {
	limit := m.guard.readLimit
	if limit == 0 {
		if m.deadline.IsZero() { // the greeting's
			m.deadline = time.Now()
			return m.guard.SetReadDeadline(time.Time{})
		}
		return nil
	}
	if now := time.Now(); m.deadline.Sub(now) < limit-limit/8 {
		m.deadline = now.Add(limit)
		return m.guard.SetReadDeadline(m.deadline)
	}
	return nil
}

// extend sets a new deadline after one has passed, and reports false if that was a
// stall: replies are due and nothing came in for too long.
func (m *mux) extend() bool {
	m.mu.Lock()
	due := m.calls != m.answered
	m.mu.Unlock()
	since := time.Now()
	if due {
		since = m.node.born.Add(time.Duration(m.moved.Load()))
	}
	m.deadline = since.Add(m.guard.readLimit)
	return time.Until(m.deadline) > 0 && m.guard.SetReadDeadline(m.deadline) == nil
}

// end is the reader's end.
func (m *mux) end(err error) {
	m.mu.Lock()
	m.over.Store(true)
	m.readErr = err // before the close, which fails the flusher too
	m.openLocked()
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
	err := m.readErr
	if m.writeErr != nil {
		err = m.writeErr
	}
	m.mu.Unlock()
	err = m.accuse(err, len(due))
	m.node.forget(m.conn)
	left := m.guard.written.Load() - m.base
	for _, o := range due {
		o.maybe = o.begins < left
		o.complete(nil, err)
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
