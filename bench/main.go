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
	"slices"
	"syscall"

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
	before := machineLoad()
	leftOut := leftOut(s)
	outcomes, err := compareAll(ctx, s, out, planned(s, log))
	// What was measured before an error is written all the same.
	return errors.Join(err, writeSurroundings(out, before, leftOut), writeFiles(s, outcomes, leftOut, before))
}

// planned returns a progress that knows of all the work.
func planned(s settings, log io.Writer) *progress {
	p := newProgress(log)
	if s.wants(routing) {
		p.plan(routingEstimate(s))
	}
	if s.wants(commands) {
		p.planSteps(slices.Concat(commandSteps(s)...))
	}
	if s.wants(underConditions) {
		for _, c := range conditions {
			p.planSteps(slices.Concat(conditionSteps(s, c)...))
		}
	}
	if s.wants(growth) {
		for _, nodes := range s.growthNodes {
			p.planSteps(nodeSteps(s, nodes))
		}
		p.planSteps(keySteps(s))
	}
	return p
}

// compareAll runs the parts that are wanted, writes their tables, and returns
// the outcomes of commands, with an error those before it.
func compareAll(ctx context.Context, s settings, out io.Writer, p *progress) ([]outcome, error) {
	parts := []struct {
		name    string
		compare func(context.Context, settings, io.Writer, *progress) ([]outcome, error)
	}{
		{routing, compareRouting},
		{commands, compareCommands},
		{underConditions, compareConditions},
		{growth, compareGrowth},
	}
	var outcomes []outcome
	for _, part := range parts {
		if !s.wants(part.name) {
			continue
		}
		own, err := part.compare(ctx, s, out, p)
		outcomes = append(outcomes, own...)
		if err != nil {
			return outcomes, err
		}
	}
	return outcomes, nil
}

// writeFiles writes what was asked for beside the tables.
func writeFiles(s settings, outcomes []outcome, leftOut []string, loadBefore string) error {
	if s.json != "" {
		if err := writeJSON(s.json, outcomes, leftOut, loadBefore); err != nil {
			return err
		}
	}
	if s.svg == "" {
		return nil
	}
	return writePlots(s.svg, outcomes)
}

// writeAll writes those tables that have something to tell.
func writeAll(out io.Writer, tables ...*report.Table) error {
	for _, t := range tables {
		if len(t.Rows) == 0 {
			continue
		}
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
