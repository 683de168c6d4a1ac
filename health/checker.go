package health

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// settleMargin is how much longer Report waits for a probe's word than that word
// may take: with brokenFor, 50 ms.
const settleMargin = 10 * time.Millisecond

// Target is one node to watch.
type Target struct {
	// Name is for people to read.
	Name string
	// Probe asks the node whether it answers. It must not be nil.
	Probe ProbeFunc
}

// Hooks is what a checker calls. Nil functions are not called.
type Hooks struct {
	// Publish gets the state of every node, in the order of the targets, after
	// each change of one. It is called under the checker's lock, in the order
	// of the changes, so that the last call is the truth: it must not block, do
	// I/O, or call the checker. It may keep the slice.
	Publish func(states []State)

	// Changed gets each change once, one at a time and in order, after Publish
	// has seen it. It is called with no lock held, by the goroutine that caused
	// the change or by one that is at it already, a caller of Report or the
	// checker's own. It holds up whoever runs it, so it should not take long;
	// it must not panic, nor call Close.
	Changed func(Change)
}

// Checker watches a fixed list of nodes and decides which of them are out. It
// is safe for concurrent use.
type Checker struct {
	// immutable after New
	cfg     Config
	targets []Target
	hooks   Hooks
	wakes   []chan struct{} // one for each prober, holding at most one wake
	ready   chan struct{}   // closed when every node has answered
	closing context.Context // ends with Close
	close   context.CancelFunc

	probers sync.WaitGroup

	mu         sync.Mutex
	group      *group          // guarded by mu
	verdicts   []chan struct{} // guarded by mu; closed when something is settled; nil where nobody waits
	delivered  *sync.Cond      // on mu; signalled when delivering ends
	queue      []Change        // guarded by mu; what Changed has not got yet
	delivering bool            // guarded by mu; somebody calls Changed
	started    bool            // guarded by mu
	allReady   bool            // guarded by mu; ready is closed
	closed     bool            // guarded by mu
}

// New returns a checker of targets, all of them live until there is evidence
// against them. It does no I/O and starts no goroutine: see [Checker.Start]. It
// returns an error if cfg makes no sense, if there are no targets, or if one of
// them has no probe.
func New(cfg Config, targets []Target, hooks Hooks) (*Checker, error) {
	return newChecker(cfg, targets, hooks, rand.Float64)
}

// newChecker is New with a source of jitter: random returns numbers from 0
// to 1, and is called under the lock.
func newChecker(cfg Config, targets []Target, hooks Hooks, random func() float64) (*Checker, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if len(targets) == 0 {
		return nil, errors.New("health: no targets")
	}
	c := &Checker{
		cfg:      cfg,
		targets:  append([]Target(nil), targets...),
		hooks:    hooks,
		wakes:    make([]chan struct{}, len(targets)),
		ready:    make(chan struct{}),
		group:    newGroup(cfg, len(targets), random, time.Now()),
		verdicts: make([]chan struct{}, len(targets)),
	}
	for i, t := range targets {
		if t.Probe == nil {
			return nil, fmt.Errorf("health: target %d (%s) has no Probe", i, t.Name)
		}
		c.wakes[i] = make(chan struct{}, 1)
	}
	c.delivered = sync.NewCond(&c.mu)
	c.closing, c.close = context.WithCancel(context.Background())
	return c, nil
}

// Start begins to probe. Before it, Report counts what needs no probe. It does
// nothing when called again or after Close.
func (c *Checker) Start() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.started || c.closed {
		return
	}
	c.started = true
	c.group.start(time.Now())
	for node := range c.targets {
		c.probers.Go(func() { c.watch(node) })
	}
}

// Close ends the probing and everybody's waiting, and returns when the
// checker's own goroutines have ended. A probe that runs has its context
// cancelled, and is left behind if it does not heed that at once. Nothing
// changes after Close. It may be called more than once.
func (c *Checker) Close() {
	c.mu.Lock()
	c.closed = true
	c.mu.Unlock()
	c.close()
	c.probers.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.delivering {
		c.delivered.Wait()
	}
}

// Report takes evidence from the node's traffic, node being its index. What it
// leads to has been published when Report returns.
//
// It does no I/O. It returns at once, with two exceptions. A Broken connection,
// a Timeout, and evidence with Verify leave open whether the node is to blame:
// then Report wakes the prober and waits until the node is out, a probe that
// began after the call was answered, 50 ms have passed (longer if probes of the
// node took long of late, as those of a far one do), ctx ends, or the checker is
// closed. And whoever causes a change may have to call Hooks.Changed.
//
// After Close it does nothing.
func (c *Checker) Report(ctx context.Context, node int, ev Evidence) {
	if ev.Class == None {
		return
	}
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return
	}
	open := c.group.report(time.Now(), node, ev) && c.started
	after, within := c.group.nodes[node].seq, c.group.nodes[node].patience(brokenFor)+settleMargin
	c.unlockAndDeliver()
	if open {
		c.settle(ctx, node, ev.Generation, after, within)
	}
}

// settle waits until it is known whether the node, live in generation, is out:
// until it is, or a probe later than the one numbered after was answered. It
// gives up when within has passed.
func (c *Checker) settle(ctx context.Context, node int, generation, after uint64, within time.Duration) {
	bound := time.NewTimer(within)
	defer bound.Stop()
	for {
		verdict := c.verdict(node, generation, after)
		if verdict == nil {
			return
		}
		select {
		case <-verdict:
		case <-bound.C:
			return
		case <-ctx.Done():
			return
		case <-c.closing.Done():
			return
		}
	}
}

// verdict returns a channel that is closed when more is known, or nil if enough
// is.
func (c *Checker) verdict(node int, generation, after uint64) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	m := c.group.nodes[node]
	if m.state.Generation != generation || m.aliveSeq > after {
		return nil
	}
	if c.verdicts[node] == nil {
		c.verdicts[node] = make(chan struct{})
	}
	return c.verdicts[node]
}

// Status returns what is known of the node with that index. It does no I/O.
func (c *Checker) Status(node int) Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.group.nodes[node].status(time.Now())
}

// WaitReady returns nil when every node has answered once. It wakes the probes
// of those that have not, whatever they wait for. When ctx ends first it
// returns a [*NotReadyError], and after Close ErrClosed. It waits for as long
// as ctx lets it if Start is not called.
func (c *Checker) WaitReady(ctx context.Context) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	c.group.rouse()
	c.unlockAndDeliver()
	select {
	case <-c.ready:
		return nil
	case <-c.closing.Done():
		return ErrClosed
	case <-ctx.Done():
		return c.notReady(ctx.Err())
	}
}

// notReady returns the error that names the nodes which have not answered, or
// nil if by now all have.
func (c *Checker) notReady(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := &NotReadyError{Err: err}
	for i, m := range c.group.nodes {
		if !m.answered {
			e.Nodes = append(e.Nodes, i)
			e.Names = append(e.Names, c.targets[i].Name)
			e.Causes = append(e.Causes, m.last)
		}
	}
	if len(e.Nodes) == 0 {
		return nil
	}
	return e
}
