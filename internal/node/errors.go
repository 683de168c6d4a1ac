package node

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// ErrClosed is what a node refuses with after Close.
var ErrClosed = errors.New("fluster: cluster is closed")

// Error is a failure to reach one node or to hear its answer: the dial, the
// write or the read went wrong. A server's error reply is none; it stays a
// bare redis.Error.
type Error struct {
	// Node is the node's name and Addr its address.
	Node, Addr string
	// Op is what was tried: "dial", a command's name, "flush" or "receive".
	Op string
	// Err is the cause.
	Err error

	maybe bool // the server may have executed what was sent
}

// Error tells the node, what was tried, and the cause.
func (e *Error) Error() string {
	if e.Addr == "" || e.Addr == e.Node {
		return fmt.Sprintf("fluster: node %s: %s: %v", e.Node, e.Op, e.Err)
	}
	return fmt.Sprintf("fluster: node %s (%s): %s: %v", e.Node, e.Addr, e.Op, e.Err)
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a time limit that ran out.
func (e *Error) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary makes Error a net.Error; it says the same as Timeout.
func (e *Error) Temporary() bool { return e.Timeout() }

var _ net.Error = (*Error)(nil)

// MaybeExecuted reports whether the command that failed with err may have been
// executed all the same: bytes of it had left when the connection failed. An
// error reply is an answer, so it is false for that.
func MaybeExecuted(err error) bool {
	var begun begunError
	var e *Error
	return errors.As(err, &begun) || errors.As(err, &e) && e.maybe
}

// SafeToRetry reports whether the command that failed with err cannot have
// been executed: it was never sent in full, or the server refused it before
// it ran.
func SafeToRetry(err error) bool {
	var begun begunError
	if errors.As(err, &begun) {
		return false
	}
	var e *Error
	if errors.As(err, &e) {
		return !e.maybe
	}
	var reply redis.Error
	if errors.As(err, &reply) {
		return classify(reply, inUse).refused
	}
	return errors.Is(err, ErrClosed) || errors.Is(err, redis.ErrPoolExhausted)
}

// begunError is an error of a call of which a part has run.
type begunError struct{ error }

func (e begunError) Unwrap() error { return e.error }

// Begun returns err for a call of which a part has run, whatever err says of the
// rest: MaybeExecuted holds for it, and SafeToRetry does not.
func Begun(err error) error { return begunError{err} }

// Unsent returns err for a command that was not sent because of it: it is safe to
// retry, whatever err says of others.
func Unsent(err error) error {
	var e *Error
	if !errors.As(err, &e) || !e.maybe {
		return err
	}
	safe := *e
	safe.maybe = false
	return &safe
}

// Unanswered is the error of a call to a node that nobody waits for any more because
// of err. It was sent, or is about to be: it may have been executed.
func Unanswered(name, op string, err error) error {
	return &Error{Node: name, Op: op, Err: err, maybe: true}
}

// lateError is a time limit of this package's own that ran out.
type lateError struct{ what string }

func (e *lateError) Error() string   { return e.what }
func (e *lateError) Timeout() bool   { return true }
func (e *lateError) Temporary() bool { return true }

// replyCode returns the first word of an error reply, such as WRONGTYPE.
func replyCode(e redis.Error) string {
	code, _, _ := strings.Cut(string(e), " ")
	return code
}
