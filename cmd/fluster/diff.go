package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/redisfluster/fluster/cmd/fluster/internal/keys"
)

// diffCmd tells which keys move.
type diffCmd struct {
	Nodes     string `placeholder:"FILE|URLS" help:"The nodes of both sides, where they have none of their own ($$FLUSTER_NODES)."`
	Placement string `placeholder:"NAME" help:"The placement of both sides, likewise ($$FLUSTER_PLACEMENT)."`
	Pool      string `placeholder:"NAME" help:"The pool, likewise, in files of twemproxy's that have several."`

	From          string   `placeholder:"WHAT" help:"Short for --from-placement, or for --from-nodes if WHAT is not the name of a placement."`
	FromNodes     string   `placeholder:"FILE|URLS" help:"The nodes before."`
	FromPlacement string   `placeholder:"NAME" help:"The placement before."`
	FromPool      string   `placeholder:"NAME" help:"The pool before."`
	FromDown      []string `placeholder:"NAME" help:"Nodes that are out before."`

	To          string   `placeholder:"WHAT" help:"Short for --to-placement or --to-nodes, likewise."`
	ToNodes     string   `placeholder:"FILE|URLS" help:"The nodes after."`
	ToPlacement string   `placeholder:"NAME" help:"The placement after."`
	ToPool      string   `placeholder:"NAME" help:"The pool after."`
	ToDown      []string `placeholder:"NAME" help:"Nodes that are out after."`

	Match string `enum:"name,address" default:"name" help:"What makes a node of one side that of the other: name or address (${default})."`

	sampleFlags `embed:""`
	outputFlags `embed:""`
}

// Help is what --help adds.
func (diffCmd) Help() string {
	return `Places each key twice, before and after, and counts which of them move from which node to which. A node is the same before and after if it has the same name, or with --match address the same address.

Beside the share of keys that moves stands the least that any placement could move, since nodes that gain weight have to get keys from somewhere.

Examples:

    fluster diff --from old.yml --to new.yml --keys 1000000
    fluster diff --nodes nodes.yml --from go-redis --to balanced < keys.txt
    fluster diff --from-nodes twemproxy.yml --to-nodes nodes.yml --match address --keys 1000000 --svg move.svg
    fluster diff --nodes nodes.yml --to-down cache3 --keys 1000000`
}

// Run is called by kong.
func (c *diffCmd) Run(s *session) error {
	from, to, err := c.sides(s)
	if err != nil {
		return err
	}
	batches, err := c.sample(s)
	if err != nil {
		return err
	}
	m, err := compare(from, to, batches, c.identity())
	if err != nil {
		return err
	}
	if m.keys == 0 {
		return errNoKeys
	}
	if m.strangers() {
		s.note("no node is on both sides: are they the same by --match %s?", c.otherMatch())
	}
	if c.SVG != "" {
		if err := writePicture(c.SVG, m.picture()); err != nil {
			return err
		}
	}
	if c.JSON {
		return writeJSON(s.stdout, m.report())
	}
	m.write(s.stdout)
	return nil
}

// sides opens both sides.
func (c *diffCmd) sides(s *session) (from, to *fleet, err error) {
	before := fleetFlags{c.FromNodes, c.FromPool, c.FromPlacement, c.FromDown}
	after := fleetFlags{c.ToNodes, c.ToPool, c.ToPlacement, c.ToDown}
	if from, err = c.side(s, "from", c.From, before); err != nil {
		return nil, nil, err
	}
	to, err = c.side(s, "to", c.To, after)
	return from, to, err
}

// side opens one side: what it says itself, then its shorthand, then what is said
// for both.
func (c *diffCmd) side(s *session, name, short string, f fleetFlags) (*fleet, error) {
	if short != "" {
		field, which := &f.Nodes, "nodes"
		if isPlacement(short) {
			field, which = &f.Placement, "placement"
		}
		if *field != "" {
			return nil, usagef("--%s and --%[1]s-%s say the same thing twice", name, which)
		}
		*field = short
	}
	if f.Nodes == "" {
		f.Nodes = c.Nodes
		if f.Pool == "" {
			f.Pool = c.Pool
		}
	}
	if f.Placement == "" {
		f.Placement = c.Placement
	}
	if f.Nodes == "" {
		return nil, usagef("which nodes %s? Give --%[1]s-nodes, or --nodes for both sides", name)
	}
	fl, err := s.open(f)
	switch {
	case err == nil:
		return fl, nil
	case errors.Is(err, fs.ErrNotExist) && f.Nodes == short:
		err = fmt.Errorf("%w (nor is there a placement of that name)", err)
	}
	return nil, prefixed("--"+name+": ", err)
}

// prefixed says which side an error is about.
func prefixed(prefix string, err error) error {
	if usage := (*usageError)(nil); errors.As(err, &usage) {
		return usagef("%s%s", prefix, usage.text)
	}
	return fmt.Errorf("%s%w", prefix, err)
}

// identity returns what makes two nodes the same.
func (c *diffCmd) identity() func(f *fleet, i int) string {
	if c.Match == "address" {
		return func(f *fleet, i int) string { return f.nodes[i].Addr }
	}
	return func(f *fleet, i int) string { return f.nodes[i].Name }
}

func (c *diffCmd) otherMatch() string {
	if c.Match == "address" {
		return "name"
	}
	return "address"
}

// compare places every key on both sides.
func compare(from, to *fleet, batches keys.Batches, identity func(*fleet, int) string) (*movement, error) {
	m, err := newMovement(from, to, identity)
	if err != nil {
		return nil, err
	}
	for batch, err := range batches {
		if err != nil {
			return nil, err
		}
		for _, key := range batch {
			m.add(from.view.Locate(key), to.view.Locate(key))
		}
	}
	m.count()
	return m, nil
}
