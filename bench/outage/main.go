// Command outage lets the same things happen to the servers of several clients, one
// client after the other, with the same load and the same time-outs, and prints what
// it cost each as a table in Markdown.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
	"github.com/redisfluster/fluster/bench/internal/report"
)

func main() {
	only := flag.String("only", "", "the faults whose names have this in them; empty means all")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := compare(ctx, *only); err != nil {
		fmt.Fprintln(os.Stderr, "outage:", err)
		os.Exit(1)
	}
}

// compare runs every fault against every client and prints the table.
func compare(ctx context.Context, only string) error {
	t := &report.Table{
		Title:  "What faults cost",
		Header: []string{"fault", "client", "calls", "lost", "last lost after", "longest call", "back after", "counted twice"},
		Remark: fmt.Sprintf("%d callers INCR %d keys, each every %v; three servers, of which one is hit unless all are; "+
			"time-outs of %v and a probe each %v for all. *Last lost after* is from the fault to the last call that failed. "+
			"*Back after* is from its end until the server has counted for %[1]d calls again. *Counted twice* is by how much "+
			"the counters exceed the calls, lost or not; it is empty where the server forgot them.", callers, keys, pace, limit, beat),
	}
	for _, f := range faults {
		if !strings.Contains(f.name, only) {
			continue
		}
		for _, k := range kinds {
			fmt.Fprintf(os.Stderr, "%s: %s\n", f.name, k.name)
			cells, err := f.happen(ctx, k.open)
			if err != nil {
				return fmt.Errorf("%s, %s: %w", f.name, k.name, err)
			}
			t.Add(append([]string{f.name, k.name}, cells...)...)
		}
	}
	return t.WriteMarkdown(os.Stdout)
}

// happen lets the fault happen to one client's servers and returns the cells that
// tell what it cost.
func (f fault) happen(ctx context.Context, open func([]string) (client, error)) ([]string, error) {
	servers, err := redisserver.Start(ctx, 3, "--enable-debug-command", "yes")
	if err != nil {
		return nil, err
	}
	defer redisserver.CloseAll(servers)
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.Addr())
	}
	c, err := open(addrs)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	return f.strike(ctx, c, servers)
}

// hit returns the servers that the fault happens to.
func (f fault) hit(servers []*redisserver.Server) []*redisserver.Server {
	if f.all {
		return servers
	}
	return servers[1:2]
}

// strike puts the load on, lets the fault happen and end, and waits until the
// client is as before.
func (f fault) strike(ctx context.Context, c client, servers []*redisserver.Server) ([]string, error) {
	l := startLoad(c)
	if err := sleep(ctx, time.Second); err != nil {
		l.finish()
		return nil, err
	}
	begun := time.Now()
	err := f.inflict(ctx, servers)
	healed := time.Now()
	var back string
	if err == nil {
		back = f.awaitReturn(ctx, servers, healed)
	}
	r := l.finish()
	if err != nil {
		return nil, err
	}
	twice := ""
	if !f.forgets {
		sum, err := counted(servers)
		if err != nil {
			return nil, err
		}
		twice = fmt.Sprint(max(0, sum-r.calls))
	}
	return []string{fmt.Sprint(r.calls), fmt.Sprint(r.lost), sinceFault(r, begun), span(r.longest), back, twice}, nil
}

// inflict lets the fault happen, last, and end.
func (f fault) inflict(ctx context.Context, servers []*redisserver.Server) error {
	for _, s := range f.hit(servers) {
		if err := f.inject(s); err != nil {
			return err
		}
	}
	if err := sleep(ctx, f.last); err != nil {
		return err
	}
	for _, s := range f.hit(servers) {
		if f.heal == nil {
			continue
		}
		if err := f.heal(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// tooLong is how long a client gets to come back.
const tooLong = 15 * time.Second

// awaitReturn waits until each server has counted again, as often as there are
// callers, and tells how long that took.
func (f fault) awaitReturn(ctx context.Context, servers []*redisserver.Server, healed time.Time) string {
	for _, s := range f.hit(servers) {
		first := -1
		for {
			n, err := increments(s)
			if err == nil && first < 0 {
				first = n
			}
			if err == nil && n >= first+callers {
				break
			}
			if time.Since(healed) > tooLong || sleep(ctx, 2*time.Millisecond) != nil {
				return "not in " + tooLong.String()
			}
		}
	}
	return span(time.Since(healed))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

func sinceFault(r record, begun time.Time) string {
	if r.lost == 0 {
		return ""
	}
	return span(r.last.Sub(begun))
}

func span(d time.Duration) string {
	if d < 10*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}
