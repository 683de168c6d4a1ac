package fluster

import (
	"fmt"
	"strings"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/router"
)

// ErrClusterEmpty says that no node lives. The error that is returned matches it
// with errors.Is and tells for each node why it is out.
var ErrClusterEmpty = router.ErrNoNode

// ErrClosed is returned by a cluster after Close, and by its pools.
var ErrClosed = node.ErrClosed

// ErrCrossNode is for a call whose keys belong to several nodes and that cannot be
// done over them. Nothing of it was sent. The error tells which key is where.
var ErrCrossNode = router.ErrCrossNode

// ErrRefused is for a call that has no node to go to: it makes no sense over several
// nodes, has no key to go by, or no server knows it. Nothing of it was sent. A
// node's own pool can do it.
var ErrRefused = router.ErrRefused

// ErrConflict is for a Tx that did not run, since each time somebody changed a key
// that it watched.
var ErrConflict = router.ErrConflict

// NodeError is a failure to reach a node or to hear its answer. It has the
// fields
//
//	Node string // the node's name
//	Addr string // its address
//	Op   string // "dial", a command's name, "flush" or "receive"
//	Err  error  // the cause, which Unwrap returns
//
// and is a net.Error: Timeout reports whether a time limit ran out. Find one
// with errors.As. An error that the server replied is no NodeError but a bare
// redis.Error.
type NodeError = node.Error

// SafeToRetry reports whether the command that failed with err cannot have been
// executed, so that sending it again, to the same node or another, cannot make
// it run twice: there was no connection, it was not sent in full, or the server
// refused it before it ran, as with LOADING or READONLY. A script (EVAL, FCALL and
// their like) may reply the same words after it ran, so it is never safe to send
// again because of them. That holds for Do, Get and Each; what a script says over a
// connection of a node's pool, or within the reply to EXEC, is believed.
//
// For connections that a user's own dial function made, nothing is known of
// what was sent; what fails after the dial is then never safe.
//
// Of a call that several nodes had a part in, it is true only if no part can have
// been executed.
func SafeToRetry(err error) bool { return router.SafeToRetry(err) }

// MaybeExecuted reports whether the command that failed with err may have been
// executed: it was sent, and the answer was lost. It is false for an error that
// the server replied, which is an answer, and for nil; but true for that of a script
// in the words by which a server says that it did not run one. Of a call that several
// nodes had a part in, it is true if any part was executed, or may have been.
func MaybeExecuted(err error) bool { return router.MaybeExecuted(err) }

// emptyError is ErrClusterEmpty with what is known of each node.
type emptyError struct {
	names  []string
	causes []error
}

func (e *emptyError) Error() string {
	var b strings.Builder
	b.WriteString(ErrClusterEmpty.Error())
	for i, name := range e.names {
		fmt.Fprintf(&b, "; %s: %v", name, e.causes[i])
	}
	return b.String()
}

// Unwrap returns ErrClusterEmpty and every node's cause.
func (e *emptyError) Unwrap() []error { return append([]error{ErrClusterEmpty}, e.causes...) }
