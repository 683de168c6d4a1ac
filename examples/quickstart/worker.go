package main

import (
	"context"
	"errors"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
)

// worker takes jobs from all nodes and does them, one at a time.
type worker struct {
	*workload
	mine   string             // the list, on every node, of what it has taken
	broken map[string]handled // by node, if the last visit there was broken off
}

// handled are jobs that were handled and whose acknowledgement is not certain.
type handled map[string]bool

func (w *workload) newWorker(name string) *worker {
	return &worker{workload: w, mine: w.taken(name), broken: map[string]handled{}}
}

// run works until ctx ends. Iter skips a node that is down and takes it up
// again when it is back, so nothing is said of that here. It never waits, so a
// worker that finds nothing on a whole round must.
func (w *worker) run(ctx context.Context) {
	empty := 0 // visits in a row without a job
	for ctx.Err() == nil {
		for node, err := range w.cluster.Iter(ctx) {
			if err != nil {
				break // no node lives
			}
			if w.visit(ctx, node) {
				empty = 0
				continue
			}
			if empty++; empty >= len(w.tallies) {
				empty = 0
				_ = pause(ctx, 5*time.Millisecond)
			}
		}
		_ = pause(ctx, 20*time.Millisecond)
	}
}

// visit takes and does one job of a node, after those that a visit left which
// was broken off. It reports whether there was one.
func (w *worker) visit(ctx context.Context, node fluster.Node) bool {
	if w.resume(ctx, node) != nil {
		return false
	}
	// Not LPOP: a job whose answer is lost would be lost with it. LMOVE leaves
	// it in the worker's own list until it is acknowledged.
	id, err := redis.String(w.do(node.Pool, "LMOVE", w.queue, w.mine, "LEFT", "RIGHT"))
	switch {
	case err == nil:
		return w.finish(ctx, node, id, handled{}) == nil
	case !errors.Is(err, redis.ErrNil):
		w.broken[node.Name] = handled{} // perhaps a job was taken
	}
	return false
}

// resume does what stands in the worker's own list at a node, if the last visit
// there was broken off.
func (w *worker) resume(ctx context.Context, node fluster.Node) error {
	before, broken := w.broken[node.Name]
	if !broken {
		return nil
	}
	ids, err := redis.Strings(w.do(node.Pool, "LRANGE", w.mine, 0, -1))
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := w.finish(ctx, node, id, before); err != nil {
			return err
		}
	}
	delete(w.broken, node.Name)
	return nil
}

// finish does a job, unless that was done before, and acknowledges it. To
// acknowledge twice does no harm, so an answer that is lost costs nothing here,
// as long as the worker lives to try again.
func (w *worker) finish(ctx context.Context, node fluster.Node, id string, before handled) error {
	if !before[id] {
		_ = pause(ctx, jobTakes) // the job itself
		w.ledger.handled(id)
		before[id] = true
	}
	_, err := w.do(node.Pool, "LREM", w.mine, 1, id)
	if err != nil {
		w.ledger.doubt(id) // if this worker ends now, another does the job again
		w.broken[node.Name] = before
	}
	return err
}

// sweep does the jobs that are left on the live nodes when all workers have
// ended: first those in their own lists, as a service does for a worker that died.
func (w *workload) sweep() {
	hurry, cancel := context.WithCancel(context.Background())
	cancel() // so that the jobs take no time
	for node, err := range w.cluster.Rounds(context.Background(), 1) {
		if err != nil {
			return
		}
		for _, name := range w.workers {
			heir := w.newWorker(name)
			heir.broken[node.Name] = handled{}
			for heir.visit(hurry, node) {
			}
		}
	}
}
