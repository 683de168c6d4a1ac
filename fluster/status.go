package fluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/health"
)

// NodeStatus is what is known of a node at one moment.
type NodeStatus struct {
	Node

	// Live is false while the node is in the penalty box.
	Live bool

	// Since is when the node was penalized or released last, or when the cluster
	// was made.
	Since time.Time

	// Cause is why the node is out. It is nil while the node lives.
	Cause error

	// LastCause is the newest fault that was seen of the node, kept after its
	// return. It is nil if there was none.
	LastCause error

	// Until is when a node that is out is probed next. It is zero while the node lives.
	Until time.Time

	// Failures is the number of soft failures in a row that stand against a node
	// that lives.
	Failures int

	// Penalties counts how often the node was penalized, and Refused how often
	// health.Config.MaxDown kept it from being.
	Penalties, Refused uint64

	// Probes counts the probes of the node, and ProbeFailures those that failed.
	Probes, ProbeFailures uint64

	// LocalFaults counts dials to the node that failed for want of something on
	// this machine, such as file descriptors or ports. They tell nothing of the
	// node.
	LocalFaults uint64

	// Retries counts the calls that failed at the node and were repeated, there or
	// at another one, and RetriesRefused those that were not because the budget of
	// repeats was used up.
	Retries, RetriesRefused uint64

	// PoolStats are the figures of Node.Pool.
	PoolStats redis.PoolStats
}

// String tells the node, whether it lives, and if not, why.
func (s NodeStatus) String() string {
	if s.Live {
		return s.Node.String() + " live"
	}
	return fmt.Sprintf("%s down: %v", s.Node, s.Cause)
}

// Nodes returns the status of all nodes, live or not, in the order of
// Config.Nodes. It does no I/O.
func (c *FlusterCluster) Nodes() []NodeStatus {
	all := make([]NodeStatus, len(c.nodes))
	for i, n := range c.nodes {
		st := c.checker.Status(i)
		all[i] = NodeStatus{
			Node:          n,
			Live:          st.Live,
			Since:         st.Since,
			Cause:         st.Cause,
			LastCause:     st.Last,
			Until:         st.Until,
			Failures:      st.Failures,
			Penalties:     st.Penalties,
			Refused:       st.Refused,
			Probes:        st.Probes,
			ProbeFailures: st.ProbeFailures,
			LocalFaults:   c.members[i].LocalFaults(),
			PoolStats:     n.Pool.Stats(),
		}
		all[i].Retries, all[i].RetriesRefused = c.router.Retries(i)
	}
	return all
}

// Live returns the nodes that live, in the order of Config.Nodes, and a channel that
// is closed when others do: ask again then. It is for those who keep something open
// to each node, such as a wait or a subscription. Who asks late may not see that a
// node was out for a moment; its connections tell.
//
// When no node lives the error is ErrClusterEmpty, and the channel tells when one is
// back. After Close the error is ErrClosed; Close closes the channels given before it.
// Live does no I/O.
func (c *FlusterCluster) Live() (nodes []Node, changed <-chan struct{}, err error) {
	s := c.snapshot.Load()
	for _, i := range s.live {
		nodes = append(nodes, c.nodes[i])
	}
	return nodes, s.over, s.err
}

// WaitReady waits until every node has answered once since New, and probes all
// of them at once. If ctx ends first, the error wraps that of ctx and tells which
// nodes have not answered, and why. After Close it returns ErrClosed.
func (c *FlusterCluster) WaitReady(ctx context.Context) error {
	err := c.checker.WaitReady(ctx)
	var late *health.NotReadyError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, health.ErrClosed):
		return ErrClosed
	case errors.As(err, &late):
		return &notReadyError{late}
	}
	return err
}

// notReadyError is health's in the cluster's words.
type notReadyError struct{ *health.NotReadyError }

func (e *notReadyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "fluster: nodes that have not answered (%v)", e.Err)
	for i, name := range e.Names {
		cause := "no answer yet"
		if e.Causes[i] != nil {
			cause = e.Causes[i].Error()
		}
		fmt.Fprintf(&b, "; %s: %s", name, cause)
	}
	return b.String()
}
