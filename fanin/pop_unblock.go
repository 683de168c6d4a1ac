package fanin

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"
)

// unblocking gathers the CLIENT UNBLOCK of all Poppers for each pool, so that a
// thousand of them that end together take one more connection of it and not a
// thousand. A pool has an entry while somebody sends for it.
var unblocking = struct {
	mu     sync.Mutex // protects following field
	queues map[*redis.Pool][]unblockCall
}{queues: make(map[*redis.Pool][]unblockCall)}

type unblockCall struct {
	id     int64
	answer chan unblockAnswer // has room for one
}

type unblockAnswer struct {
	hit bool
	err error
}

// errUntold is that a server could not be told in time: a pool's dial function may take
// no context and hang.
var errUntold = errors.New("fanin: no connection for CLIENT UNBLOCK")

// unblock tells the server of pool to end the wait of the connection with that id as
// a time-out would, and reports whether it waited. A redis.Error or an error of
// the pool is a refusal; a NodeError or errUntold leaves open what the server does.
func unblock(pool *redis.Pool, id int64) (hit bool, err error) {
	call := unblockCall{id, make(chan unblockAnswer, 1)}
	unblocking.mu.Lock()
	queue, sending := unblocking.queues[pool]
	unblocking.queues[pool] = append(queue, call)
	unblocking.mu.Unlock()
	if !sending {
		go sendUnblocks(pool)
	}
	limit := time.NewTimer(2 * drainLimit) // with those that are being sent
	defer limit.Stop()
	select {
	case a := <-call.answer:
		return a.hit, a.err
	case <-limit.C:
		return false, errUntold
	}
}

// sendUnblocks sends what has gathered, until nothing has.
func sendUnblocks(pool *redis.Pool) {
	for {
		unblocking.mu.Lock()
		calls := unblocking.queues[pool]
		if len(calls) == 0 {
			delete(unblocking.queues, pool)
			unblocking.mu.Unlock()
			return
		}
		unblocking.queues[pool] = nil
		unblocking.mu.Unlock()
		for i, a := range unblockAll(pool, calls) {
			calls[i].answer <- a
		}
	}
}

// unblockAll sends the calls in one go, and waits drainLimit for the answers.
func unblockAll(pool *redis.Pool, calls []unblockCall) []unblockAnswer {
	ctx, cancel := context.WithTimeout(context.Background(), drainLimit)
	defer cancel()
	answers := make([]unblockAnswer, len(calls))
	replies, err := sendAll(ctx, pool, calls)
	for i := range answers {
		if err != nil {
			answers[i].err = err
		} else {
			answers[i].hit, answers[i].err = redis.Bool(replies[i], asError(replies[i]))
		}
	}
	return answers
}

// sendAll sends the calls in a transaction that also writes, though nothing. So while a
// server takes no writes (CLIENT PAUSE) it waits with them, too: most versions since
// 6.2 crash when they are to unblock a client whose pop they have put off.
func sendAll(ctx context.Context, pool *redis.Pool, calls []unblockCall) ([]any, error) {
	conn, err := pool.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	_ = conn.Send("MULTI") // if it fails, so does all that follows
	_ = conn.Send("UNLINK", "fluster:unblock:"+rand.Text())
	for _, call := range calls {
		_ = conn.Send("CLIENT", "UNBLOCK", call.id)
	}
	replies, err := redis.Values(redis.DoContext(conn, ctx, "EXEC"))
	if err == nil && len(replies) != 1+len(calls) {
		err = fmt.Errorf("fanin: %d answers to %d times CLIENT UNBLOCK", len(replies)-1, len(calls))
	}
	if err != nil {
		return nil, err
	}
	return replies[1:], nil
}

// asError returns a reply that is one.
func asError(reply any) error {
	if err, ok := reply.(redis.Error); ok {
		return err
	}
	return nil
}
