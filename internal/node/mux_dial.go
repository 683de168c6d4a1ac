package node

import (
	"context"
	"errors"

	"github.com/gomodule/redigo/redis"
)

// sharedMux returns the shared connection, of the present generation. If there is
// none it waits for one to be dialed.
func (n *Node) sharedMux(ctx context.Context) (*mux, error) {
	was := n.shared.mux.Load()
	if was != nil && n.current(was) {
		return was, nil
	}
	d := n.dialMux(was)
	select {
	case <-d.done:
		return d.mux, d.err
	case <-ctx.Done():
		return nil, n.error("dial", ctx.Err(), false)
	}
}

// current reports whether m, which was the shared connection just now, takes commands.
// One of an older generation, of a node that is closed, or that has given a reply that
// tells against it, is retired.
func (n *Node) current(m *mux) bool {
	if m.over.Load() {
		return false
	}
	s := n.standing.Load() // after the mux was: Close looks the other way round
	if s.closed || m.conn.generation != s.Generation || m.conn.spoiled.Load() != nil {
		m.retire()
		return false
	}
	return true
}

// errNotOurs says that the node's connections are not dialed by this package.
var errNotOurs = errors.New("connections are a user's own")

// muxDial is a shared connection that is being dialed.
type muxDial struct {
	done chan struct{} // closed when the other fields are set
	mux  *mux
	err  error
}

// dialMux dials a shared connection in the place of was, unless somebody does so
// already or has done it.
func (n *Node) dialMux(was *mux) *muxDial {
	s := &n.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dialing != nil {
		return s.dialing
	}
	d := &muxDial{done: make(chan struct{})}
	if m := s.mux.Load(); m != was || s.closed {
		d.mux, d.err = m, n.closedError(s.closed)
		close(d.done)
		return d
	}
	s.dialing = d
	s.goroutines.Go(func() { n.finishDial(d) })
	return d
}

// finishDial dials for nobody in particular: it ends when the node is found silent
// and by the dial's own limit, not with any caller.
func (n *Node) finishDial(d *muxDial) {
	rc, err := n.dial(context.Background())
	if err == nil {
		d.mux, err = n.newMux(rc)
	}
	d.err = err
	s := &n.shared
	s.mu.Lock()
	if d.mux != nil {
		s.mux.Store(d.mux)
	}
	s.dialing = nil
	s.mu.Unlock()
	close(d.done)
}

// newMux makes a connection the shared one. Who calls it is one of those whom Close
// waits for.
func (n *Node) newMux(rc redis.Conn) (*mux, error) {
	c, err := n.takeOver(rc)
	if err != nil {
		return nil, err
	}
	m := &mux{node: n, conn: c, guard: c.guard, base: c.guard.written.Load()}
	m.moved.Store(n.clock())
	m.limit.born, m.writeLimit.born = n.born, n.born
	m.replies = newReplyReader(m, c.guard.replies.limit, readAhead)
	n.shared.goroutines.Add(1) // for whoever fails the calls
	go m.read()
	return m, nil
}

// takeOver makes a connection that was just dialed one whose replies this package
// reads itself.
func (n *Node) takeOver(rc redis.Conn) (*conn, error) {
	c := rc.(*conn)
	if c.guard == nil { // whoever has the pool has changed its dial function
		n.shared.possible.Store(false)
		_ = c.Close()
		return nil, errNotOurs
	}
	if err := c.guard.stale(c.consumed.Load()); err != nil { // redigo's buffer may hold it
		_ = c.Close()
		return nil, n.error("dial", err, false)
	}
	c.guard.unscanned = true
	n.shared.readLimit.Store(int64(c.guard.readLimit))
	return c, nil
}
