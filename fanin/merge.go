package fanin

import (
	"context"
	"sync"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/command"
)

// gather runs read on a connection of every live node at once and returns what
// they gave, in the order of the nodes, also what came with an error. The error is
// a NodesError with those of the nodes that failed, or ErrClusterEmpty.
func gather[T any](ctx context.Context, c *fluster.FlusterCluster, read func(context.Context, redis.Conn) (T, error)) ([]T, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	nodes, _, err := c.Live()
	if err != nil {
		return nil, err
	}
	parts, errs := make([]T, len(nodes)), make([]error, len(nodes))
	var all sync.WaitGroup
	for i, n := range nodes {
		all.Go(func() { parts[i], errs[i] = readAt(ctx, n, read) })
	}
	all.Wait()
	return parts, nodesError(nodes, errs)
}

// readAt runs read on a connection of one node.
func readAt[T any](ctx context.Context, n fluster.Node, read func(context.Context, redis.Conn) (T, error)) (T, error) {
	conn, err := n.Pool.GetContext(ctx)
	if err != nil {
		var none T
		return none, err
	}
	defer conn.Close()
	return read(ctx, conn)
}

// nodesError joins the errors of the nodes that failed.
func nodesError(nodes []fluster.Node, errs []error) error {
	failed := &fluster.NodesError{Total: len(nodes)}
	for i, err := range errs {
		if err != nil {
			failed.Failed = append(failed.Failed, command.Reply{Node: nodes[i].Name, Err: err})
		}
	}
	if len(failed.Failed) == 0 {
		return nil
	}
	return failed
}
