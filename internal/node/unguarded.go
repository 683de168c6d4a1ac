package node

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"
)

// unguarded is a connection of a dial function of the user's own. No guard
// stands under it, so redigo's reader panics when a reply claims a length that
// no memory has. That may be on a goroutine of this library's, where nobody else
// could recover: unguarded makes an error of it, and is broken from then on. What
// the runtime ends the process for stays out of reach: a stack that overflows, or
// memory that runs out.
type unguarded struct {
	redis.Conn
	broken atomic.Pointer[replyError]
}

var _ redis.ConnWithTimeout = (*unguarded)(nil)

// Err returns why the connection must not be used again, if so.
func (u *unguarded) Err() error {
	if err := u.broken.Load(); err != nil {
		return err
	}
	return u.Conn.Err()
}

func (u *unguarded) Do(cmd string, args ...any) (reply any, err error) {
	defer u.survive(&err)
	return u.Conn.Do(cmd, args...)
}

func (u *unguarded) DoWithTimeout(limit time.Duration, cmd string, args ...any) (reply any, err error) {
	defer u.survive(&err)
	return redis.DoWithTimeout(u.Conn, limit, cmd, args...)
}

func (u *unguarded) Receive() (reply any, err error) {
	defer u.survive(&err)
	return u.Conn.Receive()
}

func (u *unguarded) ReceiveWithTimeout(limit time.Duration) (reply any, err error) {
	defer u.survive(&err)
	return redis.ReceiveWithTimeout(u.Conn, limit)
}

// survive is deferred around whatever reads a reply.
func (u *unguarded) survive(err *error) {
	if p := recover(); p != nil {
		broken := unreadable(p)
		u.broken.CompareAndSwap(nil, broken)
		_ = u.Close()
		*err = broken
	}
}

// dialUsers calls the pool's own dial function, which may read replies, too.
func (n *Node) dialUsers(ctx context.Context) (rc redis.Conn, err error) {
	defer func() {
		if p := recover(); p != nil {
			rc, err = nil, unreadable(p)
		}
	}()
	return n.dialPool(ctx)
}

// unreadable makes an error of a panic of redigo's reader. Any other is no doing
// of the server's, an argument's own method, say: it goes on.
func unreadable(p any) *replyError {
	if !inReader() {
		panic(p)
	}
	return &replyError{fmt.Sprintf("redigo's reader panicked: %v", p)}
}

// inReader reports whether redigo's reader is what panicked. It is asked while
// the frames of that still stand on the stack.
func inReader() bool {
	var callers [32]uintptr // the reader's frame is near the top, however deep it has gone
	frames := runtime.CallersFrames(callers[:runtime.Callers(1, callers[:])])
	for {
		frame, more := frames.Next()
		if strings.HasSuffix(frame.Function, "/redis.(*conn).readReply") {
			return true
		}
		if !more {
			return false
		}
	}
}
