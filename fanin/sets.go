package fanin

import (
	"context"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
)

// Union returns the members of a set wherever its parts stand, over all live nodes,
// each once and in no particular order. It reads each node's part whole; for a large
// one there is SScan.
//
// If a node fails, the members are those of the others, and the error is a
// NodesError. When no node lives it is ErrClusterEmpty. Union returns soon after ctx
// ends.
func Union(ctx context.Context, c *fluster.FlusterCluster, key string) ([]string, error) {
	parts, err := gather(ctx, c, func(ctx context.Context, conn redis.Conn) ([]string, error) {
		return redis.Strings(redis.DoContext(conn, ctx, "SMEMBERS", key))
	})
	seen := make(map[string]bool)
	var members []string
	for _, p := range parts {
		for _, m := range p {
			if !seen[m] {
				seen[m] = true
				members = append(members, m)
			}
		}
	}
	return members, err
}

// Concat returns the elements of a list wherever its parts stand, over all live
// nodes: each node's part in its own order, one after the other in the order of
// Config.Nodes. Which of them was pushed before an element of another node cannot be
// known. Errors are as with Union.
func Concat(ctx context.Context, c *fluster.FlusterCluster, key string) ([]string, error) {
	parts, err := gather(ctx, c, func(ctx context.Context, conn redis.Conn) ([]string, error) {
		return redis.Strings(redis.DoContext(conn, ctx, "LRANGE", key, 0, -1))
	})
	var elements []string
	for _, p := range parts {
		elements = append(elements, p...)
	}
	return elements, err
}
