package main

import (
	"context"
	"fmt"
	"io"
	"slices"
)

// condition is what makes a load other than those of commands. The zero value
// makes none.
type condition struct {
	id         string   // as -conditions takes it
	text       string   // behind an operation's title, or empty
	operations []string // that are measured under it
	callers    int      // at most; 0 for any number
	tls        bool     // servers and clients speak it
	busy       bool     // as many goroutines as there are processors compute meanwhile
	stretch    int      // how many times as long turns are as those of commands
	remark     string   // below its tables, or empty
}

// conditions are those that are measured.
var conditions = []condition{
	{id: "large", operations: []string{"get-1m", "set-1m"}, callers: 64, stretch: 2},
	{id: "tls", text: ", over TLS", operations: []string{"get-64", "get-16k"}, tls: true, stretch: 1},
	{
		// The runtime takes a processor away from a goroutine after 10 ms, so that calls
		// come in bursts: a turn must have many of them.
		id: "busy", text: ", while all processors compute", operations: []string{"get-64"}, busy: true, stretch: 4,
		remark: " As many other goroutines of this process as there are processors hash without a pause; their processor " +
			"time cannot be told from the client's.",
	},
}

// bears reports whether so many callers may be measured under the condition.
func (c condition) bears(callers int) bool { return c.callers == 0 || callers <= c.callers }

// among returns those of clients that can be measured under the condition.
// Twemproxy speaks no TLS.
func (c condition) among(clients []kind) []kind {
	return slices.DeleteFunc(clients, func(k kind) bool { return c.tls && k.id == proxyID })
}

// conditionSteps are the steps under one condition, grouped by operation.
func conditionSteps(s settings, c condition) [][]step {
	var all [][]step
	for _, id := range c.operations {
		if steps := stepsOf(s, operationOf(id), c); len(steps) > 0 {
			all = append(all, steps)
		}
	}
	return all
}

// stepsOf are the steps of an operation under a condition, one for each number of
// goroutines.
func stepsOf(s settings, op operation, c condition) []step {
	clients := c.among(s.kindsFor(op))
	if !chosen(s.conditions, c.id) || !s.measures(op) || len(clients) == 0 {
		return nil
	}
	var steps []step
	for _, callers := range s.conditionGoroutines {
		if c.bears(callers) {
			steps = append(steps, newStep(s, op, callers, clients).under(c, s.rounds))
		}
	}
	return steps
}

// compareConditions measures under each condition, and writes a table as soon as
// an operation is done. With an error it returns what was measured before.
func compareConditions(ctx context.Context, s settings, out io.Writer, progress *progress) ([]outcome, error) {
	keys := randomKeys(s.commandKeys)
	var all []outcome
	for _, c := range conditions {
		groups := conditionSteps(s, c)
		if len(groups) == 0 {
			continue
		}
		outcomes, err := compareUnder(ctx, c, groups, keys, out, progress)
		all = append(all, outcomes...)
		if err != nil {
			return all, fmt.Errorf("%s: %w", c.id, err)
		}
	}
	return all, writeAll(out, summaryTable("The cluster against the others under these conditions", all))
}

// compareUnder runs groups of steps on servers of their own.
func compareUnder(ctx context.Context, c condition, groups [][]step, keys []string, out io.Writer, progress *progress,
) ([]outcome, error) {
	r, err := startRig(ctx, servers, c.tls)
	if err != nil {
		return nil, err
	}
	defer r.close()
	return runGroups(ctx, r, groups, keys, out, progress)
}
