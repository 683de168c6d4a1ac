package router

import (
	"context"
	"slices"
	"sync"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// due is a command whose reply is to be received.
type due struct {
	info *command.Info // nil if the command could not be understood
	spot               // where the reply comes, if one node gives it; else there is an op
	op   *op
}

// spot is a place in a batch.
type spot struct {
	of *bundle
	at int
}

// bundle is a batch and the node that it is for.
type bundle struct {
	*node.Batch
	node int
	// Protected by the connection's mu.
	byLeg bool // a leg answers it
	kept  bool // a leg waits for its end
}

// desk is what a pipeline is put together on. Those of closed connections are used
// again.
type desk struct {
	queue   []due     // sent
	head    int       // of queue: the first that is not received
	open    []*bundle // by node: what waits for Flush; nil if nothing does
	last    []*bundle // by node: the last that was flushed, until its replies are taken
	touched []int     // the nodes in open, in the order of first use
}

// keptQueue is how much room of a queue is used again.
const keptQueue = 4096

var desks = sync.Pool{New: func() any { return new(desk) }}

// newDesk returns a desk for a cluster of so many nodes.
func newDesk(nodes int) *desk {
	d := desks.Get().(*desk)
	d.open, d.last = slices.Grow(d.open, nodes)[:nodes], slices.Grow(d.last, nodes)[:nodes]
	return d
}

// clear gives the desk to others. Batches that are under way are left to those who
// answer them.
func (d *desk) clear() {
	if cap(d.queue) > keptQueue {
		d.queue = nil
	}
	clear(d.queue[:cap(d.queue)])
	clear(d.open)
	clear(d.last)
	d.queue, d.head, d.touched = d.queue[:0], 0, d.touched[:0]
	desks.Put(d)
}

// under returns the batches with replies that are due, but for that of a command which was
// popped, in the order of their last commands.
func (d *desk) under() (batches []*node.Batch) {
	add := func(s spot) {
		if s.at == s.of.Len()-1 {
			batches = append(batches, s.of.Batch)
		}
	}
	for _, one := range d.queue[d.head:] {
		if one.of != nil {
			add(one.spot)
			continue
		}
		for _, s := range one.op.from {
			add(s)
		}
	}
	return batches
}

// push puts a command behind those that are due.
func (d *desk) push(one due) {
	if d.head > keptQueue && d.head > len(d.queue)/2 { // a queue that never ends
		n := copy(d.queue, d.queue[d.head:])
		clear(d.queue[n:])
		d.queue, d.head = d.queue[:n], 0
	}
	d.queue = append(d.queue, one)
}

// pop takes the next that is due, if any is, into one.
func (d *desk) pop(one *due) bool {
	if d.head == len(d.queue) {
		return false
	}
	*one, d.queue[d.head] = d.queue[d.head], due{}
	if d.head++; d.head == len(d.queue) {
		d.queue, d.head = d.queue[:0], 0
	}
	return true
}

// bundle returns what is to be flushed to a node.
func (d *desk) bundle(n int) *bundle {
	b := d.open[n]
	if b == nil {
		b = &bundle{Batch: node.NewBatch(), node: n}
		d.open[n] = b
		d.touched = append(d.touched, n)
	}
	return b
}

// add adds a command, whose reply then comes at that spot.
func (b *bundle) add(cmd string, args []any) spot {
	b.Add(cmd, args)
	return spot{b, b.Len() - 1}
}

// reply waits for a reply within ctx and returns it; ended reports false if ctx ended
// before.
func (r *Router) reply(ctx context.Context, s spot, info *command.Info) (value any, err error, ended bool) {
	if err := s.of.Wait(ctx, s.at); err != nil {
		if left := s.of.Leave(ctx, info.Name); left != nil {
			return nil, left, false
		}
		return nil, r.left(&due{info: info, spot: s}, err), false
	}
	value, err = s.of.Reply(ctx, s.at, info.Name)
	return value, unbelieved(info, err), true
}

// asked reports a command that some node was asked about.
func (d *due) asked() bool { return d.of != nil || len(d.op.parts) > 0 }

// left is the error of a command that nobody waits for any more because of err: it may
// have been executed, unless it is in line. Those behind it are withdrawn before.
func (r *Router) left(d *due, err error) error {
	if d.of == nil {
		return r.unanswered(d.op, err)
	}
	return r.leftAt(d.spot, d.of.node, d.info.Name, err)
}

// leftAt is the error of what nobody waits for any more at a spot, or, its reply being
// taken, at none.
func (r *Router) leftAt(s spot, n int, name string, err error) error {
	left := node.Unanswered(r.cluster.Name(n), name, err)
	if s.of == nil {
		return left
	}
	return s.withdrawn(left, err)
}

// withdrawn is the error of a command that nobody waits for any more because of cause: it
// was not sent if its batch is still in line, which is then out.
func (s spot) withdrawn(left, cause error) error {
	if s.of.Withdraw(cause) {
		return node.Unsent(left)
	}
	return left
}

// batchable reports a command that may go out with those of other callers.
func batchable(k *call) bool {
	return (k.info.Route == command.ByKey || k.info.Route == command.ByChannel) && mayShare(k.info, k.args)
}

// bundle puts a command into the batches of its nodes. The caller holds c.mu.
func (c *Conn) bundle(k *call) due {
	if len(k.keys) == 1 {
		n, err := c.router.cluster.View().Locate(command.Text(k.args[k.keys[0]]))
		if err != nil {
			return due{op: answered(nil, err).shownAs(k.text())}
		}
		c.bundleScript(k, n)
		return due{info: k.info, spot: c.desk.bundle(n).add(k.cmd, k.args)}
	}
	parts, err := c.router.targets(k)
	switch {
	case err != nil:
		return due{op: answered(nil, err).shownAs(k.text())}
	case len(parts) == 1:
		c.bundleScript(k, parts[0].node)
		return due{info: k.info, spot: c.desk.bundle(parts[0].node).add(k.cmd, k.args)}
	}
	return due{info: k.info, op: c.bundleParts(k, parts).shownAs(k.text())}
}

// bundleParts puts each part of a command into the batch of its node. It keeps none of
// the arguments, which are the caller's.
func (c *Conn) bundleParts(k *call, parts []part) *op {
	o := &op{
		call: call{cmd: k.cmd, info: k.info, keys: k.keys}, parts: parts,
		replies: make([]command.Reply, len(parts)), from: make([]spot, len(parts)),
	}
	for i, p := range parts {
		b := c.desk.bundle(p.node)
		b.AddSome(k.cmd, k.args, k.places(p), k.info.Split.Width())
		o.from[i] = spot{b, b.Len() - 1}
	}
	return o
}

// bundleScript puts the script of an EVALSHA in front of it.
func (c *Conn) bundleScript(k *call, n int) {
	was := len(c.unsent)
	c.load(k, n)
	for _, u := range c.unsent[was:] {
		c.desk.bundle(n).Add(u.cmd, u.args)
	}
	c.unsent = c.unsent[:was]
}

// enlist gives the batches that are open to what callers share of their nodes, or to
// legs, and appends to launch those that are to be launched. The caller holds c.mu.
func (c *Conn) enlist(launch []*node.Batch) []*node.Batch {
	if c.desk == nil {
		return launch
	}
	for _, n := range c.desk.touched {
		b := c.desk.open[n]
		c.desk.open[n] = nil
		if c.mayEnlist(n) && c.router.enlist(n, b.Batch, c.last(n)) {
			launch = append(launch, b.Batch)
		} else {
			tasks := b.tasks()
			tasks[0].after = c.afterLast(n)
			c.leg(n).do(tasks)
		}
		c.desk.last[n] = b
	}
	c.desk.touched = c.desk.touched[:0]
	return launch
}

// mayEnlist reports that no leg has anything to do on a node that must come first.
func (c *Conn) mayEnlist(n int) bool {
	l := c.legs[n]
	return l == nil || l.free()
}

// last returns the batch that was flushed last to a node, if its replies are not all
// taken.
func (c *Conn) last(n int) *node.Batch {
	if c.desk == nil || c.desk.last[n] == nil {
		return nil
	}
	return c.desk.last[n].Batch
}

// afterLast returns what a leg on a node has to wait for before it may begin: the end
// of the last batch there. It is nil if there is none.
func (c *Conn) afterLast(n int) <-chan struct{} {
	if c.desk == nil || c.desk.last[n] == nil || c.desk.last[n].Ended() {
		return nil
	}
	b := c.desk.last[n]
	if b.byLeg || b.kept {
		return nil // the leg is behind it already
	}
	b.kept = true
	return b.Over()
}

// tasks returns the commands of a batch for a leg.
func (b *bundle) tasks() []task {
	b.byLeg = true
	tasks := make([]task, b.Len())
	for i := range tasks {
		tasks[i] = task{batch: b.Batch}
		tasks[i].cmd, tasks[i].args = b.Command(i)
	}
	return tasks
}

// unbundle makes what is in open batches something for legs. The caller holds c.mu.
func (c *Conn) unbundle() {
	for _, n := range c.desk.touched {
		b := c.desk.open[n]
		c.desk.open[n] = nil
		for _, t := range b.tasks() {
			c.unsent = append(c.unsent, unsent{n, t})
		}
	}
	c.desk.touched = c.desk.touched[:0]
}

// taken notes that a reply was taken; with the last one its batch is given up.
func (c *Conn) taken(s spot) {
	if s.at < s.of.Len()-1 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.desk != nil && c.desk.last[s.of.node] == s.of {
		c.desk.last[s.of.node] = nil
	}
	if !s.of.kept {
		s.of.Release()
	}
}

// gather waits for the replies of all nodes to an op.
func (c *Conn) gather(ctx context.Context, o *op) error {
	for i, s := range o.from {
		value, err, ended := c.router.reply(ctx, s, o.call.info)
		if !ended {
			return ctx.Err()
		}
		c.taken(s)
		o.from[i] = spot{}
		o.replies[i] = command.Reply{Node: c.router.cluster.Name(s.of.node), Value: value, Err: err}
	}
	return nil
}
