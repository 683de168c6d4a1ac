package fluster

import (
	"context"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/router"
)

// Get returns the whole cluster as one redis.Conn (with time-outs and contexts),
// for code that was written for one server. It has the shape of redigo's
// Pool.Get: it does no I/O, always returns a connection, and the caller closes
// it, which gives every node's connection back to its pool.
//
//   - Do goes to the node of the command's keys, by the rules of
//     FlusterCluster.Do.
//   - Send, Flush and Receive are a pipeline over nodes: written to all of them
//     at once, replies in the order of the calls, each with its own error, which
//     is a PipelineError unless a server replied it. Do("") returns what is due, and
//     Pending tells how much that is. A node that is dead or frozen costs the others
//     nothing. Pipelines of many callers go out together, as the calls of Do. A
//     command that is refused is not sent, and Receive says so in its turn. Order is
//     kept between commands to one node, not between nodes. Nothing in a pipeline is
//     repeated, and what needs one reply before it can go on (SUNION and its like,
//     and what Config.NonAtomic allows, over several nodes) is ErrCrossNode there.
//   - MULTI, EXEC, DISCARD, WATCH and UNWATCH stand on the node of the first key.
//     A key elsewhere is ErrCrossNode; the transaction is then discarded.
//   - SUBSCRIBE stands on the node of its channels, where PUBLISH sends to, until
//     Close. Channels of several nodes are ErrCrossNode, and patterns are refused.
//
// As with any redis.Conn, one goroutine may send while another receives.
func (c *FlusterCluster) Get() redis.Conn { return c.router.NewConn() }

// GetContext is Get, with the error at once if ctx is over, if no node lives
// (ErrClusterEmpty) or after Close (ErrClosed). The connection is valid all the
// same, as with redigo's pool. Ctx has no effect on it later.
func (c *FlusterCluster) GetContext(ctx context.Context) (redis.Conn, error) {
	conn := c.Get()
	if err := ctx.Err(); err != nil {
		return conn, err
	}
	_, err := c.snapshot.Load().Live()
	return conn, err
}

// Do runs one command where it belongs and returns its reply, in the types that
// redigo gives. It returns when ctx ends, with ctx's error.
//
// A command with keys of one node goes to that node. With keys of several nodes:
//
//   - MGET, MSET, DEL, UNLINK, EXISTS and TOUCH are split; so are SUNION, SINTER,
//     SDIFF, SINTERCARD, ZUNION, ZINTER, ZDIFF and ZINTERCARD, which are combined
//     here. This is not atomic between nodes. If a node fails, the reply has what
//     the others gave, with the error in the place of each key that it has not,
//     and the error is a NodesError.
//   - What writes more than each key by itself (RENAME, LMOVE, SUNIONSTORE,
//     MSETNX, ...) is ErrCrossNode, unless Config.NonAtomic is set.
//   - Everything else is ErrCrossNode.
//
// A command without keys is never sent to just any node. It goes to all that
// live, and if it writes (FLUSHDB, CONFIG SET, SCRIPT LOAD, ...) to all there are,
// and the replies become one: sums for DBSIZE, all keys for KEYS, OK if all said
// so; where no one reply makes sense (INFO, TIME, ...) each node's name and reply
// by turns. Config.Merge has another way of it, and Each every node's reply for
// itself. What makes no sense over several nodes is ErrRefused, and can be done with
// a node's own pool; so is what needs a connection of its own (MULTI, SUBSCRIBE, ...),
// for which there are Get and Tx, and what would change a pooled connection or leave
// the nodes' database (SELECT, CLIENT SETNAME, MOVE, COPY with DB, ...).
//
// A call that is wrong in itself, such as one with too few arguments, is refused
// with the redis.Error that a server would reply, without one being asked.
//
// A command that cannot have run (SafeToRetry), or that only reads, is repeated at
// the node that is then its home, within ctx and a budget of a tenth of the calls:
// up to twice, unless Config.Retry or WithRetry says otherwise. One without keys is
// repeated at each node by itself, while that lives. Nothing else is ever sent twice.
// A command that blocks is waited for as long as it was told to wait.
//
// While three calls or more are mostly under way at a time on a node whose pool ParseNode
// built, they share one connection, beside those of the pool, and are written and read
// together. Fewer have up to four connections to themselves, beside the pool as well.
// A call whose context ends leaves it good; its command may have run. Commands that
// block, leave a state on a connection or have more than 64 KiB of arguments go over
// the pool's connections, and so does everything for a while after large replies, or
// when the process is short of processors. Replies are the caller's own to keep and to
// change; but short strings of one array, or of one pipeline of Get, may share memory, so
// that whoever keeps but one of them keeps up to 1.5 KB.
//
// Do blocks; it is safe for concurrent use.
func (c *FlusterCluster) Do(ctx context.Context, cmd string, args ...any) (any, error) {
	return c.router.Do(ctx, cmd, args)
}

// backend is the cluster as the router sees it.
type backend struct{ c *FlusterCluster }

// View returns the present snapshot.
func (b backend) View() router.View { return b.c.snapshot.Load() }

// Len returns how many nodes there are.
func (b backend) Len() int { return len(b.c.nodes) }

// Name returns a node's name.
func (b backend) Name(node int) string { return b.c.nodes[node].Name }

// Pool returns a node's pool.
func (b backend) Pool(node int) *redis.Pool { return b.c.nodes[node].Pool }

// Do runs a command over what all callers share of a node's connections.
func (b backend) Do(ctx context.Context, node int, cmd string, args []any) (any, bool, error) {
	return b.c.members[node].Do(ctx, cmd, args)
}

// Node returns what has a node's shared connections.
func (b backend) Node(n int) *node.Node { return b.c.members[n] }
