package node

import (
	"context"
	"errors"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"
)

const (
	laneAhead = 4 << 10  // how much of a reply a lane reads at once
	laneRoom  = 32 << 10 // how large a buffer for commands it keeps at most
)

// lane is a connection for one caller of Do at a time, while so few are under way
// that sharing one would only cost a wake-up. It does what one of the pool would do,
// without what that costs: redigo's bookkeeping, its objects, and two deadlines for
// each call.
type lane struct {
	conn    *conn
	guard   *guard
	replies replyReader
	out     []byte
	dialed  int64 // by the node's clock, as all that follows
	used    int64
	until   int64 // when the reply is too late
	reads   deadline
	writes  deadline
}

// maxLanes is how many lanes a node has at most.
const maxLanes = 4

// lanes are the connections for callers who are alone or nearly so. Its zero value is
// ready.
type lanes struct {
	idle [maxLanes]atomic.Pointer[lane]
	open atomic.Int32 // those that are idle, lent or being dialed
}

// take takes one that is idle, or nil.
func (s *lanes) take() *lane {
	for i := range s.idle {
		if s.idle[i].Load() != nil {
			if l := s.idle[i].Swap(nil); l != nil {
				return l
			}
		}
	}
	return nil
}

// put gives one back, of which there are no more than places.
func (s *lanes) put(l *lane) {
	for {
		for i := range s.idle {
			if s.idle[i].CompareAndSwap(nil, l) {
				return
			}
		}
	}
}

// mayOpen counts one that is to be dialed, if there may be one more.
func (s *lanes) mayOpen() bool {
	if s.open.Add(1) <= maxLanes {
		return true
	}
	s.open.Add(-1)
	return false
}

// doAlone runs a command over a lane; over the pool's connections if there is none.
func (n *Node) doAlone(ctx context.Context, size int, cmd string, args []any) (any, error) {
	l, err := n.borrowLane(ctx)
	if err != nil {
		return nil, err
	}
	if l == nil {
		return n.doPooled(ctx, cmd, args)
	}
	l.out = slices.Grow(l.out[:0], size+len(cmd)+2*headerRoom)
	reply, err := l.do(ctx, cmd, args)
	n.giveLaneBack(l)
	return reply, err
}

// borrowLane returns an idle lane that is fit for use, or a new one; nil if as many
// as there may be are lent.
func (n *Node) borrowLane(ctx context.Context) (*lane, error) {
	s := &n.shared.lanes
	for l := s.take(); l != nil; l = s.take() {
		if n.fit(l) {
			return l, nil
		}
		_ = l.conn.Close()
		s.open.Add(-1)
	}
	if !s.mayOpen() {
		return nil, nil
	}
	l, err := n.openLane(ctx)
	if err != nil {
		s.open.Add(-1)
		if errors.Is(err, errNotOurs) {
			err = nil
		}
		return nil, err
	}
	return l, nil
}

func (n *Node) openLane(ctx context.Context) (*lane, error) {
	rc, err := n.dial(ctx)
	if err != nil {
		return nil, err
	}
	c, err := n.takeOver(rc)
	if err != nil {
		return nil, err
	}
	now := n.clock()
	l := &lane{conn: c, guard: c.guard, dialed: now, used: now}
	l.reads.born, l.writes.born = n.born, n.born
	l.replies = newReplyReader(l, c.guard.replies.limit, laneAhead)
	return l, nil
}

// fit does for a lane what a pool does for a connection that it is about to lend.
func (n *Node) fit(l *lane) bool {
	l.conn.lent.Store(true) // before the standing is looked at: Sever looks the other way round
	if l.conn.generation != n.standing.Load().Generation || l.conn.dead.Load() != nil {
		return false
	}
	now := n.clock()
	if idle := n.pool.IdleTimeout; idle > 0 && now-l.used >= int64(idle) {
		return false
	}
	if life := n.pool.MaxConnLifetime; life > 0 && now-l.dialed >= int64(life) {
		return false
	}
	l.used = now
	return l.replies.ahead() == 0 && l.guard.quiet() == nil
}

// giveLaneBack makes a lane the next caller's, unless it is of no more use.
func (n *Node) giveLaneBack(l *lane) {
	l.conn.rest()
	if l.conn.dead.Load() != nil || l.conn.spoiled.Load() != nil {
		_ = l.conn.Close()
		n.shared.lanes.open.Add(-1)
		return
	}
	n.shared.lanes.put(l)
}

// do runs one command. Fit has noted the time.
func (l *lane) do(ctx context.Context, cmd string, args []any) (any, error) {
	c := l.conn
	c.sent.Store(l.used)
	k := call{conn: c, op: cmd, written: l.guard.written.Load(), dead: c.dead.Load()}
	if k.dead != nil {
		return nil, c.notSent(k)
	}
	k.watch(ctx)
	reply, err := l.exchange(cmd, args)
	if err != nil {
		_ = c.inner.Close()
		return c.end(k, nil, err)
	}
	if refusal, ok := reply.(redis.Error); ok {
		return c.end(k, reply, refusal)
	}
	return c.end(k, reply, nil)
}

// exchange sends a command and reads its reply. An error is one of the connection's.
func (l *lane) exchange(cmd string, args []any) (any, error) {
	l.out = appendCommand(l.out[:0], cmd, args)
	if limit := l.guard.writeLimit; limit > 0 {
		if err := l.writes.renew(l.used, limit, l.guard.SetWriteDeadline); err != nil {
			return nil, err
		}
	}
	if _, err := l.guard.Write(l.out); err != nil {
		return nil, err
	}
	if cap(l.out) > laneRoom {
		l.out = nil
	}
	if err := l.limitRead(); err != nil {
		return nil, err
	}
	l.replies.bulks.begin(1)
	return l.replies.next()
}

func (l *lane) limitRead() error {
	limit := l.guard.readLimit
	if limit > 0 {
		l.until = l.used + int64(limit)
		return l.reads.renew(l.used, limit, l.guard.SetReadDeadline)
	}
	if l.reads.at == 0 { // the greeting's is in force
		l.reads.at = 1
		return l.guard.SetReadDeadline(time.Time{})
	}
	return nil
}

// Read reads from the socket, for the reply reader. The whole reply has to come
// before its time is over, however many reads it takes.
func (l *lane) Read(p []byte) (int, error) {
	for {
		n, err := l.guard.Read(p)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) || l.reads.at >= l.until {
			return n, err
		}
		if err := l.reads.move(l.until, l.guard.SetReadDeadline); err != nil {
			return 0, err
		}
	}
}
