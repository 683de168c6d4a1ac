package router

import (
	"errors"
	"fmt"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// PipelineError is what one command of a pipeline failed with. Only what a server
// replied to the very command that was asked for is none: that stays a bare
// redis.Error.
type PipelineError struct {
	// Index is the command's place in the pipeline, which begins with 0 at the
	// first that is sent while no reply is due: so it is the error's place among
	// what Do("") returns.
	Index int
	// Command tells its name and its first key, cut to a sane length. No other
	// argument is told: it might be a value, or a secret.
	Command string
	// Reply is what other nodes gave all the same to a command that was done by
	// several; nil if there is nothing.
	Reply any
	// Err is the cause.
	Err error
}

// Error tells the place, the command and the cause.
func (e *PipelineError) Error() string {
	return fmt.Sprintf("fluster: pipeline[%d] %s: %v", e.Index, e.Command, e.Err)
}

// Unwrap returns the cause.
func (e *PipelineError) Unwrap() error { return e.Err }

// Timeout reports whether the cause is a time limit that ran out.
func (e *PipelineError) Timeout() bool {
	var t interface{ Timeout() bool }
	return errors.As(e.Err, &t) && t.Timeout()
}

// Temporary makes PipelineError a net.Error; it says the same as Timeout.
func (e *PipelineError) Temporary() bool { return e.Timeout() }

// maxShown bounds, in characters, what an error shows of a name or a key.
const maxShown = 40

// text is how an error shows a call: by its name and first key.
func (k *call) text() string {
	keys := k.keys
	if len(keys) == 0 {
		return k.name()
	}
	return fmt.Sprintf("%s %.*q", k.name(), maxShown, command.Text(k.args[keys[0]]))
}

// shown is how an error shows a command that could not be understood.
func shown(cmd string) string { return fmt.Sprintf("%.*q", maxShown, cmd) }

// shown is how an error shows a command.
func (d *due) shown() string {
	var args []any
	switch {
	case d.of != nil:
		_, args = d.of.Command(d.at)
	case d.op.text != "":
		return d.op.text
	default:
		args = d.op.call.args
	}
	k := call{args: args, info: d.info}
	k.keys, _ = d.info.Keys(nil, args)
	return k.text()
}

// located takes note of an error, while the command is at hand: it is err with the place of the command in the pipeline and what it replied
// all the same; but what a server replied stays as it is.
func (u *upcoming) located(value any, err error) error {
	if err == nil {
		return nil
	}
	u.text = u.one.shown()
	if _, bare := err.(redis.Error); bare { //nolint:errorlint // a bare reply or none
		return err
	}
	return &PipelineError{Index: u.position, Command: u.text, Reply: value, Err: err}
}

// others is the error of a command before the one that was asked for, which failed
// with own if at all: no error that could pass for the latter's. What a server replied,
// to the one, is no such unless it says that it did not run.
func (u *upcoming) others(err, own error) error {
	located, ok := err.(*PipelineError) //nolint:errorlint // as this package makes it
	if !ok {
		located = &PipelineError{Index: u.position, Command: u.text, Err: err}
	}
	_, bare := err.(redis.Error) //nolint:errorlint // a bare reply or none
	if !SafeToRetry(own) && (!bare || SafeToRetry(err)) {
		return begun(located)
	}
	return located
}

// begun is node.Begun for an error that keeps its place.
func begun(err error) error {
	if located, ok := err.(*PipelineError); ok { //nolint:errorlint // as this package makes it
		return &PipelineError{located.Index, located.Command, located.Reply, node.Begun(located.Err)}
	}
	return node.Begun(err)
}
