// Command cache shows a cache over several plain Redis servers: get a value, or
// compute it and keep it for a while.
//
//	go run ./examples/cache
//
// It goes through what happens to such a cache: many callers want the same value at
// once, values expire, one of the three embedded servers is killed and restarted with
// its data, and in the end all are killed. It counts what was computed in each step,
// and holds it against what it should have been; the exit status is 1 if it was not.
//
// cache.go is what a service would have; this file drives and checks it.
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
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/redisfluster/fluster/fluster"
)

const (
	users  = 300
	expiry = time.Minute
	limit  = 30 * time.Second // for everything; it takes a second or two
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cache:", err)
		os.Exit(1)
	}
}

// run is the whole program.
func run(ctx context.Context, out io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("not done after %v", limit))
	defer cancel()
	d := &drive{out: out}
	var urls []string
	for _, name := range []string{"a", "b", "c"} {
		s := miniredis.NewMiniRedis()
		if err := s.Start(); err != nil {
			return fmt.Errorf("starting an embedded server: %w", err)
		}
		defer s.Close()
		d.servers = append(d.servers, s)
		// A service would rather wait 100 ms for a cache; here, a busy machine must not count.
		urls = append(urls, fmt.Sprintf("redis://%s?name=%s&dial_timeout=5s&read_timeout=5s", s.Addr(), name))
	}
	cluster, err := fluster.Open(urls...)
	if err != nil {
		return err
	}
	defer func() { _ = cluster.Close() }()
	d.cluster = cluster
	d.cache = &cache{cluster: cluster, expiry: expiry, compute: d.compute}
	return d.run(ctx)
}

// drive takes the cache through its steps and checks each.
type drive struct {
	cluster  *fluster.FlusterCluster
	cache    *cache
	servers  []*miniredis.Miniredis
	out      io.Writer
	computed atomic.Int64
}

// compute stands for a query that takes its time.
func (d *drive) compute(ctx context.Context, key string) (string, error) {
	d.computed.Add(1)
	if err := pause(ctx, 10*time.Millisecond); err != nil {
		return "", err
	}
	return valueOf(key), nil
}

func valueOf(key string) string { return "the profile of " + key }

func (d *drive) run(ctx context.Context) error {
	b := d.servers[1]
	atB := d.atHome("b")
	steps := []struct {
		name string
		do   func() error
		want int // to be computed
	}{
		{"50 callers want the same value", func() error { return d.sameForAll(ctx, "user:0", 50) }, 1},
		{fmt.Sprintf("%d values are wanted", users), func() error { return d.all(ctx) }, users - 1},
		{"they are wanted again", func() error { return d.all(ctx) }, 0},
		{"they expire, and are wanted again", func() error { d.expire(); return d.all(ctx) }, users},
		{"node b is killed, and they are wanted", func() error { return errors.Join(d.kill(ctx, "b"), d.all(ctx)) }, atB},
		{"they are wanted again", func() error { return d.all(ctx) }, 0},
		{"node b is back with its data", func() error { return errors.Join(d.restart(ctx, b), d.all(ctx)) }, 0},
		{"node b has forgotten all it had", func() error { b.FlushAll(); return d.all(ctx) }, atB},
		{"all nodes are killed", func() error { return errors.Join(d.kill(ctx, "a", "b", "c"), d.all(ctx)) }, users},
	}
	for _, s := range steps {
		if err := d.step(ctx, s.name, s.do, s.want); err != nil {
			return err
		}
	}
	return nil
}

// step does one thing, prints how many values were computed, and returns an error if
// it should have been another number.
func (d *drive) step(ctx context.Context, name string, do func() error, want int) error {
	d.computed.Store(0)
	if err := do(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("%s: %w", name, err)
	}
	got := int(d.computed.Load())
	_, _ = fmt.Fprintf(d.out, "%-38s %4d computed\n", name, got)
	if got != want {
		return fmt.Errorf("%s: %d were computed, not %d", name, got, want)
	}
	return nil
}

// sameForAll lets many callers get one value at once.
func (d *drive) sameForAll(ctx context.Context, key string, callers int) error {
	return together(callers, func(int) error { return d.get(ctx, key) })
}

// all gets the values of all users, some at a time.
func (d *drive) all(ctx context.Context) error {
	const callers = 30
	return together(callers, func(caller int) error {
		for i := caller; i < users; i += callers {
			if err := d.get(ctx, fmt.Sprint("user:", i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// get gets one value and looks at it.
func (d *drive) get(ctx context.Context, key string) error {
	value, err := d.cache.get(ctx, key)
	if err == nil && value != valueOf(key) {
		err = fmt.Errorf("%s is %q", key, value)
	}
	return err
}

// together runs f so many times at once and returns the errors.
func together(n int, f func(i int) error) error {
	errs := make([]error, n)
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { errs[i] = f(i) })
	}
	all.Wait()
	return errors.Join(errs...)
}

// atHome returns how many of the users are at home on a node.
func (d *drive) atHome(node string) (n int) {
	for i := range users {
		if home, err := d.cluster.Locate(fmt.Sprint("user:", i)); err == nil && home.Name == node {
			n++
		}
	}
	return n
}

// expire lets the time of all that is kept run out.
func (d *drive) expire() {
	for _, s := range d.servers {
		s.FastForward(expiry)
	}
}

// restart lets a server live again, with the data that it had.
func (d *drive) restart(ctx context.Context, b *miniredis.Miniredis) error {
	for err := b.Restart(); err != nil; err = b.Restart() { // another program may have its port just now
		if pause(ctx, 10*time.Millisecond) != nil {
			return fmt.Errorf("restarting node b: %w", err)
		}
	}
	return d.until(ctx, "b", true)
}

// kill kills servers, and has the cluster find out before anything is wanted of them.
// A service need not: without it, the first callers find out, and compute what they
// want all the same.
func (d *drive) kill(ctx context.Context, nodes ...string) error {
	for i, n := range d.cluster.Nodes() {
		if slices.Contains(nodes, n.Name) {
			d.servers[i].Close()
		}
	}
	_, _ = d.cluster.Each(ctx, fluster.AllNodes(), "PING")
	for _, name := range nodes {
		if err := d.until(ctx, name, false); err != nil {
			return err
		}
	}
	return nil
}

// until waits until a node lives, or does not.
func (d *drive) until(ctx context.Context, node string, live bool) error {
	for {
		for _, n := range d.cluster.Nodes() {
			if n.Name == node && n.Live == live {
				return nil
			}
		}
		if pause(ctx, 10*time.Millisecond) != nil {
			return context.Cause(ctx)
		}
	}
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
