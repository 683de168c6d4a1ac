package router

import (
	"context"
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
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
	if c.sendPlain(cmd, args) {
		return nil
	}
	return c.send(context.Background(), nil, cmd, args)
}

// sendPlain is send for what nearly all pipelines are made of: a command with one key,
// behind others that can go out with those of other callers. It reports false, having
// done nothing, for anything else.
func (c *Conn) sendPlain(cmd string, args []any) bool {
	info, key, ok := command.Plain(cmd, args)
	if !ok || !node.ArePlain(args) {
		return false
	}
	n, err := c.router.cluster.View().Locate(key)
	if err != nil || !c.bundlePlain(n, info, cmd, args) {
		return false
	}
	c.changed()
	return true
}

// bundlePlain is what sendPlain does with the connection.
func (c *Conn) bundlePlain(n int, info *command.Info, cmd string, args []any) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil || c.sub != nil || c.tx.open() || c.pending() == 0 || len(c.unsent) > 0 {
		return false
	}
	c.desk.push(due{info: info, spot: c.desk.bundle(n).add(cmd, args)})
	return true
}

func (c *Conn) send(ctx context.Context, limit *time.Duration, cmd string, args []any) error {
	sub, err := c.state()
	if err != nil {
		return err
	}
	k := call{cmd: cmd, args: node.PlainArgs(args), keys: c.places[:0]}
	err = c.router.understand(ctx, &k)
	c.places = k.keys[:0]
	if sub != nil {
		return c.sendSubscribed(sub, k, err)
	}
	if err == nil && isSubscribe(k.info) {
		return c.subscribe(ctx, k)
	}
	c.mu.Lock()
	c.enqueue(k, cmd, err, limit)
	c.mu.Unlock()
	c.changed()
	return nil
}

// enqueue plans a command, or refuses cmd because of err. The caller holds c.mu.
func (c *Conn) enqueue(k call, cmd string, err error, limit *time.Duration) {
	if c.desk == nil {
		c.desk = newDesk(c.router.cluster.Len())
	}
	if c.pending() == 0 {
		c.position = 0
	}
	if limit != nil {
		c.unbundle()
	}
	switch {
	case err != nil:
		c.desk.push(due{op: c.refuse(err).shownAs(shown(cmd))})
	case limit == nil && len(c.unsent) == 0 && !c.tx.open() && batchable(&k):
		c.desk.push(c.bundle(&k))
	default:
		c.desk.push(c.single(&k))
	}
	if limit != nil {
		c.limitAll(*limit)
	}
}

// single plans a command that cannot go out with those of other callers.
func (c *Conn) single(k *call) due {
	k.args = settled(k.args)
	var o *op
	if k.info.Route == command.OnConn {
		o = c.transact(*k)
	} else {
		o = c.plan(*k)
	}
	if o.call.info == nil { // no node is asked
		o.text = k.text()
	}
	return due{info: k.info, op: o}
}

// limitAll gives what is not sent yet a limit: the caller waits for all of it.
func (c *Conn) limitAll(limit time.Duration) {
	for i := range c.unsent {
		if t := &c.unsent[i]; !t.waits {
			t.limited, t.limit = true, limit
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
	var few [8]*node.Batch
	c.mu.Lock()
	launch, err := c.flushLocked(few[:0])
	c.mu.Unlock()
	node.Launch(launch)
	return err
}

// flushLocked gives each node what it has to do, and appends to launch the batches
// that are to be launched once c.mu is free.
func (c *Conn) flushLocked(launch []*node.Batch) ([]*node.Batch, error) {
	if c.err != nil || c.flushed() {
		return launch, c.err
	}
	launch = c.enlist(launch)
	if len(c.unsent) == 0 {
		return launch, nil
	}
	byNode := make(map[int][]task)
	for _, u := range c.unsent {
		byNode[u.node] = append(byNode[u.node], u.task)
	}
	c.unsent, c.loaded = nil, nil
	for n, tasks := range byNode {
		tasks[0].after = c.afterLast(n)
		c.leg(n).do(tasks)
	}
	return launch, nil
}

// flushed reports that nothing waits for Flush. The caller holds c.mu.
func (c *Conn) flushed() bool {
	return len(c.unsent) == 0 && (c.desk == nil || len(c.desk.touched) == 0)
}

// outfit makes what the first leg needs. The caller holds c.mu.
func (c *Conn) outfit() {
	if c.legs != nil {
		return
	}
	c.legs, c.span = make(map[int]*leg), newSpan()
	if c.closing {
		c.span.endWaits()
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
	over := ctx.Err()
	for {
		var next upcoming
		err := c.next(&next)
		switch {
		case err != nil:
			return nil, err
		case next.sub != nil:
			return message(next.sub.conn)
		case next.due && over != nil && next.one.asked(): // though the reply may be quick
			c.abandon(over)
			return nil, next.located(nil, c.router.left(&next.one, over))
		case next.due:
			return c.await(ctx, &next)
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

// upcoming is what Receive has to do.
type upcoming struct {
	sub      *subscription // nil if the connection is none
	due      bool          // a reply is
	more     bool          // others are, too
	one      due
	position int    // of that among the replies of the pipeline
	text     string // how an error shows the command; set if it failed
}

// next flushes, and takes the command whose reply is due next, if any is. It tells so to
// u, which is zero.
func (c *Conn) next(u *upcoming) error {
	var few [8]*node.Batch
	c.mu.Lock()
	if u.sub = c.sub; u.sub != nil {
		c.mu.Unlock()
		return nil
	}
	launch, err := c.flushLocked(few[:0])
	if err == nil && c.desk != nil && c.desk.pop(&u.one) {
		u.due, u.more, u.position = true, c.pending() > 0, c.position
		c.position++
		if u.one.op != nil {
			c.tx.answerNow(u.one.op)
		}
	}
	c.mu.Unlock()
	node.Launch(launch)
	return err
}

// await waits for a reply. When ctx ends first, one is due that nobody will read, so
// the connection is given up.
func (c *Conn) await(ctx context.Context, u *upcoming) (any, error) {
	if u.one.of == nil {
		return c.awaitOp(ctx, u)
	}
	value, err, ended := c.router.reply(ctx, u.one.spot, u.one.info)
	if !ended {
		c.abandon(ctx.Err())
		return nil, u.located(nil, u.one.withdrawn(err, ctx.Err()))
	}
	err = u.located(value, err)
	c.taken(u.one.spot)
	return value, err
}

// awaitOp is await for a command that is not in just one batch.
func (c *Conn) awaitOp(ctx context.Context, u *upcoming) (any, error) {
	o := u.one.op
	if err := c.settle(ctx, o); err != nil {
		c.abandon(err)
		return nil, u.located(nil, c.router.unanswered(o, err))
	}
	value, err := c.router.result(o)
	return value, u.located(value, err)
}

// settle waits until an op is done.
func (c *Conn) settle(ctx context.Context, o *op) error {
	if o.from != nil {
		return c.gather(ctx, o)
	}
	select {
	case <-o.done:
		return nil
	default:
	}
	select {
	case <-o.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
