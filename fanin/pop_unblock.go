package fanin

import (
	"context"
	"sync"

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

// unblock tells the server of pool to end the wait of the connection with that id as
// a time-out would, and reports whether it waited. A redis.Error or an error of
// the pool is a refusal; a NodeError leaves open what the server does.
func unblock(pool *redis.Pool, id int64) (hit bool, err error) {
	call := unblockCall{id, make(chan unblockAnswer, 1)}
	unblocking.mu.Lock()
	queue, sending := unblocking.queues[pool]
	unblocking.queues[pool] = append(queue, call)
	unblocking.mu.Unlock()
	if !sending {
		go sendUnblocks(pool)
	}
	a := <-call.answer
	return a.hit, a.err
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
	conn, err := pool.GetContext(ctx)
	if err == nil {
		defer conn.Close()
		err = sendAll(conn, calls)
	}
	for i := range answers {
		if err == nil {
			answers[i], err = receiveUnblock(ctx, conn)
		}
		if err != nil {
			answers[i].err = err
		}
	}
	return answers
}

func sendAll(conn redis.Conn, calls []unblockCall) error {
	for _, call := range calls {
		if err := conn.Send("CLIENT", "UNBLOCK", call.id); err != nil {
			return err
		}
	}
	return conn.Flush()
}

// receiveUnblock returns an answer, or why no more will come.
func receiveUnblock(ctx context.Context, conn redis.Conn) (unblockAnswer, error) {
	hit, err := redis.Bool(redis.ReceiveContext(conn, ctx))
	if err != nil && !isReply(err) {
		return unblockAnswer{}, err
	}
	return unblockAnswer{hit, err}, nil
}
