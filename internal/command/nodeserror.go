package command

import (
	"errors"
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// NodesError is what some of the nodes that a call went to failed with.
// errors.Is and errors.As find the errors of all of them.
type NodesError struct {
	// Total is how many nodes, or parts of a call, there were.
	Total int
	// Failed has those that failed, in the order of the nodes. The Err of each
	// is as it came: the server's error reply, or the connection's error.
	Failed []Reply
}

// Error tells how many failed, and each of them with its cause. An error reply
// does not know its node, so the name is put before it; other errors say it
// themselves.
func (e *NodesError) Error() string {
	texts := make([]string, len(e.Failed))
	for i, f := range e.Failed {
		texts[i] = f.Err.Error()
		if !strings.Contains(texts[i], "node "+f.Node) {
			texts[i] = fmt.Sprintf("node %s: %s", f.Node, texts[i])
		}
	}
	return fmt.Sprintf("fluster: %d of %d nodes failed: %s", len(e.Failed), e.Total, strings.Join(texts, "; "))
}

// Unwrap returns the errors, in the order of Failed.
func (e *NodesError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f.Err
	}
	return errs
}

// add adds a node that failed.
func (e *NodesError) add(r Reply, err error) {
	e.Failed = append(e.Failed, Reply{Node: r.Node, Value: r.Value, Err: err})
}

// err is nil if nobody failed, and the error reply itself if that is what all of
// the nodes sent: then it is about the call, not about a node.
func (e *NodesError) err() error {
	if len(e.Failed) == 0 {
		return nil
	}
	var reply redis.Error
	if len(e.Failed) < e.Total || !errors.As(e.Failed[0].Err, &reply) {
		return e
	}
	for _, f := range e.Failed {
		if !errors.Is(f.Err, reply) {
			return e
		}
	}
	return reply
}
