// Command quickstart shows a cluster at work while one of its nodes dies and
// comes back.
//
//	go run ./examples/quickstart                       # needs nothing but Go
//	go run ./examples/quickstart redis://host1 redis://host2:6380?name=two
//
// Three embedded servers share the keys of counters and of a job queue. Some
// seconds in, node b is killed for real: its listener and its connections are
// closed. Its keys, and only its keys, go to the other nodes; when it is back
// at the same address they come home. A table of the nodes shows it as it
// happens, and a summary tells what it cost. Whatever the summary claims was
// checked; if something was wrong, it says so and the exit status is 1.
//
// With URLs it runs on real servers. It does not stop those; it asks you to,
// and reports what it saw. It uses keys with a prefix of their own and deletes
// them at the end.
//
// What to read first: workload.go, which is how a service uses the cluster.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// options are what the command line says.
type options struct {
	urls  []string      // of real servers; none: embedded ones
	phase time.Duration // how long each phase with embedded servers is shown
	watch time.Duration // how long real servers are watched
	plain bool          // no table that is redrawn in place
}

func parseArgs(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("quickstart", flag.ContinueOnError)
	f.SetOutput(out)
	f.DurationVar(&o.phase, "phase", 2500*time.Millisecond, "how long each phase is shown, with embedded servers")
	f.DurationVar(&o.watch, "for", 30*time.Second, "how long to watch, with real servers")
	f.BoolVar(&o.plain, "plain", false, "print plain lines, as without a terminal")
	f.Usage = func() {
		_, _ = fmt.Fprintln(out, "usage: quickstart [flags] [redis://host:port?name=... ...]")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.urls = f.Args()
	return o, nil
}

// run is the whole program. It returns an error if anything that the summary
// claims turned out wrong.
func run(ctx context.Context, args []string, out io.Writer) error {
	opts, err := parseArgs(args, out)
	if err != nil {
		return err
	}
	urls := opts.urls
	var servers []*server
	if len(urls) == 0 {
		if servers, err = startServers("a", "b", "c"); err != nil {
			return err
		}
		defer stopServers(servers)
		urls = urlsOf(servers)
	}
	return perform(ctx, opts, urls, servers, out)
}

// perform gives the show with a cluster of urls, which are those of the embedded
// servers if there are any.
func perform(ctx context.Context, opts options, urls []string, servers []*server, out io.Writer) error {
	ctx, over := context.WithCancel(ctx)
	events := make(chan fluster.Event, 16)
	cluster, err := open(ctx, urls, events)
	if err != nil {
		over()
		return err
	}
	defer func() { over(); _ = cluster.Close() }() // in this order: Close waits for OnEvent
	return newShow(opts, cluster, servers, events).play(ctx, out)
}

// open makes the cluster, and waits until all its nodes have answered.
func open(ctx context.Context, urls []string, events chan<- fluster.Event) (*fluster.FlusterCluster, error) {
	nodes := make([]fluster.Node, len(urls))
	for i, url := range urls {
		var err error
		if nodes[i], err = fluster.ParseNode(url); err != nil {
			return nil, fmt.Errorf("argument %d: %w", i+1, err)
		}
	}
	cluster, err := fluster.New(fluster.Config{
		Nodes:  nodes,
		Health: health.Config{MaxWait: time.Second}, // so that nobody has to watch a longer wait
		OnEvent: func(ev fluster.Event) {
			select {
			case events <- ev:
			case <-ctx.Done():
			}
		},
	})
	if err != nil {
		return nil, err
	}
	soon, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if err := cluster.WaitReady(soon); err != nil {
		_ = cluster.Close()
		return nil, err
	}
	return cluster, nil
}
