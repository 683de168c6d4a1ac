package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	sent   chan struct{} // has room for one: a command or sub came
	places []int         // the sender's: room for the places of keys

	mu       sync.Mutex // protects following fields
	desk     *desk      // the pipeline; nil until it is needed
	position int        // of the reply that is due next
	unsent   []unsent   // for legs to write at Flush, in order, after what is open on the desk
	loaded   []loaded   // scripts that go out with unsent
	legs     map[int]*leg
	span     *span // of legs; nil if there are none
	closing  bool  // legs wait for nothing that blocks
	tx       tx
	sub      *subscription
	err      error // why the connection is of no use any more
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
	_, err := c.state()
	return err
}

// state returns the subscription, if the connection is one, and why it is of no use
// any more, if so.
func (c *Conn) state() (*subscription, error) {
	c.mu.Lock()
	err, sub := c.err, c.sub
	c.mu.Unlock()
	if err == nil && sub != nil {
		err = sub.conn.Err()
	}
	return sub, err
}

// Close collects the replies that are due and gives every node's connection back.
// A transaction that was not ended is discarded. A blocking command is not waited
// for.
func (c *Conn) Close() error {
	sub, over := c.beginClose()
	switch {
	case over:
		return nil
	case sub != nil:
		c.giveUp(errConnClosed)
		return sub.close()
	}
	_, err := c.Do("")
	legs, _ := c.giveUp(errConnClosed)
	for _, l := range legs {
		l.close()
	}
	return err
}

// beginClose cuts what blocks, and returns the subscription, if the connection is
// one, and whether it was of no use before.
func (c *Conn) beginClose() (sub *subscription, over bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing = true
	if c.span != nil {
		c.span.endWaits()
	}
	return c.sub, c.err != nil
}

// giveUp makes the connection one of no use, and returns the legs that it had, and the
// batches with replies that are due.
func (c *Conn) giveUp(err error) (legs map[int]*leg, under []*node.Batch) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.desk != nil {
		under = c.desk.under()
		c.desk.clear()
	}
	legs = c.legs
	c.err, c.legs, c.sub, c.desk = err, nil, nil, nil
	return legs, under
}

// Pending returns how many commands were sent whose replies have not been received.
// It does no I/O. Messages of a subscription don't count.
func (c *Conn) Pending() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending()
}

// pending is Pending under c.mu.
func (c *Conn) pending() int {
	if c.desk == nil {
		return 0
	}
	return len(c.desk.queue) - c.desk.head
}

// abandon gives the connection up while replies are due. Its legs finish what they
// have begun, and give their connections back by themselves. What is in line is not sent:
// the last first, lest it be without what comes before it.
func (c *Conn) abandon(err error) {
	legs, under := c.giveUp(fmt.Errorf("fluster: connection was given up: %w", err))
	for _, l := range legs {
		l.span.end() // before that for which they wait has an end
		go l.close()
	}
	for _, b := range slices.Backward(under) {
		b.Withdraw(err)
	}
}

// Do sends a command and returns its reply. With commands pending it is the end of
// their pipeline: their replies are read and dropped, and the first error of all is
// returned beside the last reply; if it is another command's, it is a PipelineError.
//
// Do("") returns the pending replies, each error in its place. The error is then the
// first that is no server's reply.
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
	if cmd == "" || c.err != nil || c.pending() > 0 || c.tx.open() || c.sub != nil {
		return false
	}
	info, err := command.Lookup(cmd, args)
	return err != nil || info.Route != command.OnConn
}

// collectAll returns all replies that are due, errors among them; where a reply has
// errors in it, for want of some of the nodes, it stays. The error is the first that
// is no server's. It is none by which all may be sent again, unless none of them ran.
func (c *Conn) collectAll(ctx context.Context) (any, error) {
	replies := make([]any, 0, c.Pending())
	var first error
	ran := false
	cut, err := c.drain(ctx, func(u *upcoming, value any, err error) {
		ran = ran || !SafeToRetry(err)
		if err != nil {
			if first == nil && !isReply(err) {
				first = err
			}
			if !u.one.keeps(value) {
				value = err
			}
		}
		replies = append(replies, value)
	})
	if err != nil || len(replies) == 0 {
		return nil, err
	}
	if (ran || cut) && first != nil {
		first = begun(first)
	}
	return replies, first
}

// keeps reports a reply that has the errors of its keys in their places.
func (d *due) keeps(value any) bool {
	return value != nil && d.op != nil && len(d.op.parts) > 1 && d.info.Split == command.Values
}

// collectLast returns the last of the replies that are due, and the first error. If
// that is another command's, it does not say of the last that it may be sent again,
// unless that is so.
func (c *Conn) collectLast(ctx context.Context) (any, error) {
	var last any
	var first, own error
	var at upcoming // of first
	position := 0
	cut, err := c.drain(ctx, func(u *upcoming, value any, err error) {
		last, own, position = value, err, u.position
		if first == nil && err != nil {
			first, at = err, *u
		}
	})
	switch {
	case err != nil:
		return nil, err
	case cut:
		return nil, at.others(first, nil) // the last one may have run
	case first == nil || at.position == position:
		return last, first
	}
	return last, at.others(first, own)
}

// drain flushes and reads all replies that are due. It is cut short when the connection
// is given up, for what a reply failed with, while more are due: of those nothing is known
// then.
func (c *Conn) drain(ctx context.Context, each func(u *upcoming, value any, err error)) (cut bool, err error) {
	var u upcoming
	if err = c.next(&u); err != nil {
		return false, err
	}
	for err == nil && u.due {
		value, failed := c.await(ctx, &u)
		each(&u, value, failed)
		cut = u.more && failed != nil
		u = upcoming{}
		err = c.next(&u)
	}
	return cut && err != nil, nil
}

// isReply reports an error that a server replied.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}
