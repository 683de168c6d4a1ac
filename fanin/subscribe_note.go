package fanin

import "time"

// What the links tell the subscription.

// due returns what a link is to send, and whether anything is wanted of its node.
func (s *Subscription) due(node string, now time.Time) (on, off []topic, wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.book.needs(node) {
		return nil, nil, false
	}
	on, off = s.book.due(node, now)
	return on, off, true
}

// noteFault keeps why there is no connection to a node.
func (s *Subscription) noteFault(node string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[node] = err
}

// noteOpen notes that there is one.
func (s *Subscription) noteOpen(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.open(node)
}

// noteAnswer notes that what was sent to a node at that time was answered.
func (s *Subscription) noteAnswer(node string, sent time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.book.answered(node, sent)
}

// noteConfirmed notes a confirmation. When no more are due, it tells what is restored.
func (s *Subscription) noteConfirmed(node string, t topic) {
	now := time.Now()
	s.mu.Lock()
	var gap Gap
	told := false
	if s.book.confirm(node, t) {
		delete(s.faults, node)
		gap, told = s.book.restored(node, now)
		s.turnLocked()
	}
	s.mu.Unlock()
	if told {
		s.inbox.put(gap, now)
	}
}

// deliver hands on a message, unless nobody wants it any more, after the gap that it
// ends, if there is one.
func (s *Subscription) deliver(m Message) {
	now := time.Now()
	s.mu.Lock()
	wanted := s.book.topics[m.topic()] != nil
	gap, told := s.book.restored(m.Node, now)
	s.mu.Unlock()
	if told {
		s.inbox.put(gap, now)
	}
	if wanted {
		s.inbox.put(m, now)
	}
}

// noteLost notes that the connection to a node is gone, and tells what may be missing
// from now on.
func (s *Subscription) noteLost(node string, cause error) {
	now := time.Now()
	s.mu.Lock()
	ended, first := s.book.restored(node, now)
	gap, told := s.book.lost(node, cause)
	s.faults[node] = cause
	s.turnLocked()
	s.mu.Unlock()
	if s.ctx.Err() != nil { // the end of all
		return
	}
	if first {
		s.inbox.put(ended, now)
	}
	if told {
		s.inbox.put(gap, now)
	}
}
