package main

import (
	"context"
	"fmt"
	"io"
	"slices"
)

const (
	growthCallers = 64
	manyCallers   = 512    // besides, while keys become more
	growthKeys    = 20_000 // while nodes become more
)

// growthOperations are those whose cost is followed.
var growthOperations = []string{"get-64", mgetID, "pipeline-get"}

// nodeSteps are the steps on so many nodes.
func nodeSteps(s settings, nodes int) []step {
	var steps []step
	for _, id := range growthOperations {
		steps = append(steps, growthStep(s, id, nodes, min(growthKeys, s.commandKeys), growthCallers))
	}
	return steps
}

// keySteps are the steps with more and more keys, each time ten times as many: a server takes
// the longer for a key the more there are, which hides what clients cost.
func keySteps(s settings) []step {
	var numbers []int
	for keys := s.commandKeys; keys >= 100 && len(numbers) < 3; keys /= 10 {
		numbers = append(numbers, keys)
	}
	var steps []step
	for _, keys := range slices.Backward(numbers) {
		for _, id := range growthOperations {
			steps = append(steps, growthStep(s, id, servers, keys, growthCallers), growthStep(s, id, servers, keys, manyCallers))
		}
	}
	return steps
}

func growthStep(s settings, id string, nodes, keys, callers int) step {
	op := operationOf(id)
	return step{
		part: growth, op: op, callers: callers, nodes: nodes, keys: keys,
		rounds: s.roundsOf(op, callers), slice: s.slice, kinds: s.kindsFor(op),
	}
}

// compareGrowth measures what becomes of the clients as nodes and keys become
// more.
func compareGrowth(ctx context.Context, s settings, out io.Writer, progress *progress) ([]outcome, error) {
	var all []outcome
	for _, nodes := range s.growthNodes {
		outcomes, err := runOn(ctx, nodes, nodeSteps(s, nodes), progress)
		all = append(all, outcomes...)
		if err != nil {
			return all, fmt.Errorf("%d nodes: %w", nodes, err)
		}
	}
	if err := writeAll(out, nodesTable(all)); err != nil {
		return all, err
	}
	byKeys, err := runOn(ctx, servers, keySteps(s), progress)
	all = append(all, byKeys...)
	if err != nil || len(byKeys) == 0 {
		return all, err
	}
	return all, writeAll(out, keysTable(byKeys))
}

// runOn runs steps on servers of their own.
func runOn(ctx context.Context, nodes int, steps []step, progress *progress) ([]outcome, error) {
	if len(steps) == 0 {
		return nil, nil
	}
	r, err := startRig(ctx, nodes, false)
	if err != nil {
		return nil, err
	}
	defer r.close()
	keys := randomKeys(steps[len(steps)-1].keys)
	progress.say("fill %d servers", nodes)
	if err := fill(ctx, r.nodes(), keys, steps[0].op.size); err != nil {
		return nil, err
	}
	return runSteps(ctx, r, steps, keys, progress)
}
