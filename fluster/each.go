package fluster

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/redisfluster/fluster/internal/command"
)

// NodeReply is what one node replied.
type NodeReply struct {
	Node  Node
	Reply any   // in the types that redigo gives
	Err   error // a NodeError, or the server's error reply
}

// NodesError is the error of a call to several nodes of which some failed. It has
// the fields
//
//	Total  int      // how many nodes there were
//	Failed []Reply  // those that failed: Node, the name, and Err
//
// and errors.Is and errors.As find the errors of all of them.
type NodesError = command.NodesError

// Targets says which nodes a call of Each goes to.
type Targets struct {
	choose func(c *FlusterCluster, s *snapshot) ([]int, error)
}

// LiveNodes are all nodes that live. If none does, the error is ErrClusterEmpty.
func LiveNodes() Targets {
	return Targets{func(_ *FlusterCluster, s *snapshot) ([]int, error) { return s.Live() }}
}

// AllNodes are all nodes; those that are down fail at once.
func AllNodes() Targets {
	return Targets{func(c *FlusterCluster, _ *snapshot) ([]int, error) {
		all := make([]int, len(c.nodes))
		for i := range all {
			all[i] = i
		}
		return all, nil
	}}
}

// NodesNamed are the nodes of these names, in this order.
func NodesNamed(names ...string) Targets {
	return Targets{func(c *FlusterCluster, _ *snapshot) ([]int, error) {
		var nodes []int
		for _, name := range names {
			i := slices.IndexFunc(c.nodes, func(n Node) bool { return n.Name == name })
			if i < 0 {
				return nil, fmt.Errorf("fluster: there is no node %q", name)
			}
			nodes = append(nodes, i)
		}
		return nodes, nil
	}}
}

// NodeOf is the node that key belongs to.
func NodeOf(key string) Targets {
	return Targets{func(_ *FlusterCluster, s *snapshot) ([]int, error) {
		i, err := s.Locate(key)
		return []int{i}, err
	}}
}

// AnyNode is one of the nodes that live, at random.
func AnyNode() Targets {
	return Targets{func(_ *FlusterCluster, s *snapshot) ([]int, error) {
		live, err := s.Live()
		if err != nil {
			return nil, err
		}
		return []int{live[rand.IntN(len(live))]}, nil
	}}
}

// Each runs one command on each of some nodes at once and returns every node's reply
// and error, in the order of Config.Nodes or of the names given. The error joins those
// of the nodes that failed, as a NodesError; the replies of the others are there all
// the same. Nothing is repeated. It returns soon after ctx ends.
//
// The command goes over pooled connections. One that would change its connection
// for whoever has it next, such as SELECT, is ErrRefused.
func (c *FlusterCluster) Each(ctx context.Context, to Targets, cmd string, args ...any) ([]NodeReply, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if cmd == "" {
		return nil, fmt.Errorf("%w: it has no name", ErrRefused)
	}
	if c.router.Lasting(cmd, args) {
		return nil, fmt.Errorf("%w: %s changes a connection of the pool for whoever has it next", ErrRefused, cmd)
	}
	s := c.snapshot.Load()
	if to.choose == nil {
		to = LiveNodes()
	}
	nodes, err := to.choose(c, s)
	if err != nil {
		return nil, err
	}
	replies := make([]NodeReply, len(nodes))
	failed := &NodesError{Total: len(nodes)}
	for i, r := range c.router.Fan(ctx, nodes, cmd, args) {
		replies[i] = NodeReply{Node: c.nodes[nodes[i]], Reply: r.Value, Err: r.Err}
		if r.Err != nil {
			failed.Failed = append(failed.Failed, r)
		}
	}
	if len(failed.Failed) > 0 {
		return replies, failed
	}
	return replies, nil
}
