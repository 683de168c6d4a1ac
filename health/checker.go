package health

import (
	"context"
)

// Target is one node to watch.
type Target struct {
	// Name is for people to read.
	Name string
	// Probe asks the node whether it answers.
	Probe ProbeFunc
}

// Hooks is what a checker calls. Nil functions are not called.
type Hooks struct {
	// Publish gets the state of every node, in the order of the targets, after
	// each change of one. It is called under the checker's lock, in the order
	// of the changes, so that the last call is the truth: it must not block, do
	// I/O, or call the checker. It may keep the slice.
	Publish func(states []State)

	// Changed gets each change once, one at a time and in order, after Publish.
	// It is called with no lock held, by the goroutine that caused the change,
	// by another that is calling it already, or by one of the checker's own. It
	// should not take long, and must not call Close.
	Changed func(Change)
}

// Checker watches a fixed list of nodes. It is safe for concurrent use.
type Checker struct {
}

// New returns a checker of targets, all of them live until there is evidence
// against them. It does no I/O and starts no goroutine: see Start. It returns
// an error if cfg makes no sense, if there are no targets, or if one has no
// probe.
func New(cfg Config, targets []Target, hooks Hooks) (*Checker, error) {
	return &Checker{}, nil
}

// Start begins to probe.
func (c *Checker) Start() {}

// Report tells what a connection of the node with that index met.
func (c *Checker) Report(ctx context.Context, node int, ev Evidence) {}

// Status returns what is known of the node with that index.
func (c *Checker) Status(node int) Status { return Status{} }

// WaitReady returns when every node has answered once.
func (c *Checker) WaitReady(ctx context.Context) error { return nil }

// Close ends the probing.
func (c *Checker) Close() {}
