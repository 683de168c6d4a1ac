package router

import (
	"bytes"
	"sync/atomic"
	"time"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// op is one command of a pipeline, from Send to Receive. What its nodes reply is
// written by their legs, each its own place, and read once done is closed.
type op struct {
	call    call
	parts   []part
	replies []command.Reply // of parts
	missing atomic.Int32    // replies that have not come
	done    chan struct{}   // closed when none is missing
	err     error           // it was refused, so there are no parts
	value   any             // it was answered without a node
	from    []spot          // where the replies come, if that is in batches
	text    string          // the command as an error shows it, if its call does not tell
}

// shownAs sets how errors show the command.
func (o *op) shownAs(text string) *op {
	o.text = text
	return o
}

// answered is an op that no node is asked about.
func answered(value any, err error) *op {
	o := &op{value: value, err: err, done: make(chan struct{})}
	close(o.done)
	return o
}

// pending is an op that nodes are to answer.
func pending(c call, parts []part) *op {
	o := &op{call: c, parts: parts, replies: make([]command.Reply, len(parts)), done: make(chan struct{})}
	o.missing.Store(int32(len(parts)))
	return o
}

// answer takes the reply of one node.
func (o *op) answer(place int, reply command.Reply) {
	o.replies[place] = reply
	if o.missing.Add(-1) == 0 {
		close(o.done)
	}
}

// result is what Receive returns. It must not be called before done is closed.
func (o *op) result() (any, error) {
	switch {
	case len(o.parts) == 0:
		return o.value, o.err
	case o.call.info.Route == command.FanOut:
		return o.call.info.OneOf(o.replies)
	case len(o.parts) == 1:
		return o.replies[0].Value, unbelieved(o.call.info, o.replies[0].Err)
	}
	parts := make([]command.Part, len(o.parts))
	for i, p := range o.parts {
		parts[i] = command.Part{Keys: p.keys, Reply: o.replies[i]}
	}
	return o.call.info.Split.Join(len(o.call.keys), parts)
}

// unanswered is the error of an op that nobody waits for any more because of err:
// it may have been executed, but for parts that are still in line, which are withdrawn.
func (r *Router) unanswered(o *op, err error) error {
	all := &command.NodesError{Total: len(o.parts)}
	for i, p := range o.parts {
		var at spot
		if o.from != nil {
			at = o.from[i]
		}
		left := r.leftAt(at, p.node, o.call.name(), err)
		all.Failed = append(all.Failed, command.Reply{Node: r.cluster.Name(p.node), Err: left})
	}
	if len(all.Failed) == 1 {
		return all.Failed[0].Err
	}
	return all
}

// task is what one node has to do for an op. A task without an op is the
// connection's own doing, and its reply is dropped.
type task struct {
	op    *op
	batch *node.Batch // that it belongs to instead
	place int         // among the op's parts
	cmd   string
	args  []any
	hold  bool // it begins what the leg's connection is held for
	last  bool // it ends that

	after <-chan struct{} // closed when it may be begun; nil if at once

	waits   bool          // it may rightly wait on the server
	limited bool          // it has a limit for its reply other than the connection's
	limit   time.Duration // if it waits or is limited; zero is none
}

func (t *task) answer(name string, value any, err error) {
	if t.batch != nil {
		t.batch.Answer(value, err)
	} else if t.op != nil {
		t.op.answer(t.place, command.Reply{Node: name, Value: value, Err: err})
	}
}

// settled returns arguments as they are now: as with redigo's Send, the caller may
// change his own afterwards.
func settled(args []any) []any {
	own := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case string, int, int64, float64, bool, nil:
			own[i] = arg
		case []byte:
			own[i] = bytes.Clone(arg)
		default:
			own[i] = command.Text(arg)
		}
	}
	return own
}
