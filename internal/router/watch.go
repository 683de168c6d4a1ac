package router

import (
	"context"
	"errors"
	"fmt"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// ErrConflict is for a transaction that did not run, since each time somebody
// changed a key that it watched.
var ErrConflict = errors.New("fluster: watched keys were changed")

// Tx watches keys, lets fn read and queue, and executes what was queued. It begins
// anew if a watched key was changed meanwhile, or if the node was not reached:
// never if the transaction may have run, or if it is fn that failed.
func (r *Router) Tx(ctx context.Context, keys []string, fn func(tx redis.Conn) error) ([]any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.budget.call()
	var failures, conflicts tries
	for {
		t := &optimist{router: r, ctx: ctx, view: r.cluster.View()}
		replies, err := t.run(keys, fn)
		switch {
		case err == nil, t.final:
			return replies, err
		case errors.Is(err, ErrConflict):
			if err := r.afterConflict(ctx, &conflicts); err != nil {
				return nil, err
			}
		case t.home.keys == nil || !r.again(ctx, &t.home, &failures, t.node, err):
			return nil, failures.outcome(err)
		}
	}
}

// afterConflict waits until a transaction may begin anew, if it may.
func (r *Router) afterConflict(ctx context.Context, t *tries) error {
	p := r.policy(ctx)
	if t.repeats >= p.Conflicts {
		return fmt.Errorf("%w: %d times in a row", ErrConflict, t.repeats+1)
	}
	if t.repeats > 0 && !t.rest(ctx, p) {
		return fmt.Errorf("%w: %w", ErrConflict, t.over)
	}
	t.repeats++
	return nil
}

// optimist is one attempt at a transaction, and what its function sees of it: a
// connection on which Do reads at once and Send queues. It stands on the node of the
// first key that is watched, read or queued, and nothing is sent before it has to be.
type optimist struct {
	router *Router
	ctx    context.Context
	view   View       // all of it goes by one
	home   call       // whose keys are on node; has none while that is open
	node   int        // where it stands
	conn   redis.Conn // to node; nil while nothing was sent
	ends   string     // the command that ends what holds for conn now
	queue  []step
	err    error // why it cannot be executed
	lost   error // a read failed with this, which is not the function's fault
	final  bool  // it failed by its function's doing
	over   bool  // its function has returned
}

var _ redis.ConnWithContext = (*optimist)(nil)

func (t *optimist) run(keys []string, fn func(tx redis.Conn) error) ([]any, error) {
	defer t.release()
	if err := t.watch(keys); err != nil {
		return nil, node.Unsent(err)
	}
	err := fn(t)
	t.over = true
	if err == nil {
		err = t.err
	}
	switch {
	case err != nil:
		t.final = t.lost == nil || !errors.Is(err, t.lost)
		return nil, err
	case len(t.queue) == 0:
		return []any{}, nil
	}
	return t.exec()
}

func (t *optimist) watch(keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	c, err := t.router.parse(t.ctx, "WATCH", redis.Args{}.AddFlat(keys))
	if err != nil {
		return err
	}
	if err := t.stand(&c); err != nil {
		return err
	}
	if err := t.connect(t.ctx); err != nil {
		return err
	}
	t.ends = "UNWATCH"
	_, err = redis.DoContext(t.conn, t.ctx, c.cmd, c.args...)
	return err
}

// exec executes what was queued. MULTI is awaited: if it is refused, the others
// would run by themselves.
func (t *optimist) exec() ([]any, error) {
	if err := t.connect(t.ctx); err != nil {
		return nil, err
	}
	t.ends = "DISCARD"
	if _, err := redis.DoContext(t.conn, t.ctx, "MULTI"); err != nil {
		return nil, node.Unsent(err)
	}
	if err := t.send(); err != nil {
		return nil, node.Unsent(err)
	}
	t.ends = ""
	reply, err := redis.DoContext(t.conn, t.ctx, "EXEC")
	if err != nil {
		return nil, err
	}
	if reply == nil {
		return nil, ErrConflict
	}
	return redis.Values(reply, nil)
}

// maxAhead is how many bytes of a transaction are sent before the server is heard: a
// socket takes as many at once, also if the server is frozen.
const maxAhead = 16 << 10

// send sends what was queued. Of what is much, it waits now and then until the server
// has read it, so that the context is heeded throughout.
func (t *optimist) send() error {
	ahead := 0
	for _, s := range t.queue {
		if ahead += s.size(); ahead < maxAhead {
			if err := t.conn.Send(s.cmd, s.args...); err != nil {
				return err
			}
			continue
		}
		if _, err := redis.DoContext(t.conn, t.ctx, s.cmd, s.args...); err != nil {
			return err
		}
		ahead = 0
	}
	return nil
}

// size is how many bytes a step has, or a few more, if its arguments are settled.
func (s step) size() int {
	const header, number = 16, 24 // at most
	n := header + len(s.cmd)
	for _, arg := range s.args {
		switch arg := arg.(type) {
		case string:
			n += header + len(arg)
		case []byte:
			n += header + len(arg)
		default:
			n += header + number
		}
	}
	return n
}

// release gives the connection back as it was. It waits for the node no longer than
// the context allows.
func (t *optimist) release() {
	t.over = true
	if t.conn == nil {
		return
	}
	if t.ends != "" {
		_, _ = redis.DoContext(t.conn, t.ctx, t.ends)
	}
	_ = t.conn.Close()
}

// stand decides on the node, if that is open, and refuses a call of another one.
func (t *optimist) stand(c *call) error {
	parts, err := t.router.locate(t.view, c)
	switch {
	case err != nil:
		return err
	case len(parts) > 1:
		return t.router.crossNode(c, parts)
	case t.home.keys == nil:
		t.node = parts[0].node
		t.home = *c
		t.home.info = watchInfo // not to be repeated for being a read
	case parts[0].node != t.node:
		return t.router.offNode(c, parts[0].node, t.node)
	}
	return nil
}

var watchInfo, _ = command.Lookup("WATCH", nil)

func (t *optimist) connect(ctx context.Context) error {
	if t.conn != nil {
		return nil
	}
	conn, err := t.router.cluster.Pool(t.node).GetContext(ctx)
	if err == nil {
		t.conn = conn
	}
	return err
}

// admit understands a command of the function's.
func (t *optimist) admit(ctx context.Context, cmd string, args []any) (call, error) {
	if t.over {
		return call{}, errConnClosed
	}
	c, err := t.router.parse(ctx, cmd, args)
	switch {
	case err != nil:
		return c, err
	case c.info.Route == command.OnConn:
		return c, refused(c, "a transaction's function only reads and queues")
	case c.info.Route == command.FanOut:
		return c, refused(c, "it belongs to no node, and a transaction to one")
	}
	return c, t.stand(&c)
}

// Send queues a command for the transaction, which begins when its function has
// returned. If it is refused, so is the transaction.
func (t *optimist) Send(cmd string, args ...any) error {
	c, err := t.admit(t.ctx, cmd, args)
	switch {
	case err == nil:
		t.queue = append(t.queue, step{c.cmd, settled(c.args)})
	case t.err == nil:
		t.err = err
	}
	return err
}

// Do reads at once.
func (t *optimist) Do(cmd string, args ...any) (any, error) {
	return t.DoContext(t.ctx, cmd, args...)
}

// DoContext reads at once. Whatever it fails with, the transaction did not run.
func (t *optimist) DoContext(ctx context.Context, cmd string, args ...any) (any, error) {
	if cmd == "" {
		return nil, nil
	}
	c, err := t.admit(ctx, cmd, args)
	if err != nil {
		return nil, err
	}
	if !c.info.Repeatable || blocking(&c) {
		return nil, refused(c, "before its transaction a function only reads; Send queues what writes")
	}
	reply, err := t.read(ctx, &c)
	err = node.Unsent(err)
	if err != nil && !isReply(err) && ctx.Err() == nil {
		t.lost = err
	}
	return reply, err
}

func (t *optimist) read(ctx context.Context, c *call) (any, error) {
	if err := t.connect(ctx); err != nil {
		return nil, err
	}
	reply, err := redis.DoContext(t.conn, ctx, c.cmd, c.args...)
	if t.router.scripts.lacks(c.cmd, err) {
		return t.router.scripts.reload(ctx, t.conn, c.cmd, c.args, err)
	}
	return reply, err
}

// Flush does nothing: what was queued is sent when the function has returned.
func (t *optimist) Flush() error { return nil }

// Receive fails: replies come with EXEC.
func (t *optimist) Receive() (any, error) { return nil, errNothingDue }

// ReceiveContext fails as Receive does.
func (t *optimist) ReceiveContext(context.Context) (any, error) { return t.Receive() }

// Err returns why the transaction cannot be executed, if so.
func (t *optimist) Err() error {
	if t.err == nil && t.conn != nil {
		return t.conn.Err()
	}
	return t.err
}

// Close does nothing: the connection is given back when the transaction is over.
func (t *optimist) Close() error { return nil }
