package compat

import (
	"errors"
	"fmt"
	"math"

	"github.com/redisfluster/fluster/ring"
)

const (
	maxNodes = 1 << 16

	// Weights go up to what fits into 32 bits, as in the peers written in C.
	weightless = 1
	maxWeight  = math.MaxInt32

	// Memory and the weights of PHP are 64 bits wide.
	hugeWeight = min(1<<46, math.MaxInt)
)

// check returns what is wrong with nodes, if anything is. The limit is the
// largest weight that a node may have.
func check(nodes []ring.Node, limit int) error {
	if len(nodes) == 0 {
		return errors.New("compat: nodes: empty")
	}
	if len(nodes) > maxNodes {
		return fmt.Errorf("compat: nodes: %d are too many, at most %d are possible", len(nodes), maxNodes)
	}
	seen := make(map[string]int, len(nodes))
	for i, n := range nodes {
		if n.Name == "" {
			return fmt.Errorf("compat: nodes[%d].Name: empty", i)
		}
		if first, ok := seen[n.Name]; ok {
			return fmt.Errorf("compat: nodes[%d].Name: %q is the name of nodes[%d] too", i, n.Name, first)
		}
		seen[n.Name] = i
		if err := checkWeight(n, limit); err != nil {
			return fmt.Errorf("compat: nodes[%d].Weight: %w", i, err)
		}
	}
	return nil
}

func checkWeight(n ring.Node, limit int) error {
	switch {
	case n.Weight >= 0 && n.Weight <= limit:
		return nil
	case limit == weightless && n.Weight > 0:
		return fmt.Errorf("%d of node %q, but this placement has no weights", n.Weight, n.Name)
	}
	return fmt.Errorf("%d of node %q is not between 0 and %d", n.Weight, n.Name, limit)
}

// checkLive panics unless live has one flag for each of n nodes, or is nil.
func checkLive(live []bool, n int) {
	if live != nil && len(live) != n {
		panic(fmt.Sprintf("compat: View was told of %d nodes, but the ring has %d.", len(live), n))
	}
}
