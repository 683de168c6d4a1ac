// Command counter shows counters over several plain Redis servers that go on while
// one of them is down, and lose nothing.
//
//	go run ./examples/counter
//
// Each counter has its home on one of three embedded servers. One of those is killed
// on the way and restarted with its data. Meanwhile its counters go on at zero on the
// servers that stand in, so that afterwards they stand in two parts, on two nodes.
// Their value is the sum over all nodes, which is one call. In the end it is checked
// that every sum is what was counted: each increment that was acknowledged once, and
// one whose answer was lost once or not at all. The exit status is 1 otherwise.
//
// counter.go is what a service would have; this file drives and checks it.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/redisfluster/fluster/fluster"
)

const (
	inUse      = 30 // counters
	callers    = 4
	countEvery = time.Millisecond
	limit      = 30 * time.Second // for everything; it takes a second or two
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, 500, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "counter:", err)
		os.Exit(1)
	}
}

// run is the whole program: each caller counts so often.
func run(ctx context.Context, counts int, out io.Writer) error {
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
	d := &drive{cluster: cluster, counters: counters{cluster}, servers: servers, ledger: newLedger(), out: out}
	for i := range inUse {
		d.keys = append(d.keys, fmt.Sprintf("visits:page-%02d", i))
	}
	return d.run(ctx, counts)
}

// drive runs the counters and checks them.
type drive struct {
	cluster  *fluster.FlusterCluster
	counters counters
	keys     []string
	servers  []*miniredis.Miniredis
	ledger   *ledger
	out      io.Writer
}

// run lets everybody count, restarts node b meanwhile, and checks what came of it.
func (d *drive) run(ctx context.Context, counts int) error {
	counting, stop := context.WithCancel(ctx)
	var everybody sync.WaitGroup
	defer everybody.Wait()
	defer stop()
	for i := range callers {
		everybody.Go(func() { d.count(counting, i, counts) })
	}
	if err := d.restart(ctx, counts*callers); err != nil {
		return err
	}
	everybody.Wait()
	return d.check(ctx)
}

// count counts on one counter after another.
func (d *drive) count(ctx context.Context, caller, counts int) {
	for n := 0; n < counts && pause(ctx, countEvery) == nil; n++ {
		key := d.keys[(caller+n)%len(d.keys)]
		certain, err := d.counters.add(ctx, key)
		d.ledger.note(key, certain, err)
	}
}

// restart kills node b when a third has been counted, and lets it live again when two
// thirds have. It returns when all has been, and b is back.
func (d *drive) restart(ctx context.Context, counts int) error {
	b := d.servers[1]
	if err := d.until(ctx, func() bool { return d.ledger.tries() >= counts/3 }); err != nil {
		return err
	}
	d.say("killing node b, the home of %d of the %d counters", d.atHome("b"), len(d.keys))
	b.Close()
	if err := d.until(ctx, func() bool { return d.ledger.tries() >= counts*2/3 }); err != nil {
		return err
	}
	if err := d.look(ctx); err != nil {
		return err
	}
	d.say("restarting node b")
	var failed error // should another program have its port just now
	if err := d.until(ctx, func() bool { failed = b.Restart(); return failed == nil }); err != nil {
		return fmt.Errorf("restarting node b: %w", errors.Join(err, failed))
	}
	return d.until(ctx, func() bool {
		return d.ledger.tries() >= counts && !slices.ContainsFunc(d.cluster.Nodes(), func(n fluster.NodeStatus) bool { return !n.Live })
	})
}

// look shows what a sum is worth while a node is down.
func (d *drive) look(ctx context.Context) error {
	counted, _ := d.ledger.totals()
	sums, err := d.counters.values(ctx, d.keys)
	if err != nil {
		return err
	}
	var sum int64
	for _, n := range sums {
		sum += n
	}
	d.say("%d counted, and %d of them can be read: the others stand on node b", counted, sum)
	return nil
}

// atHome returns how many of the counters have their home on a node.
func (d *drive) atHome(node string) (n int) {
	for _, key := range d.keys {
		if home, err := d.cluster.Locate(key); err == nil && home.Name == node {
			n++
		}
	}
	return n
}

// check prints what came of the counters, and returns an error if it is not right.
func (d *drive) check(ctx context.Context) error {
	sums, err := d.counters.values(ctx, d.keys)
	if err != nil {
		return err
	}
	one, err := d.counters.value(ctx, d.keys[0])
	if err != nil {
		return err
	}
	if one != sums[d.keys[0]] {
		return fmt.Errorf("%s is %d by itself and %d among the others", d.keys[0], one, sums[d.keys[0]])
	}
	parted := 0
	for _, key := range d.keys {
		if d.parts(key) > 1 {
			parted++
		}
	}
	counted, unsure := d.ledger.totals()
	d.say("%d counted, %d unanswered", counted, unsure)
	_, _ = fmt.Fprintf(d.out, "\n%4d counters stand on two nodes or more\n", parted)
	wrong := d.ledger.wrong(sums)
	_, _ = fmt.Fprintf(d.out, "%4d sums are not what was counted\n", len(wrong))
	switch {
	case len(wrong) > 0:
		return fmt.Errorf("wrong: %v", wrong)
	case parted == 0:
		return errors.New("no counter moved, so nothing was shown")
	}
	return nil
}

// parts returns on how many servers a counter stands.
func (d *drive) parts(key string) (n int) {
	for _, s := range d.servers {
		if s.Exists(key) {
			n++
		}
	}
	return n
}

// until waits until cond holds.
func (d *drive) until(ctx context.Context, cond func() bool) error {
	for !cond() {
		if pause(ctx, 10*time.Millisecond) != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}

func (d *drive) say(format string, args ...any) {
	_, _ = fmt.Fprintf(d.out, format+"\n", args...)
}

// pause waits for so long, or until ctx ends, and returns why ctx did.
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
