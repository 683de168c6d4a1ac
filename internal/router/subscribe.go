package router

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
)

// subscription is the node's connection that a routed one is, from its first
// SUBSCRIBE until it is closed.
type subscription struct {
	conn  redis.Conn
	node  int
	shard bool // SSUBSCRIBE was sent, which redigo does not know
}

// isSubscribe reports a command that makes a connection one of messages, or ends that.
func isSubscribe(info *command.Info) bool {
	return info.Route == command.OnConn && strings.HasSuffix(info.Name, "SUBSCRIBE")
}

func ends(info *command.Info) bool { return strings.HasSuffix(info.Name, "UNSUBSCRIBE") }

func (c *Conn) subscribed() *subscription {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sub
}

// subscribe puts the connection on the node of its channels, by the rule that
// PUBLISH goes by. From then on it is that node's, until Close.
func (c *Conn) subscribe(ctx context.Context, k call) error {
	c.mu.Lock()
	busy := c.pending() > 0 || c.tx.open()
	if busy {
		c.abort()
	}
	c.mu.Unlock()
	switch {
	case busy:
		return refused(k, "replies are due on the connection")
	case ends(k.info):
		return refused(k, "the connection is not subscribed")
	}
	n, err := c.channelsNode(&k)
	if err != nil {
		return err
	}
	conn, err := c.router.cluster.Pool(n).GetContext(ctx)
	if err != nil {
		return err
	}
	sub := &subscription{conn: conn, node: n}
	c.mu.Lock()
	c.sub = sub
	c.mu.Unlock()
	c.changed()
	return sub.send(k)
}

func (c *Conn) channelsNode(k *call) (int, error) {
	parts, err := c.router.locate(c.router.cluster.View(), k)
	if err != nil {
		return 0, err
	}
	if len(parts) > 1 {
		return 0, c.router.crossNode(k, parts)
	}
	return parts[0].node, nil
}

// sendSubscribed sends what may be sent among messages, unless it could not be
// understood.
func (c *Conn) sendSubscribed(sub *subscription, k call, err error) error {
	switch {
	case err != nil:
		return err
	case isSubscribe(k.info) && !ends(k.info):
		n, err := c.channelsNode(&k)
		if err != nil {
			return err
		}
		if n != sub.node {
			return c.router.offNode(&k, n, sub.node)
		}
	case !isSubscribe(k.info) && k.info.Name != "PING":
		return refused(k, "the connection is subscribed")
	}
	return sub.send(k)
}

func (s *subscription) send(k call) error {
	if k.info.Name == "SSUBSCRIBE" {
		s.shard = true
	}
	return s.conn.Send(k.cmd, k.args...)
}

// collect is what Do returns after cmd was sent: the last reply that is due. Do("")
// returns nothing: what comes are messages, which are never all there.
func (s *subscription) collect(ctx context.Context, cmd string) (any, error) {
	if cmd == "" {
		return nil, s.conn.Flush()
	}
	replies, err := redis.Values(redis.DoContext(s.conn, ctx, ""))
	if err != nil {
		return nil, err
	}
	last := replies[len(replies)-1]
	if err, ok := last.(redis.Error); ok {
		return nil, err
	}
	return last, nil
}

// close ends the subscription and gives the connection back. Redigo ends what it
// knows of.
func (s *subscription) close() error {
	if s.shard {
		s.endAll()
	}
	return s.conn.Close()
}

// endAll ends every subscription and reads what comes until then.
func (s *subscription) endAll() {
	nonce := []byte(rand.Text())
	_ = s.conn.Send("UNSUBSCRIBE")
	_ = s.conn.Send("SUNSUBSCRIBE")
	_ = s.conn.Send("ECHO", nonce)
	_ = s.conn.Flush()
	for s.conn.Err() == nil {
		if reply, _ := redis.Bytes(s.conn.Receive()); bytes.Equal(reply, nonce) {
			return
		}
	}
}

func refused(k call, why string) error {
	return fmt.Errorf("%w: %s: %s", ErrRefused, k.name(), why)
}

// offNode refuses a call whose keys are not on the node where the connection stands.
func (r *Router) offNode(k *call, at, stands int) error {
	return fmt.Errorf("%w: %s: %.40q is on %s, and the connection stands on %s",
		ErrCrossNode, k.name(), command.Text(k.args[k.keys[0]]), r.cluster.Name(at), r.cluster.Name(stands))
}
