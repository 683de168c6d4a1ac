// Package fanin reads from all nodes of a cluster at once: what stands on any of
// them comes out at one place, while nodes come and go.
//
// It stands on top of package fluster. A cluster places each key at one node; the
// functions here pass that by on purpose and use the same names on every live node:
// a queue that producers push to wherever they reach a node, channels that are
// published anywhere, what an outage left on two nodes.
//
// A node that fails costs only its own part, and says so; it is taken up again when
// the cluster releases it from the penalty box.
//
// # Queues
//
// A [Popper] waits on all live nodes at once with BLPOP, BLMOVE, XREADGROUP and their
// like, and loses nothing when a context ends or a loop is left:
//
//	jobs, err := fanin.NewPopper(cluster, fanin.BLMove("jobs", "jobs:taken:worker-7", "LEFT", "RIGHT"))
//	if err != nil {
//		return err
//	}
//	for job, err := range jobs.Items(ctx) {
//		if err != nil {
//			log.Print(err) // of one node; the loop goes on with the others
//			continue
//		}
//		do(job.Value) // then LREM jobs:taken:worker-7 at job.Node
//	}
package fanin
