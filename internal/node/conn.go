package node

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"
)

// conn is an observed connection: a redis.Conn that turns every error it meets
// into evidence about its node, once, and into an Error for the caller. On the
// way of success it only notes the time. As with any redis.Conn, one goroutine
// may send and flush while another receives; nothing else may overlap, except
// Close.
type conn struct {
	node       *Node
	inner      redis.Conn
	guard      *guard // nil if the pool's own function dialed
	id         uint64
	generation uint64
	abort      func() // closes inner; made once, so that DoContext need not

	lent     atomic.Bool   // somebody uses it, or may; otherwise it is idle in its pool
	pending  atomic.Int64  // commands sent whose replies are to be received
	waits    atomic.Bool   // one of these may rightly be silent for long
	refused  atomic.Bool   // a Send was refused, since the connection was broken
	consumed atomic.Uint64 // replies that the caller was given
	sent     atomic.Int64  // when the last command was sent, by the node's clock
	replied  atomic.Int64  // when the newest command was sent that has been answered

	spoiled atomic.Pointer[error] // why a pool should drop the connection, though it works
	dead    atomic.Pointer[error] // what broke it, or why it was severed
}

var (
	_ redis.Conn            = (*conn)(nil)
	_ redis.ConnWithTimeout = (*conn)(nil)
	_ redis.ConnWithContext = (*conn)(nil)
)

// observe makes rc, which answered a PING, a connection of the node.
func (n *Node) observe(rc redis.Conn, generation uint64) *conn {
	c := &conn{node: n, inner: rc, id: n.nextID.Add(1), generation: generation}
	if own, ok := rc.(*ownConn); ok {
		c.inner, c.guard = own.Conn, own.guard
		c.consumed.Store(own.guard.replies.replies)
	}
	c.lent.Store(true)
	c.abort = func() { _ = c.inner.Close() }
	c.replied.Store(n.clock())
	return c
}

// Close gives the connection up.
func (c *conn) Close() error {
	c.node.forget(c)
	return c.inner.Close()
}

// sever closes the connection under whoever waits on it, who gets cause.
func (c *conn) sever(cause error) {
	c.dead.CompareAndSwap(nil, &cause)
	_ = c.inner.Close()
}

// Err returns why the connection must not be used again, if so.
func (c *conn) Err() error {
	if err := c.dead.Load(); err != nil {
		return *err
	}
	if err := c.spoiled.Load(); err != nil {
		return *err
	}
	return c.inner.Err()
}

// Do sends a command and returns its reply, as redigo's Do does.
func (c *conn) Do(cmd string, args ...any) (any, error) {
	k := c.beginDo(cmd)
	if k.bare {
		defer c.rest()
	}
	if k.idle() {
		return nil, nil
	}
	if k.dead != nil {
		return nil, c.notSent(k)
	}
	reply, err := c.inner.Do(cmd, args...)
	return c.end(k, reply, err)
}

// rest notes that the connection is on its way back to its pool, which calls
// Do("") last. One that is out of date is dropped there.
func (c *conn) rest() {
	c.lent.Store(false)
	if c.generation != c.node.standing.Load().Generation {
		c.spoil(errStale)
	}
}

// DoWithTimeout is Do with a limit of its own for reading the reply.
func (c *conn) DoWithTimeout(limit time.Duration, cmd string, args ...any) (any, error) {
	k := c.beginDo(cmd)
	if k.idle() {
		return nil, nil
	}
	if k.dead != nil {
		return nil, c.notSent(k)
	}
	reply, err := redis.DoWithTimeout(c.inner, limit, cmd, args...)
	return c.end(k, reply, err)
}

// DoContext is Do that ends with ctx too: the connection is then closed, since
// a reply is still due on it. With a context that is over already nothing is sent
// and the connection stays good, unless cmd would have ended a state of it. It
// starts no goroutine unless ctx ends under way, or is of a type of the caller's
// own.
func (c *conn) DoContext(ctx context.Context, cmd string, args ...any) (any, error) {
	if err := ctx.Err(); err != nil {
		if endsState(cmd) {
			c.spoil(err)
		}
		return nil, c.node.error(opOf(cmd), err, false)
	}
	k := c.beginDo(cmd)
	if k.idle() {
		return nil, nil
	}
	if k.dead != nil {
		return nil, c.notSent(k)
	}
	k.watch(ctx)
	reply, err := c.doWithin(ctx, cmd, args)
	return c.end(k, reply, err)
}

// doWithin is the inner Do, with ctx's limit for the reply if it has one.
func (c *conn) doWithin(ctx context.Context, cmd string, args []any) (any, error) {
	if own, ok := ctx.(readLimited); ok {
		return redis.DoWithTimeout(c.inner, own.limit, cmd, args...)
	}
	return c.inner.Do(cmd, args...)
}

// Send buffers a command, as redigo's Send does. Bytes of it may leave before Flush.
func (c *conn) Send(cmd string, args ...any) error {
	k := c.begin(cmd)
	if k.dead != nil {
		c.refused.Store(true)
		return c.notSent(k)
	}
	if k.due == 0 { // the time of the others is that of Flush or Do
		c.noteSent()
	}
	if mayWait(cmd) {
		c.waits.Store(true)
	}
	c.pending.Add(1)
	if err := c.inner.Send(cmd, args...); err != nil {
		return c.failed(k, err)
	}
	return nil
}

// Flush writes what Send has buffered.
func (c *conn) Flush() error {
	k := c.begin("flush")
	if k.dead != nil {
		return c.notSent(k)
	}
	c.noteSent()
	if err := c.inner.Flush(); err != nil {
		return c.failed(k, err)
	}
	return nil
}

// Receive returns the next reply.
func (c *conn) Receive() (any, error) {
	k := c.beginReceive()
	if k.dead != nil {
		return nil, c.notSent(k)
	}
	reply, err := c.inner.Receive()
	return c.endReceive(k, reply, err)
}

// ReceiveWithTimeout is Receive with a limit of its own.
func (c *conn) ReceiveWithTimeout(limit time.Duration) (any, error) {
	k := c.beginReceive()
	if k.dead != nil {
		return nil, c.notSent(k)
	}
	reply, err := redis.ReceiveWithTimeout(c.inner, limit)
	return c.endReceive(k, reply, err)
}

// ReceiveContext is Receive that ends with ctx too; the connection is then
// closed, unless ctx was over before.
func (c *conn) ReceiveContext(ctx context.Context) (any, error) {
	k := c.beginReceive()
	if err := ctx.Err(); err != nil {
		return nil, c.node.error(k.op, err, k.due > 0)
	}
	if k.dead != nil {
		return nil, c.notSent(k)
	}
	k.watch(ctx)
	reply, err := c.inner.Receive()
	return c.endReceive(k, reply, err)
}
