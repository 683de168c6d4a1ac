package fluster

import (
	"context"

	"github.com/gomodule/redigo/redis"
)

// Tx runs a transaction that depends on what it reads: it watches keys, calls fn, and
// executes what fn has queued unless somebody changed a watched key meanwhile. Then it
// begins anew with another call of fn, until nobody did. It returns the replies to what
// was queued, in order, an error reply in its place; none, if nothing was queued.
//
// In fn,
//
//   - tx.Do and DoContext read at once, before the transaction. What writes is
//     ErrRefused there.
//   - tx.Send queues a command. It is sent once fn has returned nil, between MULTI and
//     EXEC. If it is refused, so is the whole transaction.
//
// If fn returns an error, nothing is executed, and Tx returns that error. Fn may be
// called several times, so it should do nothing else that counts; what it has for its
// caller it leaves in variables. It must not keep tx, nor share it between goroutines.
//
// A transaction stands on one node: that of the first key that is watched, read or
// queued. A key elsewhere is ErrCrossNode, found before anything of the transaction is
// sent. Without keys nothing is watched, and if nothing is queued either there is no I/O.
//
// It begins anew as often as Config.Retry or WithRetry allow: Conflicts times if keys
// were changed, after which the error is ErrConflict; Max times if the node failed
// before EXEC was sent, since then nothing has run. If EXEC was sent and its reply
// lost, MaybeExecuted holds, and nothing is repeated. It returns when ctx ends.
//
// Tx takes one connection of the node's pool for each call of fn, and gives it back as
// it was, also if fn panics.
func (c *FlusterCluster) Tx(ctx context.Context, keys []string, fn func(tx redis.Conn) error) ([]any, error) {
	return c.router.Tx(ctx, keys, fn)
}
