package router

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// maxRetries is how often a call is repeated at most.
const maxRetries = 2

// again decides whether a call that failed with err at a node is repeated, at the
// node that then is its home: if it cannot have run, or changes nothing and got no
// answer; if its context, the number of tries and the budget allow it.
func (r *Router) again(ctx context.Context, c *call, at, try int, err error) bool {
	if try >= maxRetries || ctx.Err() != nil || !r.mayRepeat(c, at, err) {
		return false
	}
	return r.budget.retry()
}

func (r *Router) mayRepeat(c *call, at int, err error) bool {
	var reply redis.Error
	var broken *node.Error
	switch {
	case errors.Is(err, redis.ErrPoolExhausted), errors.Is(err, node.ErrClosed):
		return false // it would be the same again
	case errors.As(err, &reply):
		return node.SafeToRetry(err) && r.moved(c, at) // only another node helps
	case errors.As(err, &broken):
		return node.SafeToRetry(err) || c.info.Repeatable && !blocking(c)
	}
	return false
}

// moved reports whether the call's home is another node now.
func (r *Router) moved(c *call, from int) bool {
	parts, err := r.locate(r.cluster.View(), c)
	return err == nil && (len(parts) > 1 || parts[0].node != from)
}

func blocking(c *call) bool {
	_, blocks := c.info.Blocks(c.args)
	return blocks
}

// unbelieved returns the error of a command. If it is an error reply by which a
// server says that it did not run the command, but the command is a script, which
// may say the same, it is open whether that has run.
func unbelieved(info *command.Info, err error) error {
	if _, bare := err.(redis.Error); !bare || !isScript(info) || !node.SafeToRetry(err) { //nolint:errorlint // that of a dial is the server's own
		return err
	}
	return node.Begun(err)
}

// isScript reports a command whose error reply may be a script's own words.
func isScript(info *command.Info) bool {
	switch info.Name {
	case "EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO", "FCALL", "FCALL_RO":
		return true
	}
	return false
}

// Retries may come to a tenth of the calls, and to a burst of some when a node is
// lost under load, so that they cannot keep a server down that is overloaded.
const (
	perRetry  = 10   // calls that earn one retry
	maxBurst  = 1000 // retries that can be saved up
	firstSave = 500  // retries that a router begins with
)

// budget bounds how many calls are repeated. Its zero value has firstSave retries.
type budget struct {
	earned atomic.Int64 // calls since the beginning, at most what maxBurst allows
	spent  atomic.Int64 // in calls
}

// call counts a call.
func (b *budget) call() {
	if b.earned.Load()-b.spent.Load() < (maxBurst-firstSave)*perRetry {
		b.earned.Add(1)
	}
}

// retry takes one retry and reports whether there was one.
func (b *budget) retry() bool {
	if b.spent.Add(perRetry) <= b.earned.Load()+firstSave*perRetry {
		return true
	}
	b.spent.Add(-perRetry)
	return false
}
