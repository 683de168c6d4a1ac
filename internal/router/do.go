package router

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// blockMargin is how much longer than it was told to wait a blocking command is
// waited for.
const blockMargin = time.Second

// Do runs one command. It does not keep args.
func (r *Router) Do(ctx context.Context, cmd string, args []any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if info, key, ok := command.Plain(cmd, args); ok {
		if at, err := r.cluster.View().Locate(key); err == nil {
			if begun, ok := r.begin(ctx, at, cmd, args); ok {
				reply, err := begun.Wait(ctx, cmd)
				if err == nil {
					r.budget.call()
					return reply, nil
				}
				return r.retry(ctx, at, info, cmd, args, reply, err)
			}
		}
	}
	return r.do(ctx, cmd, node.PlainArgs(slices.Concat(args))) // methods of the caller's are called once, and by nobody else
}

// begin begins a command on a node, if that can be done without waiting.
func (r *Router) begin(ctx context.Context, at int, cmd string, args []any) (node.Call, bool) {
	if n := r.cluster.Node(at); n != nil {
		return n.Begin(ctx, cmd, args)
	}
	return node.Call{}, false
}

// retry goes on with a call whose first argument is its key, and that failed at a node.
func (r *Router) retry(ctx context.Context, at int, info *command.Info, cmd string, args []any, reply any, err error) (any, error) {
	r.budget.call()
	c := &call{cmd: cmd, args: slices.Concat(args), info: info, keys: []int{0}}
	var t tries
	if !r.again(ctx, c, &t, at, err) {
		return reply, t.outcome(err)
	}
	return r.try(ctx, c, &t)
}

// do runs one command of any kind, whose arguments are plain and its own.
func (r *Router) do(ctx context.Context, cmd string, args []any) (any, error) {
	c := calls.Get().(*call)
	defer c.release()
	c.cmd, c.args = cmd, args
	if err := r.understand(ctx, c); err != nil {
		return nil, err
	}
	switch c.info.Route {
	case command.FanOut:
		return r.fanOut(ctx, c)
	case command.OnConn:
		return nil, fmt.Errorf("%w: %s needs a connection of its own", ErrRefused, c.name())
	}
	return r.keyed(ctx, c)
}

// calls are those of Do, to be used again: nobody keeps one when Do returns.
var calls = sync.Pool{New: func() any { return new(call) }}

func (c *call) release() {
	const modest = 256
	if cap(c.keys) > modest {
		c.keys = nil
	}
	*c = call{keys: c.keys[:0]}
	calls.Put(c)
}

// fanOut runs a call that has no key on the nodes that live; one that changes
// something, on all, so that a node which is out is not passed over in silence.
func (r *Router) fanOut(ctx context.Context, c *call) (any, error) {
	nodes, err := r.cluster.View().Live()
	if err != nil {
		return nil, err
	}
	if !c.info.Repeatable {
		nodes = r.all()
	}
	replies := r.eachOf(nodes, func(n int) (any, error) { return r.onPart(ctx, c, n) })
	r.scripts.see(c, replies)
	return c.info.OneOf(replies)
}

// onPart runs a call that has no key on one of its nodes. It is repeated as others are,
// but only there, and while the node lives.
func (r *Router) onPart(ctx context.Context, c *call, n int) (any, error) {
	r.budget.call()
	var t tries
	for {
		reply, err := r.onOwn(ctx, n, c.cmd, c.args, c.info)
		err = unbelieved(c.info, err)
		if err == nil || !r.lives(n) || !r.again(ctx, c, &t, n, err) {
			return reply, t.outcome(err)
		}
	}
}

func (r *Router) lives(n int) bool {
	live, err := r.cluster.View().Live()
	return err == nil && slices.Contains(live, n)
}

func (r *Router) all() []int {
	nodes := make([]int, r.cluster.Len())
	for i := range nodes {
		nodes[i] = i
	}
	return nodes
}

// Fan runs one command on each of some nodes at once, and returns their replies
// in that order. Nothing is repeated.
func (r *Router) Fan(ctx context.Context, nodes []int, cmd string, args []any) []command.Reply {
	info, _ := command.Lookup(cmd, args)
	args = node.PlainArgs(args) // as in fanOut
	return r.eachOf(nodes, func(n int) (any, error) {
		value, err := r.onOwn(ctx, n, cmd, args, info)
		if info != nil {
			err = unbelieved(info, err)
		}
		return value, err
	})
}

// eachOf calls do for each of some nodes at once, and returns what it returned, in
// that order.
func (r *Router) eachOf(nodes []int, do func(n int) (any, error)) []command.Reply {
	replies := make([]command.Reply, len(nodes))
	concurrently(len(nodes), func(i int) {
		value, err := do(nodes[i])
		replies[i] = command.Reply{Node: r.cluster.Name(nodes[i]), Value: value, Err: err}
	})
	return replies
}

// concurrently calls f with 0 to n-1, the last of them in the caller's goroutine.
func concurrently(n int, f func(i int)) {
	if n == 0 {
		return
	}
	var wg sync.WaitGroup
	for i := range n - 1 {
		wg.Go(func() { f(i) })
	}
	f(n - 1)
	wg.Wait()
}

// keyed runs a call on the node of its keys, or over their nodes.
func (r *Router) keyed(ctx context.Context, c *call) (any, error) {
	r.budget.call()
	var t tries
	return r.try(ctx, c, &t)
}

// try runs a call of which t is known until it is not to be repeated any more.
func (r *Router) try(ctx context.Context, c *call, t *tries) (any, error) {
	for {
		at, parts, err := r.home(r.cluster.View(), c)
		if err != nil {
			return nil, cmp.Or(t.open, err)
		}
		if len(parts) > 1 {
			return r.over(ctx, c, parts)
		}
		reply, err := r.on(ctx, at, c.cmd, c.args, c.info)
		err = unbelieved(c.info, err)
		if err == nil || !r.again(ctx, c, t, at, err) {
			return reply, t.outcome(err)
		}
	}
}

// over runs a call whose keys belong to several nodes, if it may.
func (r *Router) over(ctx context.Context, c *call, parts []part) (any, error) {
	allowed := c.info.Split != command.NoSplit && (c.info.Split != command.NonAtomic || r.cfg.NonAtomic)
	if r.cfg.Whole || !allowed {
		return nil, r.crossNode(c, parts)
	}
	switch c.info.Split {
	case command.Algebra:
		return r.algebra(ctx, c)
	case command.NonAtomic:
		return r.nonAtomic(ctx, c, parts)
	}
	return r.split(ctx, c, parts)
}

// algebra reads the sets that a call combines, each from its node, and combines
// them here.
func (r *Router) algebra(ctx context.Context, c *call) (any, error) {
	if err := c.info.CheckFirst(c.args, len(c.keys)); err != nil {
		return nil, err
	}
	members, err := r.fetch(ctx, c, c.keys)
	if err != nil {
		return nil, err
	}
	return c.info.Combine(c.args, members)
}

// fetch reads each of some keys whole: the nodes side by side, the keys of a node
// one after the other, so that many keys take no more connections than nodes.
func (r *Router) fetch(ctx context.Context, c *call, keys []int) ([]any, error) {
	parts, err := r.locate(r.cluster.View(), &call{args: c.args, info: c.info, keys: keys})
	if err != nil {
		return nil, err
	}
	if len(keys) == 1 {
		parts[0].keys = []int{0}
	}
	members, errs := make([]any, len(keys)), make([]error, len(keys))
	concurrently(len(parts), func(i int) {
		for _, k := range parts[i].keys {
			cmd, args, _ := c.info.Fetch(c.args[keys[k]])
			if members[k], errs[k] = r.Do(ctx, cmd, args); errs[k] != nil {
				return
			}
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return members, nil
}

// on runs a command on one node: over what all callers share, if it may, or over a
// connection of the pool.
func (r *Router) on(ctx context.Context, n int, cmd string, args []any, info *command.Info) (any, error) {
	if mayShare(info, args) {
		reply, shared, err := r.cluster.Do(ctx, n, cmd, args)
		switch {
		case shared && r.scripts.lacks(cmd, err):
			return r.reload(ctx, n, cmd, args, err)
		case shared:
			return reply, err
		}
	}
	return r.onOwn(ctx, n, cmd, args, info)
}

// reload gives a node the script that it said it lacks, over a connection of its
// pool, and runs the call there. If there is none to be had, what the node said
// stands: only it can tell whether the call has run.
func (r *Router) reload(ctx context.Context, n int, cmd string, args []any, lacking error) (any, error) {
	conn, err := r.cluster.Pool(n).GetContext(ctx)
	if err != nil {
		return nil, lacking
	}
	defer conn.Close()
	return r.scripts.reload(ctx, conn, cmd, args, lacking)
}

// Lasting reports a command that changes the connection that it goes over, for
// whoever has that next.
func (r *Router) Lasting(cmd string, args []any) bool {
	info, err := command.Lookup(cmd, args)
	return err == nil && info.Stateful
}

// mayShare reports a command that leaves nothing behind on its connection and does
// not keep those waiting that come after it.
func mayShare(info *command.Info, args []any) bool {
	if info == nil || info.Stateful {
		return false
	}
	_, blocks := info.Blocks(args)
	return !blocks
}

// onOwn runs a command on a connection of one node's pool. A command that blocks is
// waited for as long as it was told to wait.
func (r *Router) onOwn(ctx context.Context, n int, cmd string, args []any, info *command.Info) (any, error) {
	conn, err := r.cluster.Pool(n).GetContext(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if info != nil {
		if limit, blocks := info.Blocks(args); blocks {
			if limit > 0 {
				limit += blockMargin
			}
			ctx = node.WithReadLimit(ctx, limit)
		}
	}
	reply, err := redis.DoContext(conn, ctx, cmd, args...)
	if r.scripts.lacks(cmd, err) {
		return r.scripts.reload(ctx, conn, cmd, args, err)
	}
	return reply, err
}
