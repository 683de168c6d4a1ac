package main

import (
	"context"
	"crypto/rand"
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
		work.run(w.newWorker(name).run)
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

// taken is the list of the jobs that a worker has taken and not acknowledged.
func (w *workload) taken(worker string) string { return w.queue + ":taken:" + worker }

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
