// Command queue shows a job queue over several plain Redis servers that loses
// nothing while one of them is restarted.
//
//	go run ./examples/queue
//
// Every node has a list of jobs under the same key. Producers push each job to
// the node that its id picks; workers wait on all live nodes at once. Taking a
// job moves it to a list of the worker's own on the same node, with BLMOVE, and
// acknowledging it removes it from there: so a job whose taker died or lost its
// connection still stands somewhere. One of the three embedded servers is
// killed on the way and restarted with its data. In the end it is checked that
// every job that was pushed was handled, and none twice but where a lost answer
// had left open whether it was pushed; the exit status is 1 otherwise.
//
// queue.go is what a service would have; this file drives and checks it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
)

const (
	producers    = 3
	workers      = 4
	produceEvery = 5 * time.Millisecond
	limit        = 30 * time.Second // for everything; it takes some seconds
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, 300, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "queue:", err)
		os.Exit(1)
	}
}

// run is the whole program: each producer pushes so many jobs. The embedded servers
// know no CLIENT UNBLOCK, so that the workers' last pops end by themselves, within a
// second; a Redis server is told.
func run(ctx context.Context, jobs int, out io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	defer cancel()
	var servers []*miniredis.Miniredis
	var urls []string
	for _, name := range []string{"a", "b", "c"} {
		s := miniredis.NewMiniRedis()
		if err := s.Start(); err != nil {
			return fmt.Errorf("starting an embedded server: %w", err)
		}
		defer s.Close()
		servers = append(servers, s)
		urls = append(urls, fmt.Sprintf("redis://%s?name=%s", s.Addr(), name))
	}
	cluster, err := fluster.Open(urls...)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	d := &drive{cluster: cluster, queue: &queue{cluster: cluster, key: "jobs"}, ledger: newLedger(), out: out, began: time.Now()}
	return d.run(ctx, jobs, servers[1])
}

// drive runs the queue and checks it.
type drive struct {
	cluster *fluster.FlusterCluster
	queue   *queue
	ledger  *ledger
	out     io.Writer
	began   time.Time
}

// run lets everybody work, restarts victim, which is node b, and checks what
// came of it.
func (d *drive) run(ctx context.Context, jobs int, victim *miniredis.Miniredis) error {
	working, home := context.WithCancel(ctx)
	var everybody sync.WaitGroup
	defer func() { home(); everybody.Wait() }()
	if err := d.employ(working, &everybody); err != nil {
		return err
	}
	for i := range producers {
		everybody.Go(func() { d.produce(working, i, jobs) })
	}
	err := d.restart(ctx, jobs*producers, victim)
	if err == nil {
		err = d.until(ctx, d.drained)
	}
	home()
	everybody.Wait()
	if err != nil {
		return err
	}
	return d.check()
}

// employ lets the workers begin.
func (d *drive) employ(ctx context.Context, everybody *sync.WaitGroup) error {
	for i := range workers {
		w, err := newWorker(d.queue, workerName(i), d.ledger.handle)
		if err != nil {
			return err
		}
		everybody.Go(func() { w.run(ctx) })
	}
	return nil
}

// produce pushes so many jobs.
func (d *drive) produce(ctx context.Context, producer, jobs int) {
	for n := 0; n < jobs && pause(ctx, produceEvery) == nil; n++ {
		id := fmt.Sprintf("job-%d-%04d", producer, n)
		doubted, err := d.queue.push(ctx, id)
		d.ledger.push(id, doubted, err == nil)
	}
}

// restart kills node b when a third of the jobs is pushed, and lets it live
// again when two thirds are. It returns when all are.
func (d *drive) restart(ctx context.Context, jobs int, victim *miniredis.Miniredis) error {
	if err := d.until(ctx, func() bool { return d.ledger.pushes() >= jobs/3 }); err != nil {
		return err
	}
	d.say("killing node b")
	victim.Close()
	if err := d.until(ctx, func() bool { return d.ledger.pushes() >= jobs*2/3 }); err != nil {
		return err
	}
	d.say("restarting node b")
	var failed error // should another program have its port just now
	if err := d.until(ctx, func() bool { failed = revive(victim); return failed == nil }); err != nil {
		return fmt.Errorf("restarting node b: %w", errors.Join(err, failed))
	}
	if err := d.until(ctx, func() bool { return d.nodeLives("b") }); err != nil {
		return err
	}
	d.say("node b is back")
	return d.until(ctx, func() bool { return d.ledger.pushes() >= jobs })
}

// revive restarts a server that was closed. Its context ended with it, and without
// one it answers no command that blocks.
func revive(server *miniredis.Miniredis) error {
	server.Ctx, server.CtxCancel = context.WithCancel(context.Background())
	return server.Restart()
}

func (d *drive) nodeLives(name string) bool {
	for _, n := range d.cluster.Nodes() {
		if n.Name == name {
			return n.Live
		}
	}
	return false
}

// drained reports whether no job is left at any node, neither in the queue nor
// taken by a worker.
func (d *drive) drained() bool {
	keys := []string{d.queue.key}
	for i := range workers {
		keys = append(keys, d.queue.taken(workerName(i)))
	}
	for _, n := range d.cluster.Nodes() {
		for _, key := range keys {
			if left, err := redis.Int(do(n.Node, "LLEN", key)); err != nil || left > 0 {
				return false
			}
		}
	}
	return true
}

func workerName(i int) string { return fmt.Sprint("worker-", i) }

// until waits until cond holds.
func (d *drive) until(ctx context.Context, cond func() bool) error {
	for !cond() {
		if pause(ctx, 10*time.Millisecond) != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func (d *drive) say(what string) {
	pushed, handled := d.ledger.pushes(), d.ledger.handles()
	_, _ = fmt.Fprintf(d.out, "%5.1f s  %-18s %4d pushed, %4d handled\n", time.Since(d.began).Seconds(), what, pushed, handled)
}

// check prints what came of the jobs, and returns an error if it isn't right.
func (d *drive) check() error {
	d.say("done")
	lost, again, twice := d.ledger.judge()
	_, _ = fmt.Fprintf(d.out, "\n%4d jobs were pushed and never handled\n", lost)
	_, _ = fmt.Fprintf(d.out, "%4d were handled twice since an answer was lost: they had been pushed twice\n", again)
	_, _ = fmt.Fprintf(d.out, "%4d were handled twice for no reason, or not pushed at all\n", twice)
	if lost > 0 || twice > 0 {
		return fmt.Errorf("%d jobs lost, %d handled that should not have been", lost, twice)
	}
	return nil
}
