package router

import (
	"slices"
	"strings"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
)

// tx is the transaction of a routed connection. It stands on one node: that of
// the first key that it watches or touches. Its zero value is none.
type tx struct {
	multi   bool // MULTI was sent
	watch   bool // WATCH was
	bound   bool // node is decided
	node    int
	opening *op // the MULTI that waits for a node
	early   int // UNWATCHs that wait too, though they were answered
	aborted bool
}

// open reports whether commands belong to a transaction, or may.
func (t *tx) open() bool { return t.multi || t.watch }

// answerNow answers a MULTI whose reply is wanted before it has a node.
func (t *tx) answerNow(o *op) {
	if o == t.opening {
		o.answer(0, command.Reply{Value: "OK"})
		t.opening = nil
	}
}

// transact does a command of the connection's own. The caller holds c.mu.
func (c *Conn) transact(k call) *op {
	if k.info.Arity > 0 && len(k.args)+1 != k.info.Arity {
		return c.misuse(k)
	}
	switch k.info.Name {
	case "MULTI":
		return c.begin(k)
	case "EXEC", "DISCARD":
		return c.finish(k)
	case "WATCH":
		return c.watch(k)
	case "UNWATCH":
		return c.unwatch(k)
	}
	return c.refuse(refused(k, "it is not done on a connection over several nodes"))
}

// misuse refuses a call with too many arguments. An EXEC ends the transaction so.
func (c *Conn) misuse(k call) *op {
	o := c.refuse(redis.Error("ERR wrong number of arguments for '" + strings.ToLower(k.info.Name) + "' command"))
	if c.tx.multi && k.info.Name == "EXEC" {
		return c.finish(k)
	}
	return o
}

func (c *Conn) begin(k call) *op {
	if c.tx.multi {
		return answered(nil, redis.Error("ERR MULTI calls can not be nested"))
	}
	c.tx.multi = true
	o := pending(k, []part{{node: c.tx.node}})
	if c.tx.bound {
		c.add(o, k)
	} else {
		c.tx.opening = o
	}
	return o
}

// bind decides on which node the transaction stands, if that is open, and reports
// whether n is it.
func (c *Conn) bind(n int) bool {
	if c.tx.bound {
		return c.tx.node == n
	}
	c.tx.bound, c.tx.node = true, n
	if !c.tx.multi {
		return true
	}
	if c.tx.opening != nil {
		c.tx.opening.parts[0].node = n
	}
	c.unsent = append(c.unsent, unsent{n, task{op: c.tx.opening, cmd: "MULTI", hold: true}})
	for range c.tx.early {
		c.unsent = append(c.unsent, unsent{n, task{cmd: "UNWATCH"}})
	}
	c.tx.opening = nil
	return true
}

// add queues an op for the transaction's node.
func (c *Conn) add(o *op, k call) {
	t := task{op: o, cmd: k.cmd, args: k.args}
	switch k.info.Name {
	case "MULTI", "WATCH":
		t.hold = true
	case "UNWATCH":
		t.last = !c.tx.multi
	}
	c.unsent = append(c.unsent, unsent{c.tx.node, t})
}

// planInTx queues a command of a transaction, if it stands on the transaction's
// node; otherwise the transaction is discarded.
func (c *Conn) planInTx(k call) *op {
	if c.tx.aborted {
		return answered("QUEUED", nil) // so says a server too, which knows that EXEC will fail
	}
	if k.info.Route == command.FanOut {
		return c.refuse(refused(k, "it belongs to no node, and a transaction to one"))
	}
	parts, err := c.router.locate(c.router.cluster.View(), &k)
	if err != nil {
		return c.refuse(err)
	}
	if len(parts) > 1 {
		return c.refuse(c.router.crossNode(&k, parts))
	}
	if !c.bind(parts[0].node) {
		return c.refuse(c.router.offNode(&k, parts[0].node, c.tx.node))
	}
	o := pending(k, parts)
	c.add(o, k)
	return o
}

// abort discards the transaction after an error, as a server would at EXEC.
func (c *Conn) abort() {
	if !c.tx.multi || c.tx.aborted {
		return
	}
	c.tx.aborted = true
	if c.tx.bound {
		c.unsent = append(c.unsent, unsent{c.tx.node, task{cmd: "DISCARD", last: true}})
	}
}

// finish ends a transaction. One that touched no key needs no node.
func (c *Conn) finish(k call) *op {
	t := c.tx
	if !t.multi {
		return answered(nil, redis.Error("ERR "+k.info.Name+" without MULTI"))
	}
	c.tx = tx{}
	if t.opening != nil {
		t.opening.answer(0, command.Reply{Value: "OK"})
	}
	exec := k.info.Name == "EXEC"
	switch {
	case t.aborted && exec:
		return answered(nil, redis.Error("EXECABORT Transaction discarded because of previous errors."))
	case !t.bound && exec:
		return answered(slices.Repeat([]any{"OK"}, t.early), nil)
	case t.aborted, !t.bound:
		return answered("OK", nil)
	}
	o := pending(k, []part{{node: t.node}})
	c.unsent = append(c.unsent, unsent{t.node, task{op: o, cmd: k.cmd, args: k.args, last: true}})
	return o
}

func (c *Conn) watch(k call) *op {
	if c.tx.multi {
		return answered(nil, redis.Error("ERR WATCH inside MULTI is not allowed"))
	}
	parts, err := c.router.locate(c.router.cluster.View(), &k)
	switch {
	case err != nil:
		return answered(nil, err)
	case len(parts) > 1:
		return answered(nil, c.router.crossNode(&k, parts))
	case !c.bind(parts[0].node):
		return answered(nil, c.router.offNode(&k, parts[0].node, c.tx.node))
	}
	c.tx.watch = true
	o := pending(k, parts)
	c.add(o, k)
	return o
}

// unwatch does UNWATCH. In a transaction a server queues it; in one that has no node
// yet it waits for that, as MULTI does.
func (c *Conn) unwatch(k call) *op {
	switch {
	case !c.tx.open():
		return answered("OK", nil)
	case c.tx.aborted:
		return answered("QUEUED", nil)
	case !c.tx.bound:
		c.tx.early++
		return answered("QUEUED", nil)
	}
	o := pending(k, []part{{node: c.tx.node}})
	c.add(o, k)
	if !c.tx.multi {
		c.tx = tx{}
	}
	return o
}
