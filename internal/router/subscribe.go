package router

import (
	"context"
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
)

// isSubscribe reports a command that makes a connection one of messages.
func isSubscribe(info *command.Info) bool {
	return info.Route == command.OnConn && strings.HasSuffix(info.Name, "SUBSCRIBE")
}

func (c *Conn) subscribed() redis.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sub
}

// subscribe puts the connection on the node of its channels, by the rule that
// PUBLISH goes by. From then on it is that node's, until Close.
func (c *Conn) subscribe(k call) error {
	c.mu.Lock()
	busy := len(c.queue) > 0 || c.tx.open()
	c.mu.Unlock()
	if busy {
		return refused(k, "replies are due on the connection")
	}
	n, err := c.channelsNode(&k)
	if err != nil {
		return err
	}
	sub, err := c.router.cluster.Pool(n).GetContext(context.Background())
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.sub, c.subTo = sub, n
	c.mu.Unlock()
	return sub.Send(k.cmd, k.args...)
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

// sendSubscribed sends what may be sent among messages.
func (c *Conn) sendSubscribed(sub redis.Conn, cmd string, args []any) error {
	k, err := c.router.parse(context.Background(), cmd, args)
	switch {
	case err != nil:
		return err
	case isSubscribe(k.info) && len(k.keys) > 0 && !strings.Contains(k.info.Name, "UNSUB"):
		n, err := c.channelsNode(&k)
		if err != nil {
			return err
		}
		if n != c.subTo {
			return c.router.offNode(&k, n, c.subTo)
		}
	case isSubscribe(k.info) && strings.Contains(k.info.Name, "UNSUB"):
	case k.info.Name != "PING":
		return refused(k, "the connection is subscribed")
	}
	return sub.Send(cmd, args...)
}

func refused(k call, why string) error {
	return fmt.Errorf("%w: %s: %s", ErrRefused, k.name(), why)
}

// offNode refuses a call whose keys are not on the node where the connection stands.
func (r *Router) offNode(k *call, at, stands int) error {
	return fmt.Errorf("%w: %s: %.40q is on %s, and the connection stands on %s",
		ErrCrossNode, k.name(), command.Text(k.args[k.keys[0]]), r.cluster.Name(at), r.cluster.Name(stands))
}
