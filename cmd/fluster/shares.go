package main

import "math"

// nodeShare is what one node has of the keys.
type nodeShare struct {
	Name   string `json:"name"`
	Weight int    `json:"weight"`
	Down   bool   `json:"down"`
	Keys   int    `json:"keys"`
	// Share is the node's part of all keys, and Fair what it would be by weight.
	Share float64 `json:"share"`
	Fair  float64 `json:"fair_share"`
	// Load is Share by Fair: 1 is fair.
	Load float64 `json:"load"`
}

// evenness says how evenly keys are shared.
type evenness struct {
	Placement string `json:"placement"`
	Source    string `json:"nodes_from"`
	Keys      int    `json:"keys"`
	Homeless  int    `json:"keys_without_node"`
	Stuck     int    `json:"keys_on_down_nodes"`

	// MaxOverMean, MinOverMean and Deviation are of the loads of the nodes that
	// live, whose mean is 1 if all weigh alike. Deviation is their standard
	// deviation from 1, Chance what it would be if each key fell on a node at
	// random: from fewer keys nothing finer can be read.
	MaxOverMean float64 `json:"max_over_mean"`
	MinOverMean float64 `json:"min_over_mean"`
	Deviation   float64 `json:"standard_deviation"`
	Chance      float64 `json:"standard_deviation_by_chance"`

	Nodes []nodeShare `json:"nodes"`
}

// weigh compares what the nodes have with what they should have. The last of
// counts is of the keys that no node has.
func weigh(f *fleet, counts []int) evenness {
	e := evenness{Placement: f.placement, Source: f.source, Homeless: counts[len(f.nodes)]}
	for _, c := range counts {
		e.Keys += c
	}
	fair := f.livingShares()
	for i, n := range f.nodes {
		share := nodeShare{Name: n.Name, Weight: n.Weight, Down: !f.live[i], Keys: counts[i], Fair: rounded(fair[i])}
		share.Share = ratio(float64(counts[i]), float64(e.Keys))
		share.Load = ratio(float64(counts[i]), float64(e.Keys)*fair[i])
		e.Nodes = append(e.Nodes, share)
	}
	e.summarize()
	return e
}

// summarize works out the figures for all nodes together.
func (e *evenness) summarize() {
	var living, squares, chance float64
	e.MinOverMean = math.Inf(1)
	for _, n := range e.Nodes {
		if n.Down {
			e.Stuck += n.Keys
			continue
		}
		living++
		e.MaxOverMean, e.MinOverMean = max(e.MaxOverMean, n.Load), min(e.MinOverMean, n.Load)
		squares += (n.Load - 1) * (n.Load - 1)
		chance += (1 - n.Fair) / (max(1, float64(e.Keys)) * n.Fair)
	}
	if living == 0 {
		e.MinOverMean = 0
	}
	e.Deviation, e.Chance = rounded(math.Sqrt(squares/max(living, 1))), rounded(math.Sqrt(chance/max(living, 1)))
}

// ratio is a/b to nine digits behind the point, or 0 if there is nothing to divide
// by.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return rounded(a / b)
}

// rounded cuts what depends on how a processor multiplies, and nobody reads.
func rounded(x float64) float64 { return math.Round(1e9*x) / 1e9 }
