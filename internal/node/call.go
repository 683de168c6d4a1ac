package node

import (
	"context"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/health"
)

// call is one use of a connection under way.
type call struct {
	conn    *conn
	op      string // a command's name, "flush" or "receive"
	bare    bool   // Do without a command: it only collects replies
	receive bool
	refused bool            // commands were refused before, which the caller may not have noticed
	due     int64           // replies that were due before
	written uint64          // bytes that had left before
	dead    *error          // the connection was broken before, by this
	ctx     context.Context // the caller's, if it can end
	unwatch func() bool     // ends the watch over ctx; nil if there is none
}

func (c *conn) begin(cmd string) call {
	k := call{conn: c, op: opOf(cmd), bare: cmd == "", due: c.pending.Load(), dead: c.dead.Load()}
	if c.guard != nil {
		k.written = c.guard.written.Load()
	}
	if !k.bare && !c.lent.Load() {
		c.lent.Store(true)
	}
	return k
}

// noteSent notes the time for the case that no reply comes.
func (c *conn) noteSent() { c.sent.Store(c.node.clock()) }

// opOf names a Do for an error.
func opOf(cmd string) string {
	if cmd == "" {
		return "receive"
	}
	return cmd
}

// beginDo begins a call that collects all replies that are due, or fails for
// all of them: as in redigo, none is due afterwards.
func (c *conn) beginDo(cmd string) call {
	k := c.begin(cmd)
	c.noteSent()
	if k.due > 0 {
		c.pending.Store(0)
	}
	k.refused = k.dead != nil && c.refused.Swap(false)
	return k
}

func (c *conn) beginReceive() call {
	return call{conn: c, op: "receive", receive: true, due: c.pending.Load(), dead: c.dead.Load()}
}

// idle reports a Do that has nothing to send and nothing to collect.
func (k *call) idle() bool { return k.bare && k.due == 0 && !k.refused }

// watch makes the connection close when ctx ends.
func (k *call) watch(ctx context.Context) {
	if ctx.Done() != nil {
		k.ctx = ctx
		k.unwatch = context.AfterFunc(ctx, k.conn.abort)
	}
}

// expired ends the watch over the caller's context and reports whether it
// ended first: the connection is then closed or about to be.
func (k *call) expired() bool {
	return k.unwatch != nil && !k.unwatch()
}

// context returns the caller's context.
func (k *call) context() context.Context {
	if k.ctx != nil {
		return k.ctx
	}
	return context.Background()
}

// notSent is the error of a call that was not tried, since the connection is
// broken. What was sent before and not answered may have been executed.
func (c *conn) notSent(k call) error {
	return c.node.error(k.op, *k.dead, k.due > 0)
}

// end finishes a Do.
func (c *conn) end(k call, reply any, err error) (any, error) {
	if k.expired() {
		return c.late(k, reply, err)
	}
	if !isReply(err) {
		return nil, c.failed(k, err)
	}
	c.noteReplies(k)
	if err != nil {
		c.judge(k, err)
	} else if replies, ok := reply.([]any); ok && (k.bare || strings.EqualFold(k.op, "EXEC")) {
		c.judgeFirst(k, replies)
	}
	return reply, err
}

// late finishes a call whose context ended: with the reply, if that was in
// time. Either way the connection is gone. The caller's limit is no evidence,
// but worth a look.
func (c *conn) late(k call, reply any, err error) (any, error) {
	over := k.ctx.Err()
	c.dead.CompareAndSwap(nil, &over)
	if isReply(err) {
		return reply, err
	}
	c.node.sink(k.ctx, c.evidence(finding{class: health.Ask}, over))
	return nil, c.node.error(k.op, over, c.maybe(k, err))
}

// endReceive finishes a Receive.
func (c *conn) endReceive(k call, reply any, err error) (any, error) {
	if k.expired() {
		return c.late(k, reply, err)
	}
	if !isReply(err) {
		return nil, c.failed(k, err)
	}
	c.noteReply()
	if err != nil {
		c.judge(k, err)
	} else if replies, ok := reply.([]any); ok { // of a transaction, for all one knows
		c.judgeFirst(k, replies)
	}
	return reply, err
}

// noteReply notes that a Receive read a reply. It asks again how many are due:
// while it waited, another goroutine may have sent the command.
func (c *conn) noteReply() {
	c.replied.Store(c.sent.Load())
	c.consumed.Add(1)
	for due := c.pending.Load(); due > 0; due = c.pending.Load() {
		if !c.pending.CompareAndSwap(due, due-1) {
			continue
		}
		if due == 1 {
			c.waits.Store(false)
		}
		return
	}
}

// noteReplies notes that a Do read all replies that were due and its own.
func (c *conn) noteReplies(k call) {
	read := k.due
	if !k.bare {
		read++
	}
	c.replied.Store(c.sent.Load())
	c.consumed.Add(uint64(read))
	if k.due > 0 {
		c.waits.Store(false)
	}
}

// isReply reports whether the server answered: with a value, or with an error
// reply, which leaves the connection good.
func isReply(err error) bool {
	if err == nil {
		return true
	}
	var reply redis.Error
	return errors.As(err, &reply)
}

// judge hands on what an error reply says of the node.
func (c *conn) judge(k call, err error) {
	if isLogin(k.op) {
		return // the caller's own password was wrong
	}
	f := classify(err, inUse)
	if f.drop {
		c.spoil(err)
	}
	if f.class != health.Alive {
		c.node.sink(k.context(), c.evidence(f, err))
	}
}

// judgeFirst judges the first error reply among the replies of a pipeline or a
// transaction that tells against the node, and reports whether there is one.
func (c *conn) judgeFirst(k call, replies []any) bool {
	for _, reply := range replies {
		switch reply := reply.(type) {
		case redis.Error:
			if classify(reply, inUse).class != health.Alive {
				c.judge(k, reply)
				return true
			}
		case []any:
			if c.judgeFirst(k, reply) {
				return true
			}
		}
	}
	return false
}

// isLogin reports a command whose refusal is about its arguments.
func isLogin(cmd string) bool {
	return strings.EqualFold(cmd, "AUTH") || strings.EqualFold(cmd, "HELLO")
}

// spoil makes the connection one that a pool drops.
func (c *conn) spoil(err error) { c.spoiled.CompareAndSwap(nil, &err) }

// failed handles an error that is no reply. Only the first one that breaks the
// connection is evidence; what is met afterwards is its echo, and told as the
// first.
func (c *conn) failed(k call, err error) error {
	if c.inner.Err() == nil { // no fault of the connection's: something it does not support, say
		return err
	}
	maybe := c.maybe(k, err)
	if c.dead.CompareAndSwap(nil, &err) {
		c.node.sink(k.context(), c.evidence(c.ioFinding(k, err), err))
	} else {
		err = *c.dead.Load()
	}
	return c.node.error(k.op, err, maybe)
}

// ioFinding judges an I/O error with what is known of the call: silence is no
// sign where no answer was due, or where the command may rightly wait.
func (c *conn) ioFinding(k call, err error) finding {
	f := classify(err, inUse)
	if f.class == health.Timeout && (k.receive && k.due == 0 || mayWait(k.op) || c.waits.Load()) {
		f.class = health.Ask
	}
	return f
}

func (c *conn) evidence(f finding, err error) health.Evidence {
	ev := health.Evidence{
		Class: f.class, Cause: err, Verify: f.verify, Write: f.write,
		Conn: c.id, Generation: c.generation,
	}
	if f.class == health.Timeout {
		ev.Sent = c.node.born.Add(time.Duration(c.sent.Load()))
		ev.Replied = c.node.lastReply()
	}
	return ev
}

// maybe reports whether a command of the failed call may have been executed. It
// cannot have been if no byte left since the call began, or if the write of
// this one command was what failed: a part of a command is none.
func (c *conn) maybe(k call, err error) bool {
	if c.guard == nil || k.receive || k.due > 0 {
		return true
	}
	return c.guard.written.Load() != k.written && !isWrite(err)
}

// isWrite reports that it was the write that failed.
func isWrite(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "write"
}

// endsState reports a command after which redigo's pool takes a connection for
// one without a transaction or watched keys, whether it was sent or not.
func endsState(cmd string) bool {
	return strings.EqualFold(cmd, "EXEC") || strings.EqualFold(cmd, "DISCARD") || strings.EqualFold(cmd, "UNWATCH")
}

// mayWait reports a command that may rightly be silent for as long as it was
// told to wait.
func mayWait(cmd string) bool {
	if cmd == "" || !strings.Contains("BbWwXx", cmd[:1]) { // nearly all others, at no cost
		return false
	}
	switch strings.ToUpper(cmd) {
	case "BLPOP", "BRPOP", "BLMOVE", "BRPOPLPUSH", "BLMPOP", "BZPOPMIN", "BZPOPMAX", "BZMPOP",
		"XREAD", "XREADGROUP", "WAIT", "WAITAOF":
		return true
	}
	return false
}
