// Command bench compares fluster with plain redigo and with other clients, side
// by side in one run. Tables go to standard output as Markdown, progress goes
// to standard error. README.md tells how to read them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
	"time"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
	"github.com/redisfluster/fluster/bench/internal/report"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run is main with its surroundings given.
func run(ctx context.Context, args []string, out, log io.Writer) error {
	s, err := parseSettings(args, log)
	if err != nil {
		return err
	}
	stop, err := profile(s.profile)
	if err != nil {
		return err
	}
	defer stop()
	progress, before := progress{log, time.Now()}, machineLoad()
	if s.wants(routing) {
		if err := runRouting(ctx, s, out, progress); err != nil {
			return err
		}
	}
	if s.wants(commands) {
		if err := runCommands(ctx, s, out, progress); err != nil {
			return err
		}
	}
	return writeSurroundings(out, before)
}

func runRouting(ctx context.Context, s settings, out io.Writer, progress progress) error {
	table, err := compareRouting(ctx, s, progress)
	if err != nil {
		return err
	}
	return table.WriteMarkdown(out)
}

// runCommands runs what needs servers. However it ends, they are gone then.
func runCommands(ctx context.Context, s settings, out io.Writer, progress progress) error {
	children, err := redisserver.Start(ctx, servers)
	if err != nil {
		return err
	}
	defer redisserver.CloseAll(children)
	addrs := make([]string, len(children))
	for i, child := range children {
		addrs[i] = child.Addr()
	}
	borrows, err := compareBorrows(ctx, s, addrs[0], progress)
	if err != nil {
		return err
	}
	tables, err := compareCommands(ctx, s, addrs, progress)
	if err != nil {
		return err
	}
	return writeAll(out, append(tables, borrows))
}

func writeAll(out io.Writer, tables []*report.Table) error {
	for _, t := range tables {
		if err := t.WriteMarkdown(out); err != nil {
			return err
		}
	}
	return nil
}

// profile begins a CPU profile, if a file is named, and returns what ends it.
func profile(path string) (stop func(), err error) {
	if path == "" {
		return func() {}, nil
	}
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = file.Close()
	}, nil
}
