package main

import (
	"context"
	"io"
)

// servers is how many redis-servers the commands are spread over.
const servers = 3

// commandSteps are the steps of all operations, grouped by operation.
func commandSteps(s settings) [][]step {
	var all [][]step
	for _, op := range operations {
		clients := s.kindsFor(op)
		if op.apart || !s.measures(op) || len(clients) == 0 {
			continue
		}
		var steps []step
		for _, callers := range s.goroutines {
			steps = append(steps, newStep(s, op, callers, clients))
		}
		all = append(all, steps)
	}
	return all
}

// newStep returns a step of an operation.
func newStep(s settings, op operation, callers int, clients []kind) step {
	return step{
		part: commands, op: op, callers: callers, nodes: servers, keys: min(s.commandKeys, held/op.size),
		rounds: s.roundsOf(op, callers), slice: s.slice, kinds: clients,
	}
}

// compareCommands measures every operation at each number of goroutines, and
// writes a table as soon as one is done. With an error it returns what was
// measured before.
func compareCommands(ctx context.Context, s settings, out io.Writer, progress *progress) ([]outcome, error) {
	r, err := startRig(ctx, servers, false)
	if err != nil {
		return nil, err
	}
	defer r.close()
	borrows, err := compareBorrows(ctx, s, r.addrs[0], progress)
	if err != nil {
		return nil, err
	}
	all, err := runGroups(ctx, r, commandSteps(s), randomKeys(s.commandKeys), out, progress)
	if err != nil {
		return all, err
	}
	return all, writeAll(out, summaryTable("The cluster against the others", all), staleTable(all), borrows)
}

// runGroups runs the steps of one operation after the other on the same servers,
// and writes a table of each. With an error it returns what was measured before.
func runGroups(ctx context.Context, r *rig, groups [][]step, keys []string, out io.Writer, progress *progress,
) ([]outcome, error) {
	var all []outcome
	filled := 0
	for _, steps := range groups {
		op := steps[0].op
		if op.size != filled {
			progress.say("fill %d servers with values of %s", servers, bytesText(op.size))
			if err := fill(ctx, r.nodes(), op.keysFor(keys), op.size); err != nil {
				return all, err
			}
			filled = op.size
		}
		outcomes, err := runSteps(ctx, r, steps, keys, progress)
		all = append(all, outcomes...)
		if err != nil {
			return all, err
		}
		if err := writeAll(out, commandTable(outcomes)); err != nil {
			return all, err
		}
	}
	return all, nil
}

// runSteps runs steps on the same servers. With an error it returns what was
// measured before.
func runSteps(ctx context.Context, r *rig, steps []step, keys []string, progress *progress) ([]outcome, error) {
	var outcomes []outcome
	for _, st := range steps {
		progress.say("%v", st)
		o, err := r.run(ctx, st, keys)
		if err != nil {
			return outcomes, err
		}
		progress.finish(st.estimate())
		outcomes = append(outcomes, o)
	}
	return outcomes, nil
}
