package fluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/router"
	"github.com/redisfluster/fluster/ring"
)

// FlusterCluster is a set of independent Redis nodes that share keys among them.
// Make one with New or Open, and Close it. All its methods are safe for
// concurrent use.
type FlusterCluster struct {
	// Immutable after New.
	nodes   []Node
	ring    ring.Ring
	members []*node.Node // of nodes
	checker *health.Checker
	router  *router.Router
	events  *herald

	snapshot atomic.Pointer[snapshot]
	walks    atomic.Uint32 // begun so far
	closing  sync.Once
}

// New returns a cluster of cfg.Nodes and begins to probe them. It does no I/O: a
// node may be down, and is found to be so by the first call that needs it or by
// the first probe. WaitReady waits until all of them have answered.
//
// New refuses, naming the field: no nodes; a node without a name, with a name
// or pool that another one has, without a pool, with a pool that was used
// before or belongs to a cluster; negative weights and durations; a name in Merge
// that cannot be merged.
func New(cfg Config) (*FlusterCluster, error) {
	if err := checkNodes(cfg.Nodes); err != nil {
		return nil, err
	}
	c := &FlusterCluster{nodes: slices.Clone(cfg.Nodes)}
	for i := range c.nodes {
		c.nodes[i].Weight = max(c.nodes[i].Weight, 1)
	}
	routing, err := c.routing(cfg)
	if err != nil {
		return nil, err
	}
	c.router = router.New(backend{c}, routing)
	c.events = newHerald(c.nodes, cfg.Logger, cfg.OnEvent)
	if cfg.Placement == nil {
		cfg.Placement = ring.Balanced{}
	}
	if c.ring, err = cfg.Placement.Build(c.ringNodes()); err != nil {
		return nil, fmt.Errorf("fluster: Config.Placement: %w", err)
	}
	if c.checker, err = health.New(cfg.Health, c.targets(), health.Hooks{Publish: c.publish, Changed: c.changed}); err != nil {
		return nil, fmt.Errorf("fluster: Config.Health: %w", err)
	}
	if err := claimPools(c.nodes); err != nil {
		return nil, err
	}
	c.adopt(cmp.Or(cfg.Health.Timeout, health.DefaultTimeout))
	c.snapshot.Store(c.allLive())
	c.events.start()
	c.checker.Start()
	return c, nil
}

// Open returns a cluster of the nodes that ParseNode reads from urls, with the
// zero Config otherwise.
func Open(urls ...string) (*FlusterCluster, error) {
	nodes := make([]Node, len(urls))
	for i, raw := range urls {
		n, err := ParseNode(raw)
		if err != nil {
			return nil, fmt.Errorf("fluster: URL %d of %d: %w", i+1, len(urls), errors.Unwrap(err))
		}
		nodes[i] = n
	}
	return New(Config{Nodes: nodes})
}

// ringNodes returns the nodes as a placement sees them.
func (c *FlusterCluster) ringNodes() []ring.Node {
	nodes := make([]ring.Node, len(c.nodes))
	for i, n := range c.nodes {
		nodes[i] = ring.Node{Name: n.Name, Weight: n.Weight}
	}
	return nodes
}

// targets returns the nodes as the checker sees them.
func (c *FlusterCluster) targets() []health.Target {
	targets := make([]health.Target, len(c.nodes))
	for i, n := range c.nodes {
		targets[i] = health.Target{
			Name: n.Name,
			Probe: func(ctx context.Context, req health.ProbeRequest) health.Evidence {
				return c.members[i].Probe(ctx, req)
			},
		}
	}
	return targets
}

// adopt wraps the pools, which are claimed.
func (c *FlusterCluster) adopt(timeout time.Duration) {
	c.members = make([]*node.Node, len(c.nodes))
	for i, n := range c.nodes {
		c.members[i] = node.New(node.Config{
			Name: n.Name, Addr: n.Addr, Pool: n.Pool, Timeout: timeout,
			Sink: func(ctx context.Context, ev health.Evidence) { c.checker.Report(ctx, i, ev) },
		})
	}
}

// GetClient returns the pool of the node that key belongs to: its home while
// that lives, otherwise the node that stands in for it, the same for every call
// while the same nodes live. Only what stands between the first { of the key and
// the next } is hashed, if anything does (the rule of Redis Cluster's hash tags).
//
// The pool is a plain redigo pool, so whatever takes one works with it. Ask
// again for each use rather than keep it: a pool whose node is down refuses.
//
// GetClient does no I/O, takes no lock and does not allocate, whatever state the
// nodes are in. It returns ErrClusterEmpty if no node lives and ErrClosed after Close.
func (c *FlusterCluster) GetClient(key string) (*redis.Pool, error) {
	i, err := c.snapshot.Load().Locate(key)
	if err != nil {
		return nil, err
	}
	return c.nodes[i].Pool, nil
}

// Locate returns the node that GetClient would return the pool of, with the same
// errors. It does no I/O.
func (c *FlusterCluster) Locate(key string) (Node, error) {
	i, err := c.snapshot.Load().Locate(key)
	if err != nil {
		return Node{}, err
	}
	return c.nodes[i], nil
}

// Node returns the node of that name, whether it lives or not, and whether there
// is one. It does no I/O.
func (c *FlusterCluster) Node(name string) (Node, bool) {
	i := slices.IndexFunc(c.nodes, func(n Node) bool { return n.Name == name })
	if i < 0 {
		return Node{}, false
	}
	return c.nodes[i], true
}

// Fingerprint identifies how keys are placed: two processes with the same
// fingerprint send a key to the same node whenever they see the same nodes live.
// Compare it at start-up or show it in a status page to find a process that was
// given other names or weights. It does not depend on addresses or order.
func (c *FlusterCluster) Fingerprint() uint64 { return c.ring.Fingerprint() }

// String tells the nodes' names and addresses and which of them are down.
func (c *FlusterCluster) String() string {
	s := c.snapshot.Load()
	parts := make([]string, len(c.nodes))
	for i, n := range c.nodes {
		parts[i] = n.String()
		if !slices.Contains(s.live, i) {
			parts[i] += " down"
		}
	}
	return "fluster[" + strings.Join(parts, ", ") + "]"
}

// Close ends the cluster: probes and events stop, every pool and every new call is
// refused with ErrClosed from then on. Calls of Do that are under way on a node still
// get their replies, if those come within its read time-out (1 s if it has none); then
// every connection is closed, also those in use, whose callers get an error. It waits
// for the cluster's own goroutines, so for
// an OnEvent that runs, but not for a pool's dial function that takes no context
// and hangs. Who waits for a connection of a pool that is full, with Pool.Wait, is
// refused when one is given back. It returns nil. Calling it again waits for the first call.
func (c *FlusterCluster) Close() error {
	c.closing.Do(func() {
		c.checker.Close()
		c.replace(&snapshot{view: nowhere{}, err: ErrClosed, over: make(chan struct{})})
		var nodes sync.WaitGroup
		for _, m := range c.members {
			nodes.Go(m.Close)
		}
		nodes.Wait()
		c.events.close()
	})
	return nil
}
