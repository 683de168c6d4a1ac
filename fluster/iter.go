package fluster

import (
	"context"
	"iter"
	"slices"
)

// Iter walks the live nodes round and round, in the order of Config.Nodes. It
// skips a node from the moment it is penalized and takes it up again from the
// moment it is released, in a walk that already runs. Every walk has a position
// of its own, and walks begin at different nodes, so that many short ones spread
// evenly.
//
// The walk ends when ctx does, without an error. When no node lives it yields
// ErrClusterEmpty once and ends; after Close, ErrClosed.
//
// Iter does no I/O and never waits. So a walk whose body finds nothing to do is
// a busy loop: pause in the body when a whole round was empty, as the example does.
func (c *FlusterCluster) Iter(ctx context.Context) iter.Seq2[Node, error] {
	return func(yield func(Node, error) bool) {
		at := c.startOfWalk()
		for ctx.Err() == nil {
			s := c.snapshot.Load()
			if len(s.live) == 0 {
				yield(Node{}, s.err)
				return
			}
			at = s.next(at)
			if !yield(c.nodes[at], nil) {
				return
			}
			at++
		}
	}
}

// Rounds is n passes over the live nodes. A pass visits each node that lives when
// it begins once, but for those penalized since; a node released meanwhile is in
// the next pass. So the walk ends whatever the nodes do. If n is zero or
// negative there are no passes. In everything else it is as Iter.
func (c *FlusterCluster) Rounds(ctx context.Context, n int) iter.Seq2[Node, error] {
	return func(yield func(Node, error) bool) {
		start := c.startOfWalk()
		for range n {
			if !c.pass(ctx, start, yield) {
				return
			}
		}
	}
}

// pass visits the nodes that live now, from start on, and reports whether the
// walk goes on.
func (c *FlusterCluster) pass(ctx context.Context, start int, yield func(Node, error) bool) bool {
	begun := c.snapshot.Load()
	if len(begun.live) == 0 && ctx.Err() == nil {
		yield(Node{}, begun.err)
		return false
	}
	for _, i := range begun.from(start) {
		if ctx.Err() != nil {
			return false
		}
		now := c.snapshot.Load()
		if len(now.live) == 0 {
			yield(Node{}, now.err)
			return false
		}
		if _, lives := slices.BinarySearch(now.live, i); lives && !yield(c.nodes[i], nil) {
			return false
		}
	}
	return true
}

// startOfWalk returns the node that the next walk begins with.
func (c *FlusterCluster) startOfWalk() int {
	live := c.snapshot.Load().live
	if len(live) == 0 {
		return 0
	}
	return live[(c.walks.Add(1)-1)%uint32(len(live))]
}

// next returns the first live node at or after at, going round.
func (s *snapshot) next(at int) int {
	i, _ := slices.BinarySearch(s.live, at)
	return s.live[i%len(s.live)]
}

// from returns the live nodes in the order of a round that begins at start.
func (s *snapshot) from(start int) []int {
	i, _ := slices.BinarySearch(s.live, start)
	return slices.Concat(s.live[i:], s.live[:i])
}
