package main

import (
	"context"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
)

// betweenResumes is how often a worker looks for jobs that it took without hearing of
// it: a server whose client is gone may notice late, and give it one more. A service
// would wait a minute.
const betweenResumes = 2 * time.Second

// queue is a list of jobs under the same key on every node of a cluster.
type queue struct {
	cluster *fluster.FlusterCluster
	key     string
}

// push adds a job at the node that its id picks, at least once. When an answer
// was lost it pushes again: the job may then stand in the queue twice, which
// doubted tells. Handlers must be able to bear that, as with every queue that
// loses nothing. It returns an error only when ctx ends.
func (q *queue) push(ctx context.Context, id string) (doubted bool, err error) {
	for wait := time.Duration(0); ; wait = min(2*wait+time.Millisecond, 50*time.Millisecond) {
		node, err := q.cluster.Locate(id) // again each time: not the node that just died
		if err == nil {
			_, err = do(node, "RPUSH", q.key, id)
		}
		if err == nil {
			return doubted, nil
		}
		doubted = doubted || fluster.MaybeExecuted(err)
		if err := pause(ctx, wait); err != nil {
			return doubted, err
		}
	}
}

// taken is the list of the jobs that a worker has taken and not acknowledged.
func (q *queue) taken(worker string) string { return q.key + ":taken:" + worker }

// worker takes jobs from all nodes and hands them to handle, one at a time.
type worker struct {
	queue  *queue
	taken  string // its own list on every node
	jobs   *fanin.Popper
	handle func(id string)

	unacknowledged map[string]bool // jobs that were handled and perhaps still stand in taken
}

// newWorker returns a worker. Its name must be its own, and kept over restarts:
// what it had taken when it died it does when it is back.
func newWorker(q *queue, name string, handle func(id string)) (*worker, error) {
	taken := q.taken(name)
	// Not BLPOP: a job whose answer is lost would be lost with it.
	jobs, err := fanin.NewPopper(q.cluster, fanin.BLMove(q.key, taken, "LEFT", "RIGHT"))
	if err != nil {
		return nil, err
	}
	return &worker{queue: q, taken: taken, jobs: jobs, handle: handle, unacknowledged: map[string]bool{}}, nil
}

// run works until ctx ends. A node that is down is left out, and waited on again when
// it is back, so nothing is said of that here.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.resume(ctx)
		w.work(ctx)
	}
	_, _ = w.jobs.Close() // nothing is left: the loop in work ran to its end
}

// resume does what stands in the worker's own lists: what it took in an earlier life,
// or without hearing of it, and what it could not acknowledge. It is not to be called
// while the Popper may hold a job, which stands there as well.
func (w *worker) resume(ctx context.Context) {
	replies, _ := w.queue.cluster.Each(ctx, fluster.LiveNodes(), "LRANGE", w.taken, 0, -1)
	for _, r := range replies {
		ids, _ := redis.Strings(r.Reply, r.Err) // a node that fails has its turn next time
		for _, id := range ids {
			w.finish(r.Node, id)
		}
	}
}

// work does jobs as they come, for a while or until it is in doubt whether one was
// taken. When the loop's context ends, it still yields what was taken by then.
func (w *worker) work(ctx context.Context) {
	ctx, enough := context.WithTimeout(ctx, betweenResumes)
	defer enough()
	for job, err := range w.jobs.Items(ctx) {
		switch {
		case err == nil:
			w.finish(job.Node, job.Value)
		case fluster.MaybeExecuted(err):
			enough()
		}
	}
}

// finish handles a job, unless that was done before, and acknowledges it. To
// acknowledge twice does no harm, so an answer that is lost costs nothing here.
func (w *worker) finish(node fluster.Node, id string) {
	if !w.unacknowledged[id] {
		w.handle(id)
		w.unacknowledged[id] = true
	}
	if _, err := do(node, "LREM", w.taken, 1, id); err == nil {
		delete(w.unacknowledged, id)
	}
}

// do runs one command at a node.
func do(node fluster.Node, cmd string, args ...any) (any, error) {
	conn := node.Pool.Get()
	defer conn.Close()
	return conn.Do(cmd, args...)
}

// pause waits for d, or until ctx ends, and returns why ctx did.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
