package main

import (
	"context"
	"errors"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
)

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
	handle func(id string)

	broken map[string]handled // by node, if the last visit there was broken off
}

// handled are jobs that were handled and whose acknowledgement is not certain.
type handled map[string]bool

// newWorker returns a worker. Its name must be its own, and kept over restarts:
// what it had taken when it died it does when it is back.
func newWorker(q *queue, name string, handle func(id string)) *worker {
	w := &worker{queue: q, taken: q.taken(name), handle: handle, broken: map[string]handled{}}
	for _, n := range q.cluster.Nodes() {
		w.broken[n.Name] = handled{} // by an earlier life, perhaps
	}
	return w
}

// run works until ctx ends. Iter skips a node that is down and takes it up
// again when it is back, so nothing is said of that here. It never waits, so a
// worker that finds nothing on a whole round must.
func (w *worker) run(ctx context.Context) {
	empty := 0 // visits in a row without a job
	for ctx.Err() == nil {
		for node, err := range w.queue.cluster.Iter(ctx) {
			if err != nil {
				break // no node lives
			}
			if w.visit(node) {
				empty = 0
				continue
			}
			if empty++; empty >= len(w.queue.cluster.Nodes()) {
				empty = 0
				_ = pause(ctx, 5*time.Millisecond)
			}
		}
		_ = pause(ctx, 20*time.Millisecond)
	}
}

// visit takes and does one job of a node, after those that a visit left which
// was broken off. It reports whether there was one.
func (w *worker) visit(node fluster.Node) bool {
	if w.resume(node) != nil {
		return false
	}
	// Not LPOP: a job whose answer is lost would be lost with it.
	id, err := redis.String(do(node, "LMOVE", w.queue.key, w.taken, "LEFT", "RIGHT"))
	switch {
	case err == nil:
		return w.finish(node, id, handled{}) == nil
	case !errors.Is(err, redis.ErrNil):
		w.broken[node.Name] = handled{} // perhaps a job was taken
	}
	return false
}

// resume does what stands in the worker's own list at a node, if the last visit
// there was broken off.
func (w *worker) resume(node fluster.Node) error {
	before, broken := w.broken[node.Name]
	if !broken {
		return nil
	}
	ids, err := redis.Strings(do(node, "LRANGE", w.taken, 0, -1))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := w.finish(node, id, before); err != nil {
			return err
		}
	}
	delete(w.broken, node.Name)
	return nil
}

// finish handles a job, unless that was done before, and acknowledges it. To
// acknowledge twice does no harm, so an answer that is lost costs nothing here.
func (w *worker) finish(node fluster.Node, id string, before handled) error {
	if !before[id] {
		w.handle(id)
		before[id] = true
	}
	_, err := do(node, "LREM", w.taken, 1, id)
	if err != nil {
		w.broken[node.Name] = before
	}
	return err
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
