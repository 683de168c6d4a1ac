package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

var (
	errConnClosed = errors.New("fluster: connection is closed")
	errNothingDue = errors.New("fluster: no reply is due")
)

// Conn is the whole cluster as one connection. As with any redis.Conn, one
// goroutine may call Send and Flush while another calls Receive; nothing else may
// overlap.
type Conn struct {
	router *Router
	sent   chan struct{} // has room for one: queue or sub changed

	mu     sync.Mutex // protects following fields
	queue  []*op      // sent, and not received
	unsent []unsent   // to be written by Flush, in order
	loaded []loaded   // scripts that go out with unsent
	legs   map[int]*leg
	span   *span // of legs; nil if there are none
	tx     tx
	sub    *subscription
	err    error // why the connection is of no use any more
}

var (
	_ redis.Conn            = (*Conn)(nil)
	_ redis.ConnWithTimeout = (*Conn)(nil)
	_ redis.ConnWithContext = (*Conn)(nil)
)

// NewConn returns a connection. It does no I/O.
func (r *Router) NewConn() *Conn {
	return &Conn{router: r, sent: make(chan struct{}, 1)}
}

// Err returns why the connection cannot be used any more, if so. A node that
// fails is no reason, since the others go on, unless the connection is subscribed
// there.
func (c *Conn) Err() error {
	c.mu.Lock()
	err, sub := c.err, c.sub
	c.mu.Unlock()
	if err == nil && sub != nil {
		err = sub.conn.Err()
	}
	return err
}

// Close collects the replies that are due and gives every node's connection back.
// A transaction that was not ended is discarded. A blocking command is not waited
// for.
func (c *Conn) Close() error {
	sub, over := c.closing()
	switch {
	case over:
		return nil
	case sub != nil:
		c.giveUp(errConnClosed)
		return sub.close()
	}
	_, err := c.Do("")
	for _, l := range c.giveUp(errConnClosed) {
		l.close()
	}
	return err
}

// closing cuts what blocks, and returns the subscription, if the connection is one,
// and whether it was of no use before.
func (c *Conn) closing() (sub *subscription, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outfit()
	c.span.endWaits()
	return c.sub, c.err != nil
}

// giveUp makes the connection one of no use, and returns the legs that it had.
func (c *Conn) giveUp(err error) map[int]*leg {
	c.mu.Lock()
	defer c.mu.Unlock()
	legs := c.legs
	c.err, c.legs, c.sub = err, nil, nil
	return legs
}

// abandon gives the connection up while replies are due. Its legs finish what they
// have begun, and give their connections back by themselves.
func (c *Conn) abandon(err error) {
	for _, l := range c.giveUp(fmt.Errorf("fluster: connection was given up: %w", err)) {
		l.span.end()
		go l.close()
	}
}

// Do sends a command and returns its reply. With commands pending it is the end
// of their pipeline: their replies are read and dropped, and the first error of
// all is returned beside the last reply. Do("") returns the pending replies.
func (c *Conn) Do(cmd string, args ...any) (any, error) {
	return c.do(context.Background(), nil, cmd, args)
}

// DoWithTimeout is Do with a limit of its own instead of that of the nodes'
// connections, which counts from the beginning of the call. If replies are still
// due when it has passed, the connection is of no use any more. Zero means no limit.
func (c *Conn) DoWithTimeout(limit time.Duration, cmd string, args ...any) (any, error) {
	ctx, cancel := within(limit)
	defer cancel()
	return c.do(node.WithReadLimit(ctx, limit), &limit, cmd, args)
}

func within(limit time.Duration) (context.Context, context.CancelFunc) {
	if limit == 0 {
		return context.Background(), func() {}
	}
	return context.WithTimeout(context.Background(), limit)
}

// DoContext is Do that returns when ctx ends. If replies are still due then, the
// connection is of no use any more.
func (c *Conn) DoContext(ctx context.Context, cmd string, args ...any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return c.do(ctx, nil, cmd, args)
}

// do is Do within ctx and, if there is one, with a limit for the last reply.
func (c *Conn) do(ctx context.Context, limit *time.Duration, cmd string, args []any) (any, error) {
	if c.alone(cmd, args) {
		return c.router.Do(ctx, cmd, args)
	}
	if cmd != "" {
		if err := c.send(ctx, limit, cmd, args); err != nil {
			return nil, err
		}
	}
	if sub := c.subscribed(); sub != nil {
		return sub.collect(ctx, cmd)
	}
	if cmd == "" {
		return c.collectAll(ctx)
	}
	return c.collectLast(ctx)
}

// alone reports whether a command can go its way with no regard to others on this
// connection.
func (c *Conn) alone(cmd string, args []any) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cmd == "" || c.err != nil || len(c.queue) > 0 || c.tx.open() || c.sub != nil {
		return false
	}
	info, err := command.Lookup(cmd, args)
	return err != nil || info.Route != command.OnConn
}

// collectAll returns all replies that are due, error replies among them. The error
// is the first of another kind; it stands in the place of its reply too. It is none by
// which all may be sent again, unless none of them ran.
func (c *Conn) collectAll(ctx context.Context) (any, error) {
	var replies []any
	var first error
	ran := false
	err := c.drain(ctx, func(value any, err error) {
		ran = ran || !saysNotRun(err)
		if err != nil {
			value = err
			if first == nil && !isReply(err) {
				first = err
			}
		}
		replies = append(replies, value)
	})
	if err != nil || replies == nil {
		return nil, err
	}
	if ran && saysNotRun(first) {
		first = node.Begun(first)
	}
	return replies, first
}

// collectLast returns the last of the replies that are due, and the first error. If
// that is another command's, it is none by which the last may be sent again.
func (c *Conn) collectLast(ctx context.Context) (any, error) {
	var last any
	var first, own error
	err := c.drain(ctx, func(value any, err error) {
		last, own = value, err
		if first == nil {
			first = err
		}
	})
	if err != nil {
		return nil, err
	}
	if saysNotRun(first) && !saysNotRun(own) {
		first = node.Begun(first)
	}
	return last, first
}

// saysNotRun reports an error that says that its command did not run.
func saysNotRun(err error) bool {
	return node.SafeToRetry(err) || errors.Is(err, ErrCrossNode) || errors.Is(err, ErrRefused)
}

// drain flushes and reads all replies that are due. It ends early when the
// connection is given up.
func (c *Conn) drain(ctx context.Context, each func(value any, err error)) error {
	if err := c.Flush(); err != nil {
		return err
	}
	for o := c.next(); o != nil && c.Err() == nil; o = c.next() {
		each(c.await(ctx, o))
	}
	return nil
}

// isReply reports an error that a server replied.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}
