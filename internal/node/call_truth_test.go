package node_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// ledger executes INCR, also in transactions, counts how often, and can have a
// reply cut. It is for one connection at a time.
type ledger struct {
	fake    *redistest.Fake
	inMulti bool
	queued  int
	applied atomic.Int64
	sizes   []int // of the replies so far

	cut      bool
	cutReply int // which reply, from 0
	cutAt    int // after how many of its bytes
}

func (l *ledger) answer(cmd []string) []byte {
	reply := l.execute(cmd)
	l.sizes = append(l.sizes, len(reply))
	if l.cut && len(l.sizes) == l.cutReply { // the next one
		l.fake.CutReply("", l.cutAt)
	}
	return reply
}

func (l *ledger) execute(cmd []string) []byte {
	switch {
	case cmd[0] == "MULTI":
		l.inMulti, l.queued = true, 0
		return redistest.Simple("OK")
	case cmd[0] == "EXEC":
		l.inMulti = false
		var replies [][]byte
		for range l.queued {
			replies = append(replies, redistest.Int(int(l.applied.Add(1))))
		}
		return redistest.Array(replies...)
	case l.inMulti:
		l.queued++
		return redistest.Simple("QUEUED")
	}
	return redistest.Int(int(l.applied.Add(1)))
}

// cutReplies has the connection cut after n bytes of replies, whose sizes are
// known.
func (l *ledger) cutReplies(n int, sizes []int) {
	for i, size := range sizes {
		if n < size {
			l.cut, l.cutReply, l.cutAt = true, i, n
			if i == 0 {
				l.fake.CutReply("", n)
			}
			return
		}
		n -= size
	}
}

// works are pieces of work. Each returns the errors that it met, and how many
// times INCR is executed if there are none.
var works = []struct {
	name string
	do   func(rc redis.Conn) (errs []error, incrs int64)
}{
	{"a command", func(rc redis.Conn) ([]error, int64) {
		return []error{second(rc.Do("INCR", "n"))}, 1
	}},
	{"a pipeline received one by one", func(rc redis.Conn) ([]error, int64) {
		var errs []error
		for range 3 {
			errs = append(errs, rc.Send("INCR", "n"))
		}
		errs = append(errs, rc.Flush())
		for range 3 {
			errs = append(errs, second(rc.Receive()))
		}
		return errs, 3
	}},
	{"a pipeline received at once", func(rc redis.Conn) ([]error, int64) {
		return []error{rc.Send("INCR", "n"), rc.Send("INCR", "n"), second(rc.Do("INCR", "n"))}, 3
	}},
	{"a transaction", func(rc redis.Conn) ([]error, int64) {
		return []error{rc.Send("MULTI"), rc.Send("INCR", "n"), rc.Send("INCR", "n"), second(rc.Do("EXEC"))}, 2
	}},
	{"a transaction step by step", func(rc redis.Conn) ([]error, int64) {
		var errs []error
		for _, cmd := range [][]any{{"MULTI"}, {"INCR", "n"}, {"EXEC"}} {
			errs = append(errs, second(rc.Do(cmd[0].(string), cmd[1:]...)))
		}
		return errs, 1
	}},
}

// requireTruth checks what the errors of a piece of work promise against what
// was executed.
func requireTruth(t *testing.T, errs []error, executed, want int64) {
	t.Helper()
	err := errors.Join(errs...)
	if err == nil {
		require.Equal(t, want, executed, "the work succeeded")
		return
	}
	require.LessOrEqual(t, executed, want, "nothing runs twice")
	for _, err := range errs {
		if err == nil {
			continue
		}
		require.NotEqual(t, node.SafeToRetry(err), node.MaybeExecuted(err))
		if node.SafeToRetry(err) {
			require.Zero(t, executed, "safe to retry, but executed: %v", err)
		}
	}
}

// cutAfter has the connection that is open cut after n bytes.
type cutAfter func(l *ledger, n int, replies []int)

var cuts = map[string]cutAfter{
	"request": func(l *ledger, n int, _ []int) { l.fake.CutRequests(n + 1) },
	"reply":   func(l *ledger, n int, replies []int) { l.cutReplies(n, replies) },
}

func TestRow23WhatIsSafeToRetryWasNeverExecutedWhereverTheConnectionIsCut(t *testing.T) {
	row := redistest.Faults(t, 23, "a connection is cut at each byte: calls of a pool's connection", "a fake server that counts")
	for _, work := range works {
		for name, cut := range cuts {
			t.Run(work.name+", cut in the "+name, func(t *testing.T) {
				onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
					_, replies := attempt(t, f, w, work.do, nil)
					failures := 0
					for n := 0; ; n++ {
						errs, _ := attempt(t, f, w, work.do, func(l *ledger) { cut(l, n, replies) })
						if errors.Join(errs...) == nil {
							break
						}
						failures++
					}
					row.Calls, row.Lost = row.Calls+failures+1, row.Lost+failures
					assert.Greater(t, failures, 3, "cuts that broke something")
				})
			})
		}
	}
}

// attempt does a piece of work on a connection that cut, if given, breaks. It
// checks what the errors promise and returns them and the sizes of the replies.
func attempt(t *testing.T, f *redistest.Fake, w *watched, work func(redis.Conn) ([]error, int64), cut func(*ledger)) ([]error, []int) {
	f.Resume()
	f.Handle(nil)
	rc := w.Pool().Get()
	require.NoError(t, rc.Err())
	l := &ledger{fake: f}
	f.Handle(l.answer)
	if cut != nil {
		cut(l)
	}
	errs, want := work(rc)
	require.Equal(t, errors.Join(errs...) != nil, rc.Err() != nil)
	_ = rc.Close()
	if errors.Join(errs...) != nil {
		redistest.WaitFor(t, longEnough, func() bool { return f.Conns() == 0 }, "all that arrived is executed")
		assert.Equal(t, 0, w.Pool().IdleCount())
	}
	requireTruth(t, errs, l.applied.Load(), want)
	if !w.own {
		first := slices.IndexFunc(errs, func(err error) bool { return err != nil })
		require.True(t, first < 0 || node.MaybeExecuted(errs[first]), "where nobody counts bytes, nothing that was tried is safe")
	}
	return errs, l.sizes
}

func TestACommandOfWhichAPartLeftIsSafeToRetry(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	w := watchURL(t, "redis://"+f.Addr(), "")
	rc := w.borrow(t)
	f.CutRequests(1 << 20)
	_, err := rc.Do("SET", "k", strings.Repeat("x", 64<<20)) // more than a socket buffers
	require.Error(t, err)
	assert.True(t, node.SafeToRetry(err), "%v", err)
	assert.Equal(t, []health.Class{health.Broken}, w.classes())
	redistest.WaitFor(t, longEnough, func() bool { return f.Conns() == 0 }, "all that arrived is executed")
	assert.Zero(t, f.Executed("SET"))
}

func TestADialThatFailsIsSafeToRetryWhoeverDialed(t *testing.T) {
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		f.Refuse()
		rc := w.Pool().Get()
		defer rc.Close()
		for name, use := range uses {
			err := use(rc)
			assert.True(t, node.SafeToRetry(err), fmt.Sprint(name, ": ", err))
		}
	})
}

// A reply that is cut is never taken for a whole one.
func TestRow38APartialReplyIsNeverAReply(t *testing.T) {
	row := redistest.Faults(t, 38, "a reply is cut: of each type", "a fake server, after each byte")
	replies := []string{"$11\r\nhello\r\nhell\r\n", "*2\r\n$1\r\na\r\n*1\r\n:12\r\n", ":1234\r\n", "+fine\r\n", "-ERR no\r\n"}
	onBothDialers(t, func(t *testing.T, f *redistest.Fake, w *watched) {
		for _, reply := range replies {
			for n := range len(reply) {
				f.Resume()
				rc := w.Pool().Get()
				require.NoError(t, rc.Err())
				f.Answer(reply)
				f.CutReply("", n)
				got, err := rc.Do("GET", "k")
				require.Nil(t, got)
				var broken *node.Error
				require.ErrorAs(t, err, &broken, "%q", reply[:n])
				require.True(t, node.MaybeExecuted(err))
				_ = rc.Close()
				row.Calls, row.Lost = row.Calls+1, row.Lost+1
			}
		}
	})
}
