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
	maxSharedSize = 64 << 10 // bytes; larger ones would hold the others up
	maxSharedArgs = 256      // arguments, whose replies may come to as many

	// crowd is how many calls under way at once are better off sharing a connection:
	// for fewer, one for each costs a wake-up less. What counts is whether they mostly
	// are that many: the warmth at which they share, and the highest.
	crowd   = 3
	warm    = 64
	warmest = 128
	// apartFor is for how many calls they do not share after sharing has turned out
	// to be slow, and maxApart how many calls may be under way then: a connection
	// for each of more would be slower still.
	apartFor = 1024
	maxApart = 64
	// heavyReply is how many bytes a reply may have that holds nobody up.
	heavyReply = 32 << 10
	maxPart    = 128 // calls that one heavy reply keeps from sharing, at most
	// maxBeside is how many calls may pass the shared connection by, over the pool,
	// while it is held up and so was the one before.
	maxBeside = 8
	// maxMuxes is how many shared connections a call tries that turn out to be over.
	maxMuxes = 3
)

// sharing is what the callers of a node's Do share. Its zero value with drained is
// ready.
type sharing struct {
	possible atomic.Bool         // the library dials this node's connections
	mux      atomic.Pointer[mux] // nil until it is needed; may be over
	under    atomic.Int32        // calls under way, those over one mux as one
	beside   atomic.Int32        // of those, calls that passed a mux by that is held up
	warmth   atomic.Int32        // how often of late calls were a crowd
	apart    atomic.Int32        // calls that are not to share
	relieved atomic.Bool         // a mux that was held up has retired, and is not over yet
	pace     pace                // of the flights of every mux
	bulky    atomic.Int32        // batches that are not to
	passed   atomic.Int64        // when one last passed a mux by, by the node's clock
	lanes    lanes

	readLimit  atomic.Int64   // of the connections, as far as one was dialed
	goroutines sync.WaitGroup // that dial and use shared connections
	closing    atomic.Bool
	drained    chan struct{} // closed when no call is under way any more, once closing
	drain      sync.Once

	mu      sync.Mutex // protects following fields
	dialing *muxDial   // nil if nobody dials
	closed  bool       // nobody begins to
}

// Do runs one command over the connection that all callers of Do share, or, while
// few are under way, over one that it has for itself meanwhile. It reports shared
// false, having done nothing, if the command cannot be run so: the pool's connections
// are a user's own, or the command is large. It is for commands that leave no state on
// a connection and do not wait on the server.
//
// It returns when ctx ends, with its error.
func (n *Node) Do(ctx context.Context, cmd string, args []any) (reply any, shared bool, err error) {
	if !n.shared.possible.Load() || len(args) > maxSharedArgs {
		return nil, false, nil
	}
	if LimitsReads(ctx) {
		return nil, false, nil // a limit of one call's own is not for all who share
	}
	plain, size := plainArgs(args)
	if size > maxSharedSize {
		return nil, false, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, true, n.error(cmd, err, false)
	}
	if n.standing.Load().refusal() != nil {
		reply, err = n.doPooled(ctx, cmd, plain)
		return reply, true, err
	}
	n.shared.enter()
	reply, err = n.doCounted(ctx, size, cmd, plain)
	n.shared.exit()
	return reply, true, err
}

// Begin begins what Do would do, if calls share a connection now, and this one can
// without waiting and without a look at arguments of the caller's own types. If not it
// reports false, having done nothing. Ctx has not ended.
func (n *Node) Begin(ctx context.Context, cmd string, args []any) (Call, bool) {
	s := &n.shared
	m := s.mux.Load()
	if m == nil || s.warmth.Load() < warm || s.apart.Load() > 0 || len(args) > maxSharedArgs || LimitsReads(ctx) {
		return Call{}, false
	}
	size, plain := sizeOf(args)
	if !plain || size > maxSharedSize || !n.current(m) || m.heldUp() {
		return Call{}, false
	}
	o := newOp(ctx)
	if !m.begin(o, cmd, args) {
		o.release()
		return Call{}, false
	}
	return Call{m, o}, true
}

// doCounted runs a command that is among those under way.
func (n *Node) doCounted(ctx context.Context, size int, cmd string, args []any) (any, error) {
	switch {
	case n.standing.Load().refusal() != nil: // looked at again: Close looks the other way round
		return n.doPooled(ctx, cmd, args)
	case n.shared.parted():
	case n.shared.warmth.Load() >= warm, n.shared.under.Load() > maxLanes:
		return n.doShared(ctx, cmd, args)
	}
	return n.doAlone(ctx, size, cmd, args)
}

// enter counts a call.
func (s *sharing) enter() {
	if s.under.Add(1) >= crowd {
		s.warmUp(2) // it counts itself
	} else {
		s.coolDown(1)
	}
}

// keepWarm takes note of how many calls are under way over a mux when some have been
// answered.
func (s *sharing) keepWarm(under, answered uint64) {
	n := int32(min(answered, warmest))
	if under+answered >= crowd {
		s.warmUp(n)
	} else {
		s.coolDown(n)
	}
}

func (s *sharing) warmUp(n int32) {
	if was := s.warmth.Load(); was < warmest {
		s.warmth.Store(min(was+n, warmest))
	}
}

func (s *sharing) coolDown(n int32) {
	if was := s.warmth.Load(); was > 0 {
		s.warmth.Store(max(was-n, 0))
	}
}

// exit is the end of a call.
func (s *sharing) exit() {
	if s.under.Add(-1) == 0 && s.closing.Load() {
		s.drain.Do(func() { close(s.drained) })
	}
}

// parted reports whether a call is to have a connection to itself.
func (s *sharing) parted() bool {
	if s.apart.Load() > 0 && s.under.Load() <= maxApart {
		s.apart.Add(-1)
		return true
	}
	return false
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
		s.bulky.Store(heavyBatches)
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

// doShared runs a command over the shared connection, or over the pool's if that does
// not last. One that is held up by a slow reply keeps the calls that it has, and a new
// one takes its place; if that is held up as well, some calls pass it by.
func (n *Node) doShared(ctx context.Context, cmd string, args []any) (any, error) {
	for range maxMuxes {
		m, err := n.sharedMux(ctx)
		if errors.Is(err, errNotOurs) {
			break
		}
		if err != nil {
			return nil, err
		}
		if m.heldUp() {
			if m.relieve() {
				continue
			}
			if n.shared.passBy() {
				defer n.shared.beside.Add(-1)
				break
			}
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
