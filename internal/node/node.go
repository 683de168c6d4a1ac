package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/health"
)

// maxDials bounds how many callers dial one node at a time, so that a node that
// comes back is not met by all of them at once. Who has waited for slotWait dials
// all the same: a user's dial function may hang for ever, and must not keep others
// from a node that lives.
const (
	maxDials = 8
	slotWait = 2 * time.Second
)

// Sink takes what a node's connections learn of it. It may block for as long
// as it takes to settle an open question, but not past the end of ctx.
type Sink func(ctx context.Context, ev health.Evidence)

// Config says what a node is made of.
type Config struct {
	Name, Addr string
	// Pool is wrapped by New and is the node's from then on.
	Pool *redis.Pool
	// Sink gets the evidence.
	Sink Sink
	// Timeout bounds the PING that ends a dial of the pool's own function.
	Timeout time.Duration
}

// Node is one Redis server and its pool. Its methods are safe for concurrent use.
type Node struct {
	// Immutable after New.
	name, addr string
	pool       *redis.Pool
	dialPool   func(context.Context) (redis.Conn, error) // the pool's own dial function
	sink       Sink
	timeout    time.Duration
	born       time.Time // what connections count their time from

	standing atomic.Pointer[standing]
	nextID   atomic.Uint64
	local    atomic.Uint64 // dials that failed for want of our own machine's resources
	shared   sharing       // what many callers share

	mu     sync.Mutex // protects following fields
	closed bool       // set together with a closed standing
	conns  map[*conn]struct{}
	gone   int64      // when any connection that left conns last read a reply
	probe  redis.Conn // kept between probes; not among conns
}

// standing is the node's state as its connections act on it. It is replaced,
// never changed.
type standing struct {
	health.State
	closed bool
	// over ends when nobody should wait for the node under this standing any more.
	over context.Context
	end  context.CancelCauseFunc
	// turns has one for each caller who dials under this standing.
	turns *turns
}

// refusal says why the node must not be dialed, if it must not.
func (s *standing) refusal() error {
	switch {
	case s.closed:
		return ErrClosed
	case !s.Live && s.Silent:
		return &refusedError{s.Cause}
	}
	return nil
}

// refusedError is a dial or a call that was not waited for, since the node is
// known to be silent.
type refusedError struct{ cause error }

func (e *refusedError) Error() string { return fmt.Sprintf("in the penalty box: %v", e.cause) }
func (e *refusedError) Unwrap() error { return e.cause }

// New wraps cfg.Pool, which must be one that Claim was granted for. It does no
// I/O and starts no goroutine. What the pool's fields mean stays as it is in
// redigo; Dial, DialContext and TestOnBorrow are replaced by functions around them.
func New(cfg Config) *Node {
	n := &Node{
		name: cfg.Name, addr: cfg.Addr, pool: cfg.Pool, sink: cfg.Sink, timeout: cfg.Timeout,
		dialPool: dialFunc(cfg.Pool),
		born:     time.Now(),
		conns:    make(map[*conn]struct{}),
	}
	n.standing.Store(newStanding(health.State{Live: true}, false))
	n.shared.possible.Store(built(cfg.Pool))
	n.shared.drained = make(chan struct{})
	n.pool.Dial, n.pool.DialContext = nil, n.dial
	n.pool.TestOnBorrow = n.testOnBorrow(n.pool.TestOnBorrow)
	return n
}

func newStanding(st health.State, closed bool) *standing {
	s := &standing{State: st, closed: closed, turns: newTurns()}
	s.over, s.end = context.WithCancelCause(context.Background())
	return s
}

// dialFunc returns how the pool dials, as redigo would choose it.
func dialFunc(p *redis.Pool) func(context.Context) (redis.Conn, error) {
	if p.DialContext != nil {
		return p.DialContext
	}
	dial := p.Dial
	return func(context.Context) (redis.Conn, error) { return dial() }
}

// Pool returns the node's pool.
func (n *Node) Pool() *redis.Pool { return n.pool }

// LocalFaults returns how many dials failed for want of something on our own
// machine: descriptors, ports, memory.
func (n *Node) LocalFaults() uint64 { return n.local.Load() }

// SetState makes st what the node's connections act on from now. It does no
// I/O; calls come in the order of the changes. Sever is to follow.
func (n *Node) SetState(st health.State) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed {
		return
	}
	was := n.standing.Load()
	next := &standing{State: st, over: was.over, end: was.end, turns: was.turns}
	if was.refusal() != nil && next.refusal() == nil {
		next = newStanding(st, false)
	}
	n.standing.Store(next)
}

// Sever closes the connections of older generations that are idle, which nobody
// will use again and a full server wants back. If the node is out and silent, it
// also cuts loose whoever waits for it: it ends the dials, and closes the
// connections that are lent.
func (n *Node) Sever() {
	s := n.standing.Load()
	cause := s.refusal()
	if m := n.shared.mux.Load(); m != nil {
		n.current(m)
	}
	if cause == nil {
		for _, c := range n.takeOlder(s.Generation, false) {
			c.sever(errStale)
		}
		return
	}
	s.end(cause)
	for _, c := range n.takeOlder(s.Generation, true) {
		c.sever(cause)
	}
}

// takeOlder takes connections out of the register that were dialed before the node
// was of generation gen: those that are idle, and those that are lent if asked to.
func (n *Node) takeOlder(gen uint64, lent bool) []*conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	var older []*conn
	for c := range n.conns {
		if (c.generation < gen || n.closed) && (lent || !c.lent.Load()) {
			older = append(older, c)
			n.removeLocked(c)
		}
	}
	return older
}

// Close refuses every later dial, borrow and call with ErrClosed. It waits for the
// calls of Do that are under way, but no longer than one reply may take; then it closes
// every connection, also those that are lent, and waits for the node's own goroutines.
// It does not close the pool: redigo's Pool.Close panics those who wait for a connection
// with a context that ends. It is idempotent.
func (n *Node) Close() {
	n.mu.Lock()
	n.closed = true
	was := n.standing.Swap(closedStanding)
	probe := n.probe
	n.probe = nil
	n.mu.Unlock()

	was.end(ErrClosed)
	if m := n.shared.mux.Load(); m != nil {
		m.retire()
	}
	n.drainCalls()
	n.Sever()
	if probe != nil {
		_ = probe.Close()
	}
	n.shared.goroutines.Wait()
}

var closedStanding = newStanding(health.State{}, true)

// register makes c one of the node's connections. It fails if c came too late:
// the node was closed, or was found silent, while c was dialed.
func (n *Node) register(c *conn) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.standing.Load()
	if err := s.refusal(); err != nil {
		return err
	}
	if c.generation < s.Generation {
		return errStale
	}
	n.conns[c] = struct{}{}
	return nil
}

func (n *Node) forget(c *conn) {
	n.mu.Lock()
	n.removeLocked(c)
	n.mu.Unlock()
}

func (n *Node) removeLocked(c *conn) {
	n.gone = max(n.gone, c.replied.Load())
	delete(n.conns, c)
}

// lastReply returns when the newest of the commands was sent that have been answered,
// over whichever connection.
func (n *Node) lastReply() time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	last := n.gone
	for c := range n.conns {
		last = max(last, c.replied.Load())
	}
	return n.born.Add(time.Duration(last))
}

// clock returns the time as connections count it.
func (n *Node) clock() int64 { return int64(time.Since(n.born)) }

// error makes err an Error of this node.
func (n *Node) error(op string, err error, maybe bool) error {
	return &Error{Node: n.name, Addr: n.addr, Op: op, Err: err, maybe: maybe}
}

// testOnBorrow returns the pool's borrow check: the node's own, which costs no
// round trip, and then the user's, if there is one.
func (n *Node) testOnBorrow(user func(redis.Conn, time.Time) error) func(redis.Conn, time.Time) error {
	return func(rc redis.Conn, lastUsed time.Time) error {
		if err := n.usable(rc); err != nil {
			return err
		}
		if user != nil {
			return user(rc, lastUsed)
		}
		return nil
	}
}

func (n *Node) usable(rc redis.Conn) error {
	c, ok := rc.(*conn)
	if !ok {
		return errors.New("connection is not of this node")
	}
	c.lent.Store(true) // before the standing is looked at: Sever looks the other way round
	s := n.standing.Load()
	if s.closed {
		return ErrClosed
	}
	if c.generation != s.Generation {
		return errStale
	}
	if c.guard != nil {
		return c.guard.stale(c.consumed.Load())
	}
	return nil
}
