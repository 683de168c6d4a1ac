package router

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// Retry says how calls that failed are repeated. A field that is zero leaves it to
// the policy behind it, at last to the default one; a negative count means never.
type Retry struct {
	Max              int           // how often a call is repeated at most
	SafeOnly         bool          // only what cannot have run
	MinWait, MaxWait time.Duration // the first pause, and the longest
	Conflicts        int           // how often a transaction is whose watched keys were changed
}

var defaultRetry = Retry{Max: 2, Conflicts: 10, MinWait: 10 * time.Millisecond, MaxWait: time.Second}

// or returns p with what it leaves open from q.
func (p Retry) or(q Retry) Retry {
	return Retry{
		Max:       cmp.Or(p.Max, q.Max),
		Conflicts: cmp.Or(p.Conflicts, q.Conflicts),
		SafeOnly:  p.SafeOnly || q.SafeOnly,
		MinWait:   cmp.Or(p.MinWait, q.MinWait),
		MaxWait:   cmp.Or(p.MaxWait, q.MaxWait),
	}
}

// pause returns how long to wait before a repeat, n pauses having been made. It
// doubles, and a half of it is left to chance, so that callers who failed together
// do not come back together.
func (p Retry) pause(n int) time.Duration {
	wait := max(p.MinWait, 1)
	for ; n > 0 && wait < p.MaxWait; n-- {
		wait += min(wait, p.MaxWait-wait)
	}
	half := max(min(wait, p.MaxWait)/2, 0)
	return half + rand.N(half+1)
}

type retryKey struct{}

// WithRetry returns a context whose calls are repeated as p says.
func WithRetry(ctx context.Context, p Retry) context.Context {
	outer, _ := ctx.Value(retryKey{}).(Retry)
	return context.WithValue(ctx, retryKey{}, p.or(outer))
}

// policy is how a call within ctx is repeated.
func (r *Router) policy(ctx context.Context) Retry {
	own, _ := ctx.Value(retryKey{}).(Retry)
	return own.or(r.cfg.Retry).or(defaultRetry)
}

// tries are what became of one call so far.
type tries struct {
	repeats, pauses int
	open            error // of a try that may have run
	over            error // of the context, which ended in a pause
}

// outcome is what the call fails with, if its last try failed with err: with that,
// unless it says that the call cannot have run, though an earlier try may have.
func (t *tries) outcome(err error) error {
	if t.open != nil && SafeToRetry(err) {
		err = t.open
	}
	if t.over != nil {
		return fmt.Errorf("%w, before a call could be repeated: %w", t.over, err)
	}
	return err
}

// again decides whether a call that failed with err at a node is repeated, at the
// node that then is its home: if it cannot have run, or changes nothing and got no
// answer; if its node lives or another is its home now; if its context, its policy and
// the budget allow it. It then waits, unless this is the first repeat or goes to
// another node.
func (r *Router) again(ctx context.Context, c *call, t *tries, at int, err error) bool {
	p := r.policy(ctx)
	if t.repeats >= p.Max || ctx.Err() != nil || !r.mayRepeat(c, p, at, err) || r.stuck(c, at) {
		return false
	}
	if !r.budget.retry() {
		r.counts[at].refused.Add(1)
		return false
	}
	if t.repeats > 0 && !r.moved(c, at) && !t.rest(ctx, p) {
		return false
	}
	if node.MaybeExecuted(err) {
		t.open = err
	}
	t.repeats++
	r.counts[at].repeats.Add(1)
	return true
}

// rest waits before a repeat, and reports whether ctx still allows it then.
func (t *tries) rest(ctx context.Context, p Retry) bool {
	timer := time.NewTimer(p.pause(t.pauses))
	defer timer.Stop()
	t.pauses++
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
	t.over = ctx.Err()
	return t.over == nil
}

func (r *Router) mayRepeat(c *call, p Retry, at int, err error) bool {
	var reply redis.Error
	var broken *node.Error
	switch {
	case errors.Is(err, redis.ErrPoolExhausted), errors.Is(err, node.ErrClosed):
		return false // it would be the same again
	case errors.As(err, &reply):
		return node.SafeToRetry(err) && r.moved(c, at) // only another node helps
	case errors.As(err, &broken):
		return node.SafeToRetry(err) || !p.SafeOnly && c.info.Repeatable && !blocking(c)
	}
	return false
}

// counts are the calls that failed at one node: those that were repeated, and those
// that the budget kept from it.
type counts struct{ repeats, refused atomic.Uint64 }

// Retries returns how many calls that failed at a node were repeated, wherever, and
// how many were not because too many were already.
func (r *Router) Retries(node int) (repeats, refused uint64) {
	return r.counts[node].repeats.Load(), r.counts[node].refused.Load()
}

// moved reports whether the call's home is another node now.
func (r *Router) moved(c *call, from int) bool {
	parts, err := r.locate(r.cluster.View(), c)
	return err == nil && (len(parts) > 1 || parts[0].node != from)
}

// stuck reports whether the call's home is a node that is out: placements without
// fail-over leave it there, and until that node is back it fails however often it is
// repeated.
func (r *Router) stuck(c *call, at int) bool { return !r.lives(at) && !r.moved(c, at) }

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
