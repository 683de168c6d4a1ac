package router

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
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

	mu     sync.Mutex // protects following fields
	queue  []*op      // sent, and not received
	unsent []unsent   // to be written by Flush, in order
	legs   map[int]*leg
	tx     tx
	sub    redis.Conn // while subscribed: the connection that it is on
	subTo  int        // and its node
	err    error      // why the connection is of no use any more
}

// unsent is a task that waits for Flush.
type unsent struct {
	node int
	task
}

var (
	_ redis.Conn            = (*Conn)(nil)
	_ redis.ConnWithTimeout = (*Conn)(nil)
	_ redis.ConnWithContext = (*Conn)(nil)
)

// NewConn returns a connection. It does no I/O.
func (r *Router) NewConn() *Conn {
	return &Conn{router: r, legs: make(map[int]*leg)}
}

// Err returns why the connection cannot be used any more, if so. A node that
// fails is no reason: the others go on.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close collects the replies that are due and gives every node's connection back.
// A transaction that was not ended is discarded.
func (c *Conn) Close() error {
	if c.Err() != nil {
		return nil
	}
	_, err := c.Do("")
	c.mu.Lock()
	c.err = errConnClosed
	legs, sub := c.legs, c.sub
	c.legs, c.sub = nil, nil
	c.mu.Unlock()
	for _, l := range legs {
		l.close()
	}
	if sub != nil {
		return sub.Close()
	}
	return err
}

// Do sends a command and returns its reply. With commands pending it is the end
// of their pipeline: their replies are read and dropped, and the first error of
// all is returned beside the last reply. Do("") returns the pending replies.
func (c *Conn) Do(cmd string, args ...any) (any, error) {
	return c.DoContext(context.Background(), cmd, args...)
}

// DoWithTimeout is Do that returns after limit at the latest; then the connection
// is of no use any more. Zero means no limit.
func (c *Conn) DoWithTimeout(limit time.Duration, cmd string, args ...any) (any, error) {
	ctx, cancel := within(limit)
	defer cancel()
	return c.DoContext(ctx, cmd, args...)
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
	if c.alone(cmd, args) {
		return c.router.Do(ctx, cmd, args)
	}
	if sub := c.subscribed(); sub != nil && cmd == "" {
		return nil, nil // its replies are messages, and never all there
	}
	if cmd != "" {
		if err := c.Send(cmd, args...); err != nil {
			return nil, err
		}
	}
	return c.collect(ctx, cmd == "")
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

// collect flushes and reads all replies that are due: it returns all of them, or
// the last one. The error is the first.
func (c *Conn) collect(ctx context.Context, all bool) (any, error) {
	if err := c.Flush(); err != nil {
		return nil, err
	}
	var replies []any
	var last any
	var first error
	for {
		o := c.next()
		if o == nil {
			break
		}
		value, err := c.await(ctx, o)
		if first == nil && (err != nil && !(all && isReply(err))) {
			first = err
		}
		if all && err != nil {
			value = err
		}
		last = value
		replies = append(replies, value)
		if c.Err() != nil {
			break
		}
	}
	if !all {
		return last, first
	}
	if replies == nil {
		return nil, first
	}
	return replies, first
}

// isReply reports an error that a server replied.
func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// next takes the op whose reply is due next.
func (c *Conn) next() *op {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return nil
	}
	o := c.queue[0]
	c.queue = c.queue[1:]
	c.tx.answerNow(o)
	return o
}

// await waits for an op. When ctx ends first, replies are due that nobody will
// read, so the connection is given up.
func (c *Conn) await(ctx context.Context, o *op) (any, error) {
	select {
	case <-o.done:
		return o.result()
	default:
	}
	select {
	case <-o.done:
		return o.result()
	case <-ctx.Done():
		c.abandon(ctx.Err())
		return nil, fmt.Errorf("fluster: %s: %w", o.call.name(), ctx.Err())
	}
}

// abandon makes the connection one of no use. Its legs finish what they have, and
// give their connections back by themselves.
func (c *Conn) abandon(err error) {
	c.mu.Lock()
	c.err = err
	legs, sub := c.legs, c.sub
	c.legs, c.sub = nil, nil
	c.mu.Unlock()
	for _, l := range legs {
		go l.close()
	}
	if sub != nil {
		go func() { _ = sub.Close() }()
	}
}

// Send queues a command. What is wrong with it, or with its keys, is said by the
// Receive whose turn it is: no byte of it is sent. Send does no I/O, but for a
// subscription.
func (c *Conn) Send(cmd string, args ...any) error {
	if err := c.Err(); err != nil {
		return err
	}
	if sub := c.subscribed(); sub != nil {
		return c.sendSubscribed(sub, cmd, args)
	}
	k, err := c.router.parse(context.Background(), cmd, args)
	if err == nil && isSubscribe(k.info) {
		return c.subscribe(k)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var o *op
	switch {
	case err != nil:
		o = c.refuse(err)
	case k.info.Route == command.OnConn:
		o = c.transact(k)
	default:
		o = c.plan(k)
	}
	c.queue = append(c.queue, o)
	return nil
}

// refuse is the op of a command that is not sent. In a transaction it does what
// the server does: EXEC will fail.
func (c *Conn) refuse(err error) *op {
	c.abort()
	return answered(nil, err)
}

// plan queues the tasks of a command for their nodes. The caller holds c.mu.
func (c *Conn) plan(k call) *op {
	if c.tx.multi {
		return c.planInTx(k)
	}
	parts, err := c.router.targets(&k)
	if err != nil {
		return c.refuse(err)
	}
	o := pending(k, parts)
	for i, p := range parts {
		t := task{op: o, place: i, cmd: k.cmd, args: k.args, info: k.info}
		if len(parts) > 1 && k.info.Route != command.FanOut {
			t.args = k.sub(p).args
		}
		c.unsent = append(c.unsent, unsent{p.node, t})
	}
	return o
}

// targets returns what each node has to do of a pipelined call. Those that need
// one reply before they can go on are refused: only Do can wait for it.
func (r *Router) targets(k *call) ([]part, error) {
	v := r.cluster.View()
	if k.info.Route == command.FanOut {
		nodes, err := v.Live()
		if k.info.Access == command.Write {
			nodes = r.all()
		}
		parts := make([]part, len(nodes))
		for i, n := range nodes {
			parts[i].node = n
		}
		r.scripts.see(k)
		return parts, err
	}
	parts, err := r.locate(v, k)
	if err != nil || len(parts) == 1 {
		return parts, err
	}
	switch k.info.Split {
	case command.Values, command.Pairs, command.Count:
		if !r.cfg.Whole {
			return parts, nil
		}
	}
	return nil, r.crossNode(k, parts)
}

// Flush begins to write what was queued, to all nodes at once. It does not wait:
// what a node fails with is said by Receive.
func (c *Conn) Flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if c.sub != nil {
		return c.sub.Flush()
	}
	byNode := make(map[int][]task)
	for _, u := range c.unsent {
		byNode[u.node] = append(byNode[u.node], u.task)
	}
	c.unsent = nil
	for n, tasks := range byNode {
		c.leg(n).do(tasks)
	}
	return nil
}

// leg returns the leg on a node. The caller holds c.mu.
func (c *Conn) leg(n int) *leg {
	l := c.legs[n]
	if l == nil {
		l = newLeg(c.router, n)
		c.legs[n] = l
	}
	return l
}

// Receive returns the reply to the oldest command that was sent, with its own
// error. It flushes first.
func (c *Conn) Receive() (any, error) { return c.ReceiveContext(context.Background()) }

// ReceiveWithTimeout is Receive that waits for limit at most; then the connection
// is of no use any more. Zero means no limit.
func (c *Conn) ReceiveWithTimeout(limit time.Duration) (any, error) {
	if sub := c.subscribed(); sub != nil {
		return redis.ReceiveWithTimeout(sub, limit)
	}
	ctx, cancel := within(limit)
	defer cancel()
	return c.ReceiveContext(ctx)
}

// ReceiveContext is Receive that returns when ctx ends; then the connection is of
// no use any more.
func (c *Conn) ReceiveContext(ctx context.Context) (any, error) {
	if sub := c.subscribed(); sub != nil {
		return redis.ReceiveContext(sub, ctx)
	}
	if err := c.Flush(); err != nil {
		return nil, err
	}
	o := c.next()
	if o == nil {
		return nil, errNothingDue
	}
	return c.await(ctx, o)
}
