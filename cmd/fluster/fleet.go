package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/redisfluster/fluster/cmd/fluster/internal/nodelist"
	"github.com/redisfluster/fluster/internal/placements"
	"github.com/redisfluster/fluster/ring"
)

// defaultPlacement is the library's.
const defaultPlacement = "balanced"

// fleetFlags say which nodes there are and how they are given keys.
type fleetFlags struct {
	Nodes     string   `placeholder:"FILE|URLS" help:"The nodes: a file, or URLs with commas between them ($$FLUSTER_NODES)."`
	Pool      string   `placeholder:"NAME" help:"The pool in a file of twemproxy's that has several."`
	Placement string   `placeholder:"NAME" help:"The placement: a name that \"fluster placements\" lists, with its options ($$FLUSTER_PLACEMENT)."`
	Down      []string `placeholder:"NAME" help:"Nodes that are out."`
}

// fleet is a list of nodes with a placement, and which of them live.
type fleet struct {
	nodes     []nodelist.Node
	source    string
	placement string
	live      []bool
	view      ring.View
}

// open reads the nodes and lays out their ring.
func (s *session) open(f fleetFlags) (*fleet, error) {
	if f.Nodes == "" {
		return nil, usagef("which nodes? Give --nodes a file or URLs")
	}
	list, err := nodelist.Read(f.Nodes, f.Pool)
	if err != nil {
		return nil, fmt.Errorf("nodes: %w", err)
	}
	spec := f.Placement
	switch {
	case spec == "" && list.Placement != "":
		spec = list.Placement
		s.note("placement %s, as %s says", spec, list.Source)
	case spec == "":
		spec = defaultPlacement
	}
	placement, err := placements.Parse(spec)
	if err != nil {
		return nil, usagef("placement %q: %v", spec, err)
	}
	fl := &fleet{nodes: list.Nodes, source: list.Source, placement: spec}
	if err := fl.setDown(f.Down); err != nil {
		return nil, err
	}
	built, err := placement.Build(fl.ringNodes())
	if err != nil {
		return nil, fmt.Errorf("placement %s on %s: %w", spec, list.Source, err)
	}
	fl.view = built.View(nil)
	if len(f.Down) > 0 {
		fl.view = built.View(fl.live)
	}
	return fl, nil
}

func (f *fleet) ringNodes() []ring.Node {
	nodes := make([]ring.Node, len(f.nodes))
	for i, n := range f.nodes {
		nodes[i] = ring.Node{Name: n.Name, Weight: n.Weight}
	}
	return nodes
}

// setDown notes the nodes that are out.
func (f *fleet) setDown(names []string) error {
	f.live = slices.Repeat([]bool{true}, len(f.nodes))
	for _, name := range names {
		i := slices.IndexFunc(f.nodes, func(n nodelist.Node) bool { return n.Name == name })
		if i < 0 {
			return usagef("there is no node %q that could be down; there are %s", name, f.someNames())
		}
		f.live[i] = false
	}
	return nil
}

// someNames lists the nodes, or the first few of them.
func (f *fleet) someNames() string {
	const enough = 10
	var names []string
	for i, n := range f.nodes {
		if i == enough {
			names = append(names, fmt.Sprintf("and %d more", len(f.nodes)-enough))
			break
		}
		names = append(names, n.Name)
	}
	return strings.Join(names, ", ")
}

// livingShares returns the share of the keys that each node has by its weight
// among those that live. Nodes that are out have none.
func (f *fleet) livingShares() []float64 {
	shares, total := make([]float64, len(f.nodes)), 0.0
	for i, n := range f.nodes {
		if f.live[i] {
			shares[i] = float64(n.Weight)
			total += shares[i]
		}
	}
	if total > 0 {
		for i := range shares {
			shares[i] /= total
		}
	}
	return shares
}

// lost counts keys that no live node has: those without a node at all, and those
// that the placement leaves with a node that is out.
type lost struct{ homeless, stuck int }

// verdict says how many there are, if any.
func (l lost) verdict(s *session) error {
	if l.homeless > 0 {
		s.note("no live node: %s without any", count(l.homeless, "key"))
	}
	if l.stuck > 0 {
		s.note("no live node: %s with nodes that are down, whose keys this placement gives to nobody else", count(l.stuck, "key"))
	}
	if l.homeless+l.stuck > 0 {
		return errNegative
	}
	return nil
}
