package router

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redisfluster/fluster/internal/command"
)

// parse understands a command, or refuses it.
func (r *Router) parse(ctx context.Context, cmd string, args []any) (call, error) {
	c := call{cmd: cmd, args: args, keys: make([]int, 0, len(args))}
	if err := r.understand(ctx, &c); err != nil {
		return call{}, err
	}
	return c, nil
}

// understand is parse for a call whose command and arguments are set, and which may
// have an empty slice for its keys.
func (r *Router) understand(ctx context.Context, c *call) (err error) {
	if c.info, err = r.lookup(ctx, c.cmd, c.args); err != nil {
		return err
	}
	if c.info.Route == command.Rejected {
		return rejection(c.info)
	}
	if c.leavesDatabase() {
		return refused(*c, "the copy would be in a database that the cluster does not read; a node's own pool can do it")
	}
	if c.info.Keyless() && !c.info.Opaque() {
		return nil
	}
	if c.keys, err = c.info.Keys(c.keys, c.args); err == nil && c.info.Opaque() {
		c.keys, err = r.askKeys(ctx, c)
	}
	return err
}

// rejection is the error of a command that goes nowhere. One that changes a
// connection is no better done over a pool: what to do instead is in its reason.
func rejection(info *command.Info) error {
	if info.Stateful {
		return fmt.Errorf("%w: %s: %s", ErrRefused, info.Name, info.Reason)
	}
	return fmt.Errorf("%w: %s: %s; a node's own pool can do it", ErrRefused, info.Name, info.Reason)
}

// leavesDatabase reports a COPY that names a database, be it that of the nodes:
// which that is, only what dials them knows.
func (c *call) leavesDatabase() bool {
	if c.info.Name != "COPY" {
		return false
	}
	for i := 2; i < len(c.args)-1; i++ {
		if word(c.args[i]) == "DB" {
			return true
		}
	}
	return false
}

// lookup finds a command in the table, or asks a node for it.
func (r *Router) lookup(ctx context.Context, cmd string, args []any) (*command.Info, error) {
	info, err := command.Lookup(cmd, args)
	switch {
	case errors.Is(err, command.ErrUnknown):
		return r.learn(ctx, cmd, err)
	case err != nil && !isReply(err):
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	if own := r.cfg.Merged[info]; own != nil {
		return own, nil
	}
	return info, err
}

// part is what one node has to do of a call.
type part struct {
	node int
	keys []int // places among the call's keys
}

// locate groups the keys of a call by their nodes, in the order of first use. A
// call without keys is refused: no node is more right for it than another.
func (r *Router) locate(v View, c *call) ([]part, error) {
	if len(c.keys) == 0 {
		return nil, fmt.Errorf("%w: %s has no key to go by", ErrRefused, c.name())
	}
	if len(c.keys) == 1 {
		node, err := v.Locate(command.Text(c.args[c.keys[0]]))
		return []part{{node: node}}, err
	}
	return r.group(v, c)
}

// home is the node of a call whose keys belong to one; otherwise it returns no node but
// the parts of several.
func (r *Router) home(v View, c *call) (node int, several []part, err error) {
	if len(c.keys) == 1 { // as nearly all have, so it allocates nothing
		node, err = v.Locate(command.Text(c.args[c.keys[0]]))
		return node, nil, err
	}
	parts, err := r.locate(v, c)
	if len(parts) == 1 {
		return parts[0].node, nil, err
	}
	return 0, parts, err
}

// sub is the call that has only the keys of p.
func (c *call) sub(p part) call {
	at := c.places(p)
	args := c.info.Split.Args(c.args, at)
	sub := call{cmd: c.cmd, args: args, info: c.info, keys: make([]int, len(at))}
	step := len(args) / len(at)
	for i := range sub.keys {
		sub.keys[i] = i * step
	}
	return sub
}

// places are the positions of the keys of p among the arguments.
func (c *call) places(p part) []int {
	at := make([]int, len(p.keys))
	for i, k := range p.keys {
		at[i] = c.keys[k]
	}
	return at
}

// crossNode refuses a call whose keys are on several nodes, telling which.
func (r *Router) crossNode(c *call, parts []part) error {
	var b strings.Builder
	for i, p := range parts {
		if i == 3 {
			b.WriteString(", ...")
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		key := command.Text(c.args[c.keys[p.keys[0]]])
		fmt.Fprintf(&b, "%.40q is on %s", key, r.cluster.Name(p.node))
	}
	return fmt.Errorf("%w: %s: %s", ErrCrossNode, c.name(), b.String())
}
