package router

import (
	"context"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// splitting is a call under way whose parts go to several nodes.
type splitting struct {
	router *Router
	ctx    context.Context
	call   *call
	parts  []part
	under  []*node.Batch // the parts that go over what callers share; nil for others
	done   []command.Part
}

// split runs each part of a call on its node, and joins their replies. Parts are
// written to all nodes before any is waited for: over what callers share, or over
// connections of their own, each with a goroutine.
func (r *Router) split(ctx context.Context, c *call, parts []part) (any, error) {
	s := &splitting{
		router: r, ctx: ctx, call: c, parts: parts,
		under: make([]*node.Batch, len(parts)), done: make([]command.Part, len(parts)),
	}
	s.side(s.begin(), s.whole)
	s.side(s.collect(), s.repeat)
	return c.info.Split.Join(len(c.keys), s.done)
}

// side does some of the parts side by side.
func (s *splitting) side(parts []int, do func(i int)) {
	concurrently(len(parts), func(k int) { do(parts[k]) })
}

// begin writes what goes over what callers share, and returns the other parts.
func (s *splitting) begin() (others []int) {
	limited := node.LimitsReads(s.ctx) // which is not for all who share
	launch := make([]*node.Batch, 0, len(s.parts))
	for i, p := range s.parts {
		b := node.NewBatch()
		b.AddSome(s.call.cmd, s.call.args, s.call.places(p), s.call.info.Split.Width())
		if limited || !s.router.enlist(p.node, b, nil) {
			others = append(others, i)
			continue
		}
		s.router.budget.call()
		s.under[i] = b
		launch = append(launch, b)
	}
	node.Launch(launch)
	return others
}

// whole runs one part from the beginning.
func (s *splitting) whole(i int) {
	sub := s.call.sub(s.parts[i])
	s.end(i)(s.router.keyed(s.ctx, &sub))
}

// end returns what takes the reply to a part.
func (s *splitting) end(i int) func(value any, err error) {
	return func(value any, err error) {
		s.done[i] = command.Part{Keys: s.parts[i].keys, Reply: command.Reply{
			Node: s.router.cluster.Name(s.parts[i].node), Value: value, Err: err,
		}}
	}
}

// collect waits for what begin wrote, and returns the parts that failed.
func (s *splitting) collect() (failed []int) {
	for i, b := range s.under {
		if b == nil {
			continue
		}
		if err := b.Wait(s.ctx, 0); err != nil {
			s.end(i)(nil, s.left(b))
			continue
		}
		value, err := b.Reply(s.ctx, 0, s.call.cmd)
		b.Release()
		s.end(i)(value, err)
		if err != nil {
			failed = append(failed, i)
		}
	}
	return failed
}

// left is the error of a part that is not waited for any more.
func (s *splitting) left(b *node.Batch) error {
	err := b.Leave(s.ctx, s.call.cmd)
	if b.Withdraw(s.ctx.Err()) {
		return node.Unsent(err)
	}
	return err
}

// repeat repeats a part that failed, if it may be.
func (s *splitting) repeat(i int) {
	sub, err := s.call.sub(s.parts[i]), s.done[i].Err
	var t tries
	if s.router.again(s.ctx, &sub, &t, s.parts[i].node, err) {
		s.end(i)(s.router.try(s.ctx, &sub, &t))
		return
	}
	s.end(i)(s.done[i].Value, t.outcome(err))
}
