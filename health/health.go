// Package health decides which nodes are out: what is evidence against a node,
// when it goes to the penalty box, when it is probed, and when it returns.
//
// The core is a state machine per node that takes the time and a classed event
// and returns what to do. The shell around it, [Checker], reads the clock and
// runs the probes. Neither knows Redis: what an error means is said by whoever
// reports it, in a [Class].
package health

import (
	"context"
	"time"
)

// Class is what one event says of a node.
type Class uint8

// The classes, from the harmless to the damning.
const (
	// None says nothing of the node: the caller's own doing or a local shortage.
	None Class = iota
	// Alive is proof of life: the server answered.
	Alive
	// Ask says nothing by itself but is worth a probe: a caller's own deadline fired.
	Ask
	// Broken is a connection that broke under use. Either the server is gone or
	// it dropped this client; a probe settles which.
	Broken
	// Timeout is an answer that did not come within the connection's own
	// time-out. It counts once per connection.
	Timeout
	// Soft counts toward Config.Failures.
	Soft
	// Refusing is a server that answers but refuses to work for now: it loads
	// its data, or became a replica. It is probed again soon and steadily.
	Refusing
	// Hard is a server that is not there: its host refuses the connection.
	Hard
	// Misconfigured is a fault that waiting will not mend: a wrong password, a
	// certificate that does not verify. It is probed again slowly.
	Misconfigured
)

// String returns the class as a lower-case word.
func (c Class) String() string {
	names := [...]string{"none", "alive", "ask", "broken", "timeout", "soft", "refusing", "hard", "misconfigured"}
	if int(c) < len(names) {
		return names[c]
	}
	return "unknown"
}

// Evidence is one event, classed.
type Evidence struct {
	Class Class

	// Cause is the error behind it, for people to read. Nil for Alive.
	Cause error

	// Verify means that the claim needs a probe's word before it counts: it was
	// read off a connection in use, where a script or the caller may have
	// caused it.
	Verify bool

	// Write means that the fault is one that only a probe with a write sees,
	// so that only such a probe may release the node.
	Write bool

	// Fresh means that the fault is one of new connections, so that a probe over a
	// kept one does not see it.
	Fresh bool

	// Conn tells one connection of a node from another; Generation is the
	// node's generation when that connection was dialed. Evidence of an older
	// generation changes nothing.
	Conn, Generation uint64

	// Sent is when the command that timed out was sent, and Replied when the newest
	// of the commands was sent that the node has answered: one sent after the
	// other, and answered, tells that the node was not silent. For Timeout only.
	Sent, Replied time.Time
}

// ProbeRequest says what kind of probe is wanted.
type ProbeRequest struct {
	// Fresh asks for a new connection; otherwise one kept from the last probe
	// may serve.
	Fresh bool
	// Write asks for a write that writes nothing after the PING.
	Write bool
}

// ProbeFunc asks a node once whether it answers. It returns Evidence of class
// Alive if it does, and otherwise what the failure means. It is called by one
// goroutine at a time for each node, and should return when ctx ends.
type ProbeFunc func(ctx context.Context, req ProbeRequest) Evidence

// State is the part of a node's health that others act upon.
type State struct {
	// Live is false while the node is in the penalty box.
	Live bool
	// Silent means that the node is out and does not answer at all, so that
	// whoever waits for it waits in vain.
	Silent bool
	// Generation counts the times that the node was penalized, or fell silent
	// while it was out. What was dialed before is not to be used again.
	Generation uint64
	// Cause is why it is out. Nil while it lives.
	Cause error
}
