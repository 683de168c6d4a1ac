package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
)

// How much there is to do. The workers are a little slower than the producers,
// so that jobs always wait on every node, also on one that dies.
const (
	countersInUse = 24
	counting      = 3
	countEvery    = 3 * time.Millisecond
	producing     = 2
	produceEvery  = 5 * time.Millisecond
	working       = 3
	jobTakes      = 10 * time.Millisecond
)

// workload is what a service does with a cluster: it counts, pushes jobs and
// works on them, and keeps a ledger of what became of it.
type workload struct {
	cluster  *fluster.FlusterCluster
	ledger   *ledger
	tallies  map[*redis.Pool]*tally // by each node's pool; never changed
	prefix   string                 // of all keys
	counters []string               // their keys
	queue    string                 // the list of jobs that wait, on each node
	workers  []string

	endProduction, endWork func() // each returns when that has ended
}

// tally counts what callers met at one node.
type tally struct{ commands, errors atomic.Int64 }

func newWorkload(cluster *fluster.FlusterCluster) *workload {
	prefix := "quickstart:" + rand.Text()[:8] + ":"
	w := &workload{
		cluster: cluster, ledger: newLedger(), tallies: map[*redis.Pool]*tally{},
		prefix: prefix, queue: prefix + "jobs",
	}
	for _, n := range cluster.Nodes() {
		w.tallies[n.Pool] = &tally{}
	}
	for i := range countersInUse {
		w.counters = append(w.counters, fmt.Sprintf("%svisits:page-%02d", prefix, i))
	}
	for i := range working {
		w.workers = append(w.workers, fmt.Sprint("worker-", i))
	}
	return w
}

// start sets everybody to work.
func (w *workload) start(ctx context.Context) {
	var produce, work group
	produce.begin(ctx)
	work.begin(ctx)
	for range counting {
		produce.run(w.count)
	}
	for i := range producing {
		produce.run(func(ctx context.Context) { w.produce(ctx, i) })
	}
	for _, name := range w.workers {
		work.run(func(ctx context.Context) { w.work(ctx, name) })
	}
	w.endProduction, w.endWork = produce.end, work.end
}

// stop ends the producers, then the workers, and then does what they left.
func (w *workload) stop() {
	w.endProduction()
	w.endWork()
	w.sweep()
}

// do runs one command on a connection of pool and keeps the tally.
func (w *workload) do(pool *redis.Pool, cmd string, args ...any) (any, error) {
	conn := pool.Get()
	defer conn.Close()
	reply, err := conn.Do(cmd, args...)
	t := w.tallies[pool]
	t.commands.Add(1)
	if err != nil {
		t.errors.Add(1)
		w.ledger.met(err)
	}
	return reply, err
}

// count increments one counter after another.
func (w *workload) count(ctx context.Context) {
	for pause(ctx, countEvery) == nil {
		w.increment(ctx, w.counters[mrand.IntN(len(w.counters))])
	}
}

// increment adds one to a counter, at most once. Whoever wants the value adds
// up what all nodes hold: during an outage the home node's part stands still
// and another node's begins.
func (w *workload) increment(ctx context.Context, key string) {
	for attempt := range 3 {
		pool, err := w.cluster.GetClient(key) // ask each time: the answer changes with the nodes
		if err == nil {
			_, err = w.do(pool, "INCR", key)
		}
		switch {
		case err == nil:
			w.ledger.counted(key)
			return
		case fluster.MaybeExecuted(err):
			w.ledger.perhapsCounted(key) // trying again might count twice
			return
		case !fluster.SafeToRetry(err) || pauseAfter(ctx, attempt) != nil:
			w.ledger.gaveUp()
			return
		}
	}
	w.ledger.gaveUp()
}

// pauseAfter lets the second attempt follow at once, since GetClient knows of a
// dead node before the caller sees its error, and later ones with a pause.
func pauseAfter(ctx context.Context, attempt int) error {
	if attempt == 0 {
		return ctx.Err()
	}
	return pause(ctx, 10*time.Millisecond)
}

// produce pushes jobs, each to the node that its id picks.
func (w *workload) produce(ctx context.Context, producer int) {
	for n := 0; pause(ctx, produceEvery) == nil; n++ {
		w.push(ctx, fmt.Sprintf("job-%d-%06d", producer, n))
	}
}

// push pushes a job at least once: if the answer is lost it pushes again, since
// handling a job twice is better than not at all. The other choice is made in
// increment.
func (w *workload) push(ctx context.Context, id string) {
	for attempt := 0; ; attempt++ {
		node, err := w.cluster.Locate(id) // GetClient would do; the ledger wants the name
		if err == nil {
			_, err = w.do(node.Pool, "RPUSH", w.queue, id)
		}
		if err == nil {
			w.ledger.pushed(id, node.Name)
			return
		}
		if fluster.MaybeExecuted(err) {
			w.ledger.doubt(id)
		}
		if pauseAfter(ctx, attempt) != nil {
			return
		}
	}
}

// work takes jobs from all live nodes. Nodes that drop out or come back are no
// concern of this loop, but for one thing: what a broken visit left undone.
func (w *workload) work(ctx context.Context, name string) {
	undone := map[string][]string{} // by node: acknowledgements due there
	empty := 0                      // visits in a row that found no job
	for ctx.Err() == nil {
		for node, err := range w.cluster.Iter(ctx) {
			if err != nil {
				break // no node lives
			}
			found, err := w.visit(ctx, node, name, undone)
			if empty++; found && err == nil {
				empty = 0
			}
			if empty >= len(w.tallies) { // a whole round: do not spin
				empty = 0
				_ = pause(ctx, 5*time.Millisecond)
			}
		}
		_ = pause(ctx, 20*time.Millisecond)
	}
}

// visit settles what an earlier visit to the node left undone, and takes and
// does one job. It reports whether there was one.
func (w *workload) visit(ctx context.Context, node fluster.Node, worker string, undone map[string][]string) (bool, error) {
	if due, broken := undone[node.Name]; broken {
		if err := w.settle(node, worker, due); err != nil {
			return false, err
		}
		delete(undone, node.Name)
	}
	// Not LPOP: a job whose reply is lost would be lost with it. LMOVE leaves
	// it in the worker's own list until it is acknowledged.
	id, err := redis.String(w.do(node.Pool, "LMOVE", w.queue, w.taken(worker), "LEFT", "RIGHT"))
	if errors.Is(err, redis.ErrNil) {
		return false, nil
	}
	if err != nil {
		undone[node.Name] = nil // perhaps a job was taken
		return false, err
	}
	_ = pause(ctx, jobTakes) // the job itself
	w.ledger.handled(id)
	if err := w.acknowledge(node, worker, id); err != nil {
		undone[node.Name] = append(undone[node.Name], id)
		return true, err
	}
	return true, nil
}

// taken is the list of the jobs that a worker has taken and not acknowledged.
func (w *workload) taken(worker string) string { return w.queue + ":taken:" + worker }

// acknowledge removes a job that is done. Doing it twice does no harm.
func (w *workload) acknowledge(node fluster.Node, worker, id string) error {
	_, err := w.do(node.Pool, "LREM", w.taken(worker), 1, id)
	if err != nil {
		w.ledger.doubt(id) // if this worker ends now, another gets the job again
	}
	return err
}

// settle acknowledges the jobs that are due at a node, and puts back what else
// the worker had taken there: jobs that it never got to see.
func (w *workload) settle(node fluster.Node, worker string, due []string) error {
	for _, id := range due {
		if err := w.acknowledge(node, worker, id); err != nil {
			return err
		}
	}
	for {
		_, err := redis.String(w.do(node.Pool, "LMOVE", w.taken(worker), w.queue, "RIGHT", "LEFT"))
		if errors.Is(err, redis.ErrNil) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// sweep does the jobs that are left on the live nodes when all workers have
// ended, those in their lists included. A service does this for a worker that
// died.
func (w *workload) sweep() {
	done, cancel := context.WithCancel(context.Background())
	cancel() // so that the jobs take no time
	for node, err := range w.cluster.Rounds(context.Background(), 1) {
		if err != nil {
			return
		}
		undone := map[string][]string{}
		for _, worker := range w.workers {
			err = errors.Join(err, w.settle(node, worker, nil))
		}
		for found := err == nil; found && err == nil; {
			found, err = w.visit(done, node, w.workers[0], undone)
		}
	}
}

// lists returns the keys of all lists that hold jobs.
func (w *workload) lists() []string {
	lists := []string{w.queue}
	for _, worker := range w.workers {
		lists = append(lists, w.taken(worker))
	}
	return lists
}

// cleanUp deletes all keys of the workload from the live nodes.
func (w *workload) cleanUp() {
	keys := slices.Concat(w.counters, w.lists())
	for node, err := range w.cluster.Rounds(context.Background(), 1) {
		if err == nil {
			_, _ = w.do(node.Pool, "DEL", redis.Args{}.AddFlat(keys)...)
		}
	}
}

// group is goroutines that end together.
type group struct {
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func (g *group) begin(ctx context.Context) { g.ctx, g.cancel = context.WithCancel(ctx) }

func (g *group) run(f func(context.Context)) { g.wg.Go(func() { f(g.ctx) }) }

// end tells them to end and waits until they have.
func (g *group) end() {
	g.cancel()
	g.wg.Wait()
}
