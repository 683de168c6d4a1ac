package node

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/gomodule/redigo/redis"
)

// Which commands go over the shared connection.
const (
	maxSharedSize = 16 << 10 // bytes; larger ones would hold the others up
	maxSharedArgs = 256      // arguments, whose replies may come to as many

	// minSharers is how many calls are under way at once before they share a
	// connection: below, one of the pool for each costs a wake-up less.
	minSharers = 3
	// shareFor is for how many calls they go on sharing, although fewer than that
	// are under way.
	shareFor = 64
	// apartFor is for how many calls they do not share after sharing has turned out
	// to be slow, and maxApart how many calls may be under way then: a connection
	// for each of more would be slower still.
	apartFor = 1024
	maxApart = 64
	// heavyReply is how many bytes a reply may have that holds nobody up.
	heavyReply = 32 << 10
	maxPart    = 128 // calls that one heavy reply keeps from sharing, at most
	// maxBeside is how many calls may pass the shared connection by, over the pool,
	// while it is held up.
	maxBeside = 8
	// maxMuxes is how many shared connections a call tries that turn out to be over.
	maxMuxes = 3
)

// sharing is what a node's callers share. Its zero value is ready.
type sharing struct {
	possible atomic.Bool         // the library dials this node's connections
	mux      atomic.Pointer[mux] // nil until it is needed; may be over
	under    atomic.Int32        // calls under way
	beside   atomic.Int32        // of those, calls that passed a mux by that is held up
	warm     atomic.Int32        // calls that are to share whatever is under way
	apart    atomic.Int32        // calls that are not to share

	mu      sync.Mutex // protects following fields
	dialing *muxDial   // nil if nobody dials
}

// Do runs one command over the connection that all callers of Do share, or, while
// few are under way, over one of the pool. It reports shared false, having done
// nothing, if the command cannot be run so: the pool's connections are a user's
// own, or the command is large. It is for commands that leave no state on a
// connection and do not wait on the server.
//
// It returns when ctx ends, with its error, and leaves the connection good.
func (n *Node) Do(ctx context.Context, cmd string, args []any) (reply any, shared bool, err error) {
	if _, own := ctx.(readLimited); own || !n.shared.possible.Load() || len(args) > maxSharedArgs {
		return nil, false, nil // a limit of one call's own is not for all who share
	}
	plain, size := plainArgs(args)
	if size > maxSharedSize {
		return nil, false, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, true, n.error(cmd, err, false)
	}
	n.shared.enter()
	defer n.shared.under.Add(-1)
	if n.standing.Load().refusal() != nil || !n.shared.sociable() {
		reply, err = n.doPooled(ctx, cmd, plain)
		return reply, true, err
	}
	reply, err = n.doShared(ctx, cmd, plain)
	return reply, true, err
}

// enter counts a call.
func (s *sharing) enter() {
	if s.under.Add(1) >= minSharers {
		if s.warm.Load() != shareFor {
			s.warm.Store(shareFor)
		}
	} else if s.warm.Load() > 0 {
		s.warm.Add(-1)
	}
}

// sociable reports whether a call is to share.
func (s *sharing) sociable() bool {
	if s.apart.Load() > 0 && s.under.Load() <= maxApart {
		s.apart.Add(-1)
		return false
	}
	return s.warm.Load() > 0
}

// part keeps some more calls from sharing.
func (s *sharing) part(calls int) {
	s.apart.Store(min(max(s.apart.Load(), 0)+int32(calls), apartFor))
}

// weigh takes note of a reply of n bytes. One that kept others waiting for as long
// as hundreds of small ones would is likely to be followed by its like.
func (s *sharing) weigh(n int) {
	if n >= heavyReply {
		s.part(min(n/(heavyReply/4), maxPart))
	}
}

// doPooled runs a command over a connection of the pool.
func (n *Node) doPooled(ctx context.Context, cmd string, args []any) (any, error) {
	rc, err := n.pool.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	defer rc.Close()
	return redis.DoContext(rc, ctx, cmd, args...)
}

// doShared runs a command over the shared connection; over the pool's while that is
// held up, or does not last.
func (n *Node) doShared(ctx context.Context, cmd string, args []any) (any, error) {
	for range maxMuxes {
		m, err := n.sharedMux(ctx)
		if errors.Is(err, errNotOurs) {
			break
		}
		if err != nil {
			return nil, err
		}
		if m.heldUp() && n.shared.passBy() {
			defer n.shared.beside.Add(-1)
			break
		}
		reply, err := m.do(ctx, cmd, args)
		if err != errMuxOver { //nolint:errorlint // never wrapped
			return reply, err
		}
	}
	return n.doPooled(ctx, cmd, args)
}

// passBy counts a call that passes the shared connection by, if it may.
func (s *sharing) passBy() bool {
	if s.beside.Add(1) <= maxBeside {
		return true
	}
	s.beside.Add(-1)
	return false
}

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

// current reports whether m takes commands. One of an older generation, or that
// has given a reply that tells against it, is retired.
func (n *Node) current(m *mux) bool {
	if m.over.Load() {
		return false
	}
	if m.conn.generation != n.standing.Load().Generation || m.conn.spoiled.Load() != nil {
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
	if m := s.mux.Load(); m != was {
		d.mux = m
		close(d.done)
		return d
	}
	s.dialing = d
	go n.finishDial(d)
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

// newMux makes a connection the shared one.
func (n *Node) newMux(rc redis.Conn) (*mux, error) {
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
	m := &mux{node: n, conn: c, guard: c.guard, base: c.guard.written.Load()}
	m.replies = newReplyReader(m)
	go m.read()
	return m, nil
}

// judgeShared hands on what an error reply over the shared connection says.
func (c *conn) judgeShared(ctx context.Context, cmd string, err error) {
	c.judge(call{conn: c, op: cmd, ctx: ctx}, err)
}

// stallEvidence is what a stall says of the node: as many time-outs as calls that
// it made fail, each as if over a connection of its own.
func (m *mux) stallEvidence(f finding, err error, calls int) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	for range min(calls, maxStalled) - 1 {
		ev := m.conn.evidence(f, err)
		ev.Conn = m.node.nextID.Add(1)
		m.node.sink(over, ev)
	}
}

// maxStalled bounds how many calls of one stall are told.
const maxStalled = 16
