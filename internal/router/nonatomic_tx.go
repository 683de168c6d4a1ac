package router

import (
	"context"
	"crypto/rand"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/node"
)

// step is one command of several that go to one node together.
type step struct {
	cmd  string
	args []any
}

// temporary makes up a key that nobody uses. It is written and removed again
// within one transaction, so that nobody but a watcher of the server's keyspace
// events ever sees it, and nothing is left of it by whatever ends the call.
func temporary() string { return "fluster:temporary:" + rand.Text() }

// atomically runs some commands on one node in one transaction, and returns their
// replies: those that are errors too. Only an error for which node.MaybeExecuted
// holds leaves open whether it ran; with any other, none of it did.
//
// Each command waits until the server has queued the one before, so that ctx is
// heeded throughout, and nothing that is refused runs in part.
func (r *Router) atomically(ctx context.Context, n int, steps ...step) ([]any, error) {
	conn, err := r.cluster.Pool(n).GetContext(ctx)
	if err != nil {
		return nil, err
	}
	undo := "DISCARD"
	defer func() { giveBack(ctx, conn, undo) }()
	if err := conn.Send("MULTI"); err != nil {
		return nil, node.Unsent(err)
	}
	for _, s := range steps {
		if _, err := redis.DoContext(conn, ctx, s.cmd, s.args...); err != nil {
			return nil, node.Unsent(err)
		}
	}
	undo = ""
	return redis.Values(redis.DoContext(conn, ctx, "EXEC"))
}

// giveBack gives a connection back after undo, if that is not empty. What Close would
// wait for without end if the node is frozen, undo and all replies that are due, has
// until a moment after ctx ends; then the connection is closed.
func giveBack(ctx context.Context, conn redis.Conn, undo string) {
	ctx, cancel := outlive(ctx)
	defer cancel()
	_, _ = redis.DoContext(conn, ctx, undo)
	_ = conn.Close()
}

// pipelined runs some short commands on a connection, and returns their replies,
// and those that were due before. The error is also the first error reply.
func pipelined(ctx context.Context, conn redis.Conn, steps ...step) ([]any, error) {
	for _, s := range steps {
		if err := conn.Send(s.cmd, s.args...); err != nil {
			return nil, err
		}
	}
	replies, err := redis.Values(redis.DoContext(conn, ctx, ""))
	if err != nil {
		return nil, err
	}
	return replies, firstError(replies)
}

// firstError returns the first error reply among replies.
func firstError(replies []any) error {
	for _, reply := range replies {
		if err, ok := reply.(redis.Error); ok {
			return err
		}
	}
	return nil
}

// pair takes a connection to each of two nodes. All calls take them in the same
// order, so that of calls in opposite directions, over pools that are used up,
// none waits for what the other holds.
func (r *Router) pair(ctx context.Context, a, b int) (onA, onB redis.Conn, err error) {
	if b < a {
		onB, onA, err = r.pair(ctx, b, a)
		return onA, onB, err
	}
	if onA, err = r.cluster.Pool(a).GetContext(ctx); err != nil {
		return nil, nil, err
	}
	if onB, err = r.cluster.Pool(b).GetContext(ctx); err != nil {
		_ = onA.Close()
		return nil, nil, err
	}
	return onA, onB, nil
}
