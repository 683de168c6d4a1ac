package health

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// ErrClosed is returned by [Checker.WaitReady] after Close.
var ErrClosed = errors.New("health: checker is closed")

// Change is a node's way into the penalty box, out of it, or one more probe
// that failed while it is in there.
type Change struct {
	// Node is the index of the node in the list that New got.
	Node int

	// Live is true if the node was released, and false if it is out.
	Live bool

	// Still is true if the node was out before and stays out, because a probe
	// of it failed. Only Class, Cause, Silent and Wait may differ from the
	// Change before, which had the same Generation.
	Still bool

	// Silent is the State's.
	Silent bool

	// Class is what is behind the penalty. It is None if the node was released.
	Class Class

	// Cause is why the node is out or, if it was released, why it was.
	Cause error

	// Generation is the State's. It tells one stay in the penalty box from
	// another.
	Generation uint64

	// At is when it happened.
	At time.Time

	// Wait is the time until the next probe of a node that is out; zero for one
	// that was released.
	Wait time.Duration
}

// Status is all that a checker knows of a node.
type Status struct {
	State

	// Class is what is behind the penalty. It is None while the node lives.
	Class Class

	// Since is when the node was last penalized or released, or when the
	// checker was made.
	Since time.Time

	// Until is when the next probe of a node that is out is due. It is zero
	// while the node lives.
	Until time.Time

	// Last is the newest fault that a probe met or a penalty was for. It is
	// kept when the node is released. Nil if there was none.
	Last error

	// FirstAnswer is true once the node has ever answered.
	FirstAnswer bool

	// Failures is the number of soft failures in a row that stand against a
	// live node now.
	Failures int

	// Penalties counts the stays in the penalty box, and Refused those that
	// Config.MaxDown prevented.
	Penalties, Refused uint64

	// Probes counts the probes that were started, and ProbeFailures those among
	// them that showed a fault of the node or did not end in time.
	Probes, ProbeFailures uint64
}

// NotReadyError is returned by [Checker.WaitReady] when its context ends
// first. It wraps the context's error and every known cause.
type NotReadyError struct {
	// Nodes are the indices of the nodes that have not answered, in order.
	Nodes []int
	// Names are their names.
	Names []string
	// Causes are the newest faults seen of them; nil where none was.
	Causes []error
	// Err is the context's error.
	Err error
}

// Error names every node that has not answered, and why if that is known.
func (e *NotReadyError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "health: %d nodes have not answered: %v", len(e.Nodes), e.Err)
	for i, name := range e.Names {
		if cause := e.Causes[i]; cause != nil {
			fmt.Fprintf(&b, "; %s: %v", name, cause)
			continue
		}
		fmt.Fprintf(&b, "; %s: no answer yet", name)
	}
	return b.String()
}

// Unwrap returns the context's error and the causes that are known.
func (e *NotReadyError) Unwrap() []error {
	errs := []error{e.Err}
	for _, cause := range e.Causes {
		if cause != nil {
			errs = append(errs, cause)
		}
	}
	return errs
}
