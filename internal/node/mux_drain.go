package node

import "time"

// drainLimit is how long Close waits for calls over connections without a time limit.
const drainLimit = time.Second

// drainCalls waits until the calls that are under way have ended, but no longer than
// a read may take: calls to a server that is frozen are then failed by whoever closes
// the connections. The node refuses new ones already.
func (n *Node) drainCalls() {
	s := &n.shared
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.closing.Store(true)
	if s.under.Load() == 0 {
		return
	}
	limit := time.Duration(s.readLimit.Load())
	if limit == 0 {
		limit = drainLimit
	}
	enough := time.NewTimer(limit)
	defer enough.Stop()
	select {
	case <-s.drained:
	case <-enough.C:
	}
}

// closedError is what a shared connection is refused with once the node is closed.
func (n *Node) closedError(closed bool) error {
	if !closed {
		return nil
	}
	return n.error("dial", ErrClosed, false)
}
