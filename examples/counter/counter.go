package main

import (
	"context"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
)

// counters are numbers under keys that are spread over the nodes of a cluster.
type counters struct {
	cluster *fluster.FlusterCluster
}

// add counts one more, at most once. While the key's home is down it counts on the
// node that stands in for it. Do tries again by itself when that cannot count twice;
// so of an error that is left, certain tells whether it surely did not count.
func (c counters) add(ctx context.Context, key string) (certain bool, err error) {
	_, err = c.cluster.Do(ctx, "INCR", key)
	return !fluster.MaybeExecuted(err), err
}

// value is what was counted, wherever it stands. An error says which nodes' parts are
// not in it; what a node holds that is down is not in it either.
func (c counters) value(ctx context.Context, key string) (int64, error) {
	return fanin.Sum[int64](ctx, c.cluster, key)
}

// values is value for many counters, with one round trip to each node.
func (c counters) values(ctx context.Context, keys []string) (map[string]int64, error) {
	return fanin.Sums[int64](ctx, c.cluster, keys...)
}
