// Package fluster spreads keys over plain, independent Redis servers.
//
// A [FlusterCluster] wraps redigo pools, one for each node, behind a consistent
// hash ring. [FlusterCluster.GetClient] returns the pool of the node that a key
// belongs to; a node that fails goes to a penalty box, its keys and only its
// keys go to the other nodes at once, and they come home when it answers again.
// [FlusterCluster.Iter] walks every live node, so that a worker drains all of
// them.
//
//	cluster, err := fluster.Open("redis://10.0.0.1:6379", "redis://10.0.0.2:6379")
//	if err != nil {
//		return err
//	}
//	defer cluster.Close()
//	pool, err := cluster.GetClient("user:42")
//
// # What it does not do
//
// Keys are not replicated and not moved: what a node held is out of reach while
// it is out, and what was written elsewhere meanwhile stays there when it is
// back. So a key may stand on two nodes after an outage, with two values. That
// suits caches, queues and counters that can be summed; it does not suit data of
// which there must be one copy.
//
// # Errors
//
// A failure to reach a node is a [NodeError]; an error that the server replied
// stays a redis.Error. [SafeToRetry] and [MaybeExecuted] tell whether the
// command can have run. When no node lives, the error is [ErrClusterEmpty].
//
// # Concurrency
//
// All methods of a FlusterCluster may be used by any number of goroutines at
// once. A redis.Conn, also one of a cluster's pools, is for one goroutine at a
// time, as redigo has it.
package fluster
