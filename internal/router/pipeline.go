package router

import (
	"context"
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
)

// patience is how long Receive waits for another goroutine to send something.
const patience = time.Second

// unsent is a task that waits for Flush.
type unsent struct {
	node int
	task
}

// Send queues a command. What is wrong with it, or with its keys, is said by the
// Receive whose turn it is: no byte of it is sent. Send does no I/O, but for a
// subscription, and for a command that a server has to be asked about. Unlike a Do
// by itself, nothing that was sent is repeated.
func (c *Conn) Send(cmd string, args ...any) error {
	return c.send(context.Background(), nil, cmd, args)
}

func (c *Conn) send(ctx context.Context, limit *time.Duration, cmd string, args []any) error {
	if err := c.Err(); err != nil {
		return err
	}
	k, err := c.router.parse(ctx, cmd, args)
	if sub := c.subscribed(); sub != nil {
		return c.sendSubscribed(sub, k, err)
	}
	if err == nil && isSubscribe(k.info) {
		return c.subscribe(ctx, k)
	}
	k.args = settled(k.args)
	c.mu.Lock()
	c.enqueue(k, err, limit)
	c.mu.Unlock()
	c.changed()
	return nil
}

// enqueue plans a command, or refuses it because of err. The caller holds c.mu.
func (c *Conn) enqueue(k call, err error, limit *time.Duration) {
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
	if limit == nil {
		return
	}
	for i := range c.unsent { // also those before: the caller waits for all of them
		if t := &c.unsent[i]; !t.waits {
			t.limited, t.limit = true, *limit
		}
	}
}

// changed wakes a Receive that waits for something to wait for.
func (c *Conn) changed() {
	select {
	case c.sent <- struct{}{}:
	default:
	}
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
		t := task{op: o, place: i, cmd: k.cmd, args: k.args}
		if len(parts) > 1 && k.info.Route != command.FanOut {
			t.args = k.sub(p).args
		}
		if t.limit, t.waits = k.info.Blocks(k.args); t.limit > 0 {
			t.limit += blockMargin
		}
		c.load(&k, p.node)
		c.unsent = append(c.unsent, unsent{p.node, t})
	}
	return o
}

// targets returns what each node has to do of a pipelined call. Those that need
// one reply before they can go on are refused: only Do can wait for it.
func (r *Router) targets(k *call) ([]part, error) {
	v := r.cluster.View()
	if k.info.Route == command.FanOut {
		return r.everywhere(v, k)
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

// everywhere returns the nodes that a call without keys goes to, by the rule of Do.
func (r *Router) everywhere(v View, k *call) ([]part, error) {
	nodes, err := v.Live()
	if !k.info.Repeatable && err == nil {
		nodes = r.all()
	}
	parts := make([]part, len(nodes))
	for i, n := range nodes {
		parts[i].node = n
	}
	return parts, err
}

// Flush begins to write what was queued, to all nodes at once. It does not wait:
// what a node fails with is said by Receive.
func (c *Conn) Flush() error {
	if sub := c.subscribed(); sub != nil {
		return sub.conn.Flush()
	}
	return c.flush()
}

// flush is Flush of all but a subscription, which is its sender's alone.
func (c *Conn) flush() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return c.err
	}
	if len(c.unsent) == 0 {
		return nil
	}
	byNode := make(map[int][]task)
	for _, u := range c.unsent {
		byNode[u.node] = append(byNode[u.node], u.task)
	}
	c.unsent, c.loaded = nil, nil
	for n, tasks := range byNode {
		c.leg(n).do(tasks)
	}
	return nil
}

// outfit makes what the first flush needs, and Close. The caller holds c.mu.
func (c *Conn) outfit() {
	if c.legs == nil {
		c.legs, c.span = make(map[int]*leg), newSpan()
	}
}

// leg returns the leg on a node. The caller holds c.mu.
func (c *Conn) leg(n int) *leg {
	c.outfit()
	l := c.legs[n]
	if l == nil {
		l = newLeg(c.router, n, c.span)
		c.legs[n] = l
	}
	return l
}

// Receive returns the reply to the oldest command that was sent, with its own
// error. It flushes first. If no reply is due it waits a second for another
// goroutine to send something, and then fails, which harms nothing.
func (c *Conn) Receive() (any, error) {
	return c.receive(context.Background(), patience, redis.Conn.Receive)
}

// ReceiveWithTimeout is Receive that waits for limit at most; if the reply is still
// due then, the connection is of no use any more. A node's connection has its own
// limit all the same. Zero means no limit.
func (c *Conn) ReceiveWithTimeout(limit time.Duration) (any, error) {
	ctx, cancel := within(limit)
	defer cancel()
	return c.receive(ctx, 0, func(sub redis.Conn) (any, error) {
		return redis.ReceiveWithTimeout(sub, limit)
	})
}

// ReceiveContext is Receive that returns when ctx ends; if the reply is still due
// then, the connection is of no use any more.
func (c *Conn) ReceiveContext(ctx context.Context) (any, error) {
	return c.receive(ctx, 0, func(sub redis.Conn) (any, error) {
		return redis.ReceiveContext(sub, ctx)
	})
}

// receive takes the next reply within ctx, or the next message of a subscription.
// For something to be sent it waits for wait at most; zero means no limit.
func (c *Conn) receive(ctx context.Context, wait time.Duration, message func(sub redis.Conn) (any, error)) (any, error) {
	for {
		if sub := c.subscribed(); sub != nil {
			return message(sub.conn)
		}
		if err := c.flush(); err != nil {
			return nil, err
		}
		if o := c.next(); o != nil {
			return c.await(ctx, o)
		}
		if err := c.awaitSend(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// awaitSend waits until something is sent. Zero means no limit.
func (c *Conn) awaitSend(ctx context.Context, limit time.Duration) error {
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-c.sent:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", errNothingDue, ctx.Err())
	case <-late:
		return errNothingDue
	}
}

// next takes the op whose reply is due next; nil if none is.
func (c *Conn) next() *op {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.queue) == 0 {
		return nil
	}
	o := c.queue[0]
	c.queue[0] = nil
	c.queue = c.queue[1:]
	c.tx.answerNow(o)
	return o
}

// await waits for an op. When ctx ends first, a reply is due that nobody will
// read, so the connection is given up.
func (c *Conn) await(ctx context.Context, o *op) (any, error) {
	select {
	case <-o.done:
		return c.router.result(o)
	default:
	}
	select {
	case <-o.done:
		return c.router.result(o)
	case <-ctx.Done():
		c.abandon(ctx.Err())
		return nil, c.router.unanswered(o, ctx.Err())
	}
}
