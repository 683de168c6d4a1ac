package node

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/health"
)

// Probe asks the node once whether it answers, with a PING over the connection
// kept from the last probe or over a fresh one, and if asked to with a write
// that writes nothing. It goes past the limits that callers are under. It is
// called by one goroutine at a time.
func (n *Node) Probe(ctx context.Context, req health.ProbeRequest) health.Evidence {
	rc, err := n.tryProbe(ctx, req)
	if err != nil {
		n.dropProbe(rc)
		return n.probeFailed(ctx, err)
	}
	return health.Evidence{Class: health.Alive, Generation: n.standing.Load().Generation}
}

// tryProbe does what is asked for, and returns the connection that it went over.
// A dial function of a user's own may panic, and so may redigo's reader on a
// connection without a guard, on bytes that make no sense: nobody but the probe is
// there to recover.
func (n *Node) tryProbe(ctx context.Context, req health.ProbeRequest) (rc redis.Conn, err error) {
	defer func() {
		if p := recover(); p != nil {
			rc, err = n.keptProbe(), fmt.Errorf("probe panicked: %v", p)
		}
	}()
	if rc, err = n.probeConn(ctx, req.Fresh); err == nil && req.Write {
		err = n.probeWrite(ctx, rc)
	}
	return rc, err
}

// probeConn returns a connection that has just answered a PING. While it dials a
// fresh one the kept one stays open: on a server that is full the fresh one would
// take its place, and find nothing wrong.
func (n *Node) probeConn(ctx context.Context, fresh bool) (redis.Conn, error) {
	if rc := n.keptProbe(); rc != nil && !fresh {
		return rc, probeError(ping(ctx, rc))
	}
	rc, err := n.open(ctx)
	if err != nil {
		return nil, err
	}
	return rc, n.keepProbe(ctx, rc)
}

// brokenProbe is a failure over a connection that had worked before: the server
// may merely have dropped it.
type brokenProbe struct{ error }

func (b brokenProbe) Unwrap() error { return b.error }

func probeError(err error) error {
	if err != nil {
		return brokenProbe{err}
	}
	return nil
}

// probeWrite sends a write that writes nothing, since a server may answer PING
// and take no writes.
func (n *Node) probeWrite(ctx context.Context, rc redis.Conn) error {
	err := ask(ctx, rc, "UNLINK", "fluster:probe:"+rand.Text())
	if classify(err, inUse).class == health.Alive {
		return nil
	}
	return err
}

// probeFailed judges what kept a probe from succeeding. The probe's own limit
// is the checker's, so its end is a time-out of the node's.
func (n *Node) probeFailed(ctx context.Context, err error) health.Evidence {
	ev := health.Evidence{Cause: err, Generation: n.standing.Load().Generation}
	if ctx.Err() != nil {
		ev.Class = health.Timeout
		ev.Cause = &lateError{"no answer to a probe"}
		return ev
	}
	at := dialing
	var kept brokenProbe
	if errors.As(err, &kept) {
		at = inUse
	}
	f := classify(err, at)
	ev.Class, ev.Write = f.class, f.write
	if f.local {
		n.local.Add(1)
	}
	return ev
}

func (n *Node) keptProbe() redis.Conn {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.probe
}

// keepProbe keeps rc for the next probe instead of the one kept so far, if the node
// is not closed meanwhile. A dial that took no context may come back long after its
// probe was given up.
func (n *Node) keepProbe(ctx context.Context, rc redis.Conn) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	n.mu.Lock()
	was, closed := n.probe, n.closed
	if !closed {
		n.probe = rc
	}
	n.mu.Unlock()
	switch {
	case closed:
		return fmt.Errorf("probe: %w", ErrClosed)
	case was != nil:
		_ = was.Close()
	}
	return nil
}

// dropProbe closes a connection that failed a probe, and keeps it no longer.
func (n *Node) dropProbe(rc redis.Conn) {
	if rc == nil {
		return
	}
	n.mu.Lock()
	if n.probe == rc {
		n.probe = nil
	}
	n.mu.Unlock()
	_ = rc.Close()
}
