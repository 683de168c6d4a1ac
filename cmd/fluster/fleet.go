package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/redisfluster/fluster/cmd/fluster/internal/nodelist"
	"github.com/redisfluster/fluster/internal/placements"
	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
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
	placement, spec, err := s.placement(f.Placement, list)
	if err != nil {
		return nil, err
	}
	fl := &fleet{nodes: list.Nodes, source: list.Source, placement: spec}
	if err := fl.setDown(f.Down); err != nil {
		return nil, err
	}
	fl.setWeights(placement)
	nodes, err := s.ringNodes(placement, fl)
	if err != nil {
		return nil, err
	}
	built, err := placement.Build(nodes)
	if err != nil {
		return nil, fmt.Errorf("placement %s on %s: %w", spec, list.Source, err)
	}
	fl.view = built.View(nil)
	if len(f.Down) > 0 {
		fl.view = built.View(fl.live)
	}
	return fl, nil
}

// placement returns the placement that was asked for, or else the list's, or else
// the default, and its spec.
func (s *session) placement(asked string, list nodelist.List) (ring.Placement, string, error) {
	if asked == "" && list.Placement != "" {
		p, err := placements.Parse(list.Placement)
		if err != nil {
			return nil, "", fmt.Errorf("nodes: %s: placement %q: %w", list.Source, list.Placement, err)
		}
		s.note("placement %s, as %s says", list.Placement, list.Source)
		return p, list.Placement, nil
	}
	spec := cmp.Or(asked, defaultPlacement)
	p, err := placements.Parse(spec)
	if err != nil {
		return nil, "", usagef("placement %q: %v", spec, err)
	}
	return p, spec, nil
}

// setWeights gives nodes without a weight that which the placement's own client
// gives them.
func (f *fleet) setWeights(p ring.Placement) {
	usual := 1
	if _, ok := p.(compat.Predis); ok {
		usual = 100
	}
	for i := range f.nodes {
		f.nodes[i].Weight = cmp.Or(f.nodes[i].Weight, usual)
	}
}

// ringNodes returns the nodes under the names by which the placement places them.
func (s *session) ringNodes(p ring.Placement, f *fleet) ([]ring.Node, error) {
	nodes, told := make([]ring.Node, len(f.nodes)), false
	for i, n := range f.nodes {
		name, err := peerName(p, n)
		if err != nil {
			return nil, fmt.Errorf("nodes: %s: the node %s has no name by %s: %w", f.source, n.Name, f.placement, err)
		}
		if name != n.Name && !told {
			told = true
			s.note("nodes without names have those that %s gives them, such as %s", f.placement, name)
		}
		nodes[i] = ring.Node{Name: name, Weight: n.Weight}
	}
	return nodes, nil
}

// peerName returns the name that a placement's own client gives to a node, if the
// list gives it none.
func peerName(p ring.Placement, n nodelist.Node) (string, error) {
	if n.Named {
		return n.Name, nil
	}
	switch p := p.(type) {
	case compat.RedisRb:
		return p.NodeID(n.URL)
	case compat.Twemproxy:
		server, _, err := compat.TwemproxyServer(n.Addr + ":1")
		return server.Name, err
	}
	return n.Name, nil
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
