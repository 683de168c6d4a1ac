package node

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/health"
)

// dial is the pool's dial function: refused at once while the node is known to
// be silent, bounded in number, ended by a PING, and observed.
func (n *Node) dial(ctx context.Context) (redis.Conn, error) {
	s, begun := n.standing.Load(), time.Now()
	if err := s.refusal(); err != nil {
		return nil, n.error("dial", err, false)
	}
	if err := ctx.Err(); err != nil { // it would only look as if the node had not answered
		return nil, n.error("dial", err, false)
	}
	bound, unbind := bind(ctx, s.over)
	defer unbind()
	release, err := s.turns.take(bound)
	if err != nil {
		return nil, n.error("dial", err, false)
	}
	defer release()
	rc, err := n.open(bound)
	if err != nil {
		return nil, n.dialFailed(ctx, bound, s, health.Evidence{Cause: err, Generation: s.Generation, Sent: begun})
	}
	c := n.observe(rc, s.Generation)
	if err := n.register(c); err != nil {
		_ = rc.Close()
		return nil, n.error("dial", err, false)
	}
	return c, nil
}

// turns bounds how many callers dial, and knows who waits until one of them is done.
type turns struct {
	slots chan struct{}
	word  atomic.Pointer[word] // what who waits now will hear
}

// word is what a server says to one caller who dials, and would to all.
type word struct {
	said chan struct{} // closed when err is set
	err  error
}

func newTurns() *turns {
	t := &turns{slots: make(chan struct{}, maxDials)}
	t.word.Store(&word{said: make(chan struct{})})
	return t
}

// take waits for a turn to dial, and returns what gives it back. Who waits when the
// server refuses everybody hears that, without a turn of his own.
func (t *turns) take(ctx context.Context) (release func(), err error) {
	w := t.word.Load()
	select {
	case t.slots <- struct{}{}:
		return func() { <-t.slots }, nil
	default:
	}
	enough := time.NewTimer(slotWait)
	defer enough.Stop()
	select {
	case t.slots <- struct{}{}:
		return t.unless(w)
	case <-w.said:
		return nil, w.err
	case <-enough.C:
		return func() {}, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// unless gives back a turn that came with word that nobody needs it.
func (t *turns) unless(w *word) (release func(), err error) {
	select {
	case <-w.said:
		<-t.slots
		return nil, w.err
	default:
		return func() { <-t.slots }, nil
	}
}

// tell lets all who wait now hear why the server refused.
func (t *turns) tell(err error) {
	w := t.word.Swap(&word{said: make(chan struct{})})
	w.err = err
	close(w.said)
}

// bind returns a context that ends with ctx and also with over, then for over's cause.
func bind(ctx, over context.Context) (context.Context, func()) {
	bound, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(over, func() { cancel(context.Cause(over)) })
	return bound, func() {
		stop()
		cancel(nil)
	}
}

// open dials and makes sure that the server answers: a dial that succeeds
// proves nothing, since the kernel accepts for a server that is stopped, full
// or locked. The PING also ends with ctx.
func (n *Node) open(ctx context.Context) (redis.Conn, error) {
	rc, err := n.dialUsers(ctx)
	if err != nil {
		return nil, withoutArguments(err)
	}
	if rc == nil {
		return nil, errors.New("the pool's dial function returned neither a connection nor an error")
	}
	if _, ours := rc.(*ownConn); ours { // its dial has pinged
		return rc, nil
	}
	rc = &unguarded{Conn: rc}
	late := &lateError{"no answer to PING within " + n.timeout.String()}
	ctx, cancel := context.WithTimeoutCause(ctx, n.timeout, late)
	defer cancel()
	if err := ping(ctx, rc); err != nil {
		_ = rc.Close()
		return nil, err
	}
	return rc, nil
}

// withoutArguments takes out of an error reply in a dial what Redis repeats of a
// command that it does not know: if that is AUTH, the password.
func withoutArguments(err error) error {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return err
	}
	text, _, _ := strings.Cut(string(reply), ", with args beginning with")
	return redis.Error(text)
}

// ping asks whether the server answers before ctx ends. If it does not, rc is
// closed. A user who may not ping may still use the connection.
func ping(ctx context.Context, rc redis.Conn) error {
	err := ask(ctx, rc, "PING")
	if isDenied(err) {
		return nil
	}
	return err
}

// ask sends a command and waits for the answer. If ctx ends before, the error is
// its cause, and rc is closed or about to be.
func ask(ctx context.Context, rc redis.Conn, cmd string, args ...any) error {
	stop := context.AfterFunc(ctx, func() { _ = rc.Close() })
	_, err := rc.Do(cmd, args...)
	if !stop() {
		return context.Cause(ctx)
	}
	return err
}

// dialFailed reports why a dial failed, unless the node's own standing ended it,
// and returns what the caller gets. Whose limit ran out is asked of the caller's
// context, since errors do not tell. A server that refuses PING would refuse those who
// wait for their turn as well: one after the other, for as long as it takes each time.
func (n *Node) dialFailed(caller, bound context.Context, s *standing, ev health.Evidence) error {
	ev.Conn, ev.Replied = n.nextID.Add(1), n.lastReply()
	if err := ended(caller); err != nil {
		ev.Class, ev.Cause = health.Ask, err
	} else if bound.Err() != nil {
		return n.error("dial", context.Cause(bound), false)
	} else {
		f := classify(ev.Cause, dialing)
		ev.Class, ev.Verify, ev.Write, ev.Fresh = f.class, f.verify, f.write, f.fresh
		if f.local {
			n.local.Add(1)
		}
	}
	n.sink(caller, ev)
	if ev.Class == health.Refusing && !ev.Write {
		s.turns.tell(ev.Cause) // after the sink: their next calls go elsewhere
	}
	return n.error("dial", ev.Cause, false)
}

// ended returns why ctx is over or about to be. Its deadline is asked as well: a
// dial that stops at the deadline may return before ctx itself is done.
func ended(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < time.Millisecond {
		return context.DeadlineExceeded
	}
	return nil
}
