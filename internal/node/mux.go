package node

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/health"
)

// errMuxOver says that a shared connection takes no more commands, and that nothing of this
// one was kept. It is never wrapped.
var errMuxOver = errors.New("shared connection is over")

const (
	// maxGathered bounds the bytes that gather, and maxUnanswered the calls that are
	// not answered, whether or not their callers still wait; then callers wait.
	maxGathered   = 512 << 10
	maxUnanswered = 64 << 10
	// maxLined bounds the bytes of batches that wait for room. They are their callers' own, who
	// take them out when they leave; but nobody makes one receive what he has flushed.
	maxLined = 64 << 20
	// keptBuffer is how large a buffer may be to be used again, and modestBuffer how
	// large it may be although what it is used for is always smaller.
	keptBuffer   = 640 << 10
	modestBuffer = 16 << 10
	// readAhead is how much is read at once.
	readAhead = 64 << 10
	// ownWrite is how much may be under way for a caller to write by itself: a
	// socket takes it at once, so that the caller's context is not kept waiting.
	ownWrite = 32 << 10
	// slowYield is how long a yield takes if the processors are busy; so many in a
	// row are no accident.
	slowYield  = 2 * time.Millisecond
	slowYields = 3
	// holdUp is how long the next reply may take before new calls pass by.
	holdUp = 20 * time.Millisecond
)

// mux is a connection that many callers share. They encode their commands into one
// buffer, while it has room; the first who finds no flush under way writes for all, others
// gather meanwhile; one goroutine reads the replies and hands each to its caller.
//
// What is read is always in the order of what was written, so a caller who leaves
// stays in the queue, and the reply that comes for him is dropped.
type mux struct {
	node    *Node
	conn    *conn // registered with the node, which closes it under everybody
	guard   *guard
	base    uint64 // bytes that had left before
	over    atomic.Bool
	handing atomic.Bool  // the reader has replies to hand out
	moved   atomic.Int64 // when a reply was last taken or the first became due, by the node's clock

	mu        sync.Mutex // protects following fields
	gathered  []byte     // commands that are not in a flush yet
	spare     []byte     // the buffer of the last flush
	queue     []*muxOp   // calls and batches that the reader has not taken, in order
	calls     uint64     // so far
	answered  uint64     // of calls, as far as the reader has told
	told      uint64     // of calls, as far as they had been made when it last did so
	bytes     uint64     // of commands so far
	woken     uint64     // callers who were given replies when it last did so
	returning uint64     // of these, those who have not called again
	flushing  bool
	yielding  bool   // whoever is to flush lets others run first
	turn      uint64 // of those who were to flush, the last
	slow      int    // yields in a row that took long
	flights   flights
	roomy     int       // flushes in a row that were small for their buffer
	waiting   list.List // calls (*linedCall) and batches (*Batch) that wait for room, in order
	lined     int       // bytes of batches that wait
	retired   bool      // takes no new calls
	held      bool      // has retired because it was held up
	readErr   error     // why the reader has ended
	writeErr  error     // why a flush failed

	// Owned by the reader.
	replies  replyReader
	batch    []*muxOp // taken from queue
	next     int      // in batch
	done     uint64   // calls answered
	timed    uint64   // of these, when time was last taken
	limit    deadline // of reads
	lastLook bool     // that deadline has passed, and this read is the last

	writeLimit deadline // owned by who flushes
}

// muxOp is one call on a mux, or stands for a batch of them.
type muxOp struct { // as large as a line of a processor's cache
	batch  *Batch // nil if it is one call
	begins uint64 // where its bytes begin among all

	// The following are for one call; a batch has its own.
	ended chan struct{} // one slot
	reply any
	err   error
	state atomic.Uint32
	stays bool // its caller waits whatever happens, and state means nothing
	maybe bool // with err that is no reply: it may have been executed
}

// States of a call.
const (
	waited    = iota // for
	left             // by its caller; the reader lets go of it
	completed        // the caller lets go of it
)

var muxOps = sync.Pool{New: func() any { return &muxOp{ended: make(chan struct{}, 1)} }}

// toCome returns how many replies are to come, and whether that is all of them.
func (o *muxOp) toCome() (n int, all bool) {
	if o.batch == nil {
		return 1, true
	}
	return o.batch.Len() - o.batch.got, o.batch.got == 0
}

// take gives it the reply that is the next, and reports whether it was the last.
func (o *muxOp) take(reply any) (last bool) {
	if o.batch != nil {
		return o.batch.take(reply)
	}
	o.complete(reply, nil)
	return true
}

// fail ends it. Only left bytes of all were sent.
func (o *muxOp) fail(err error, left uint64) {
	if o.batch != nil {
		o.batch.fail(err, left-min(left, o.begins))
		return
	}
	o.maybe = o.begins < left
	o.complete(nil, err)
}

func (o *muxOp) release() {
	o.reply, o.err, o.maybe = nil, nil, false
	if !o.stays {
		o.state.Store(waited)
	}
	muxOps.Put(o)
}

// complete gives the one call its end.
func (o *muxOp) complete(reply any, err error) {
	o.reply, o.err = reply, err
	if o.stays || o.state.CompareAndSwap(waited, completed) {
		o.ended <- struct{}{}
		return
	}
	o.release()
}

// newOp returns one for a call within ctx.
func newOp(ctx context.Context) *muxOp {
	o := muxOps.Get().(*muxOp)
	o.stays = ctx.Done() == nil
	return o
}

// do runs one command, or returns errMuxOver.
func (m *mux) do(ctx context.Context, cmd string, args []any) (any, error) {
	o := newOp(ctx)
	m.mu.Lock()
	switch {
	case m.over.Load():
		m.mu.Unlock()
		o.release()
		return nil, errMuxOver
	case m.fullLocked():
		l := m.lineUpLocked(o, cmd, args)
		m.mu.Unlock()
		return m.waitInLine(ctx, l)
	}
	m.enqueueAndUnlock(o, cmd, args)
	return Call{m, o}.Wait(ctx, cmd)
}

// Call is a command that is under way over a shared connection.
type Call struct {
	mux *mux
	op  *muxOp
}

// Wait waits for the reply, and returns ctx's error if ctx ends before. It must be
// called, once, with the context and the name that the call was begun with.
func (c Call) Wait(ctx context.Context, cmd string) (any, error) {
	switch {
	case c.op.stays:
		<-c.op.ended
	case !c.op.await(ctx.Done()):
		return nil, c.mux.leave(ctx, cmd)
	}
	return c.mux.result(ctx, c.op, cmd)
}

// await waits for the end of a call, and reports false if done is closed before: then its
// caller has left it.
func (o *muxOp) await(done <-chan struct{}) bool {
	select {
	case <-o.ended:
		return true
	case <-done:
	}
	if o.state.CompareAndSwap(waited, left) {
		return false
	}
	<-o.ended
	return true
}

// leave is the end of a call whose context ended. The caller's limit is no evidence,
// but worth a look. The command counts as sent, also if it is yet to be.
func (m *mux) leave(ctx context.Context, cmd string) error {
	m.node.sink(ctx, m.conn.evidence(finding{class: health.Ask}, ctx.Err()))
	return m.node.error(cmd, ctx.Err(), true)
}

// result lets go of a call that is complete.
func (m *mux) result(ctx context.Context, o *muxOp, cmd string) (any, error) {
	reply, err, maybe := o.reply, o.err, o.maybe
	o.release()
	switch {
	case err == errMuxOver: //nolint:errorlint // never wrapped
		return nil, err
	case err != nil:
		return nil, m.node.error(cmd, err, maybe)
	}
	if refusal, ok := reply.(redis.Error); ok {
		m.conn.judgeShared(ctx, cmd, refusal)
		return reply, refusal
	}
	return reply, nil
}

// begin puts a call behind all others, and reports false if it would have to wait for room.
func (m *mux) begin(o *muxOp, cmd string, args []any) bool {
	m.mu.Lock()
	if m.over.Load() || m.fullLocked() {
		m.mu.Unlock()
		return false
	}
	m.enqueueAndUnlock(o, cmd, args)
	return true
}

// enqueueAndUnlock puts a call behind all others, and flushes, without the lock, if
// nobody else is about to.
func (m *mux) enqueueAndUnlock(o *muxOp, cmd string, args []any) {
	m.enqueueLocked(o, cmd, args)
	turn := m.leadLocked()
	small := m.smallLocked()
	m.mu.Unlock()
	if small {
		m.flush(turn)
	} else {
		m.flushApart(turn)
	}
}

func (m *mux) enqueueLocked(o *muxOp, cmd string, args []any) {
	m.expectLocked(1)
	was := len(m.gathered)
	m.gathered = appendCommand(m.gathered, cmd, args)
	o.begins = m.bytes
	m.bytes += uint64(len(m.gathered) - was)
	m.queue = append(m.queue, o)
}

// expectLocked counts calls that are about to be under way.
func (m *mux) expectLocked(calls uint64) {
	if m.calls == m.answered {
		m.node.shared.under.Add(1) // all that is under way here counts as one
		m.moved.Store(m.node.clock())
	}
	m.calls += calls
	m.returning -= min(m.returning, calls)
}

// heldUp reports that replies are due and the next one takes far longer than usual.
func (m *mux) heldUp() bool {
	if time.Duration(m.node.clock()-m.moved.Load()) < holdUp {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	long := max(holdUp, 4*time.Duration(m.node.shared.pace.usual.Load()))
	return m.calls != m.answered && time.Duration(m.node.clock()-m.moved.Load()) >= long
}

// relieve retires a connection that is held up, unless another one has retired so and
// still waits for its replies, or has a line.
func (m *mux) relieve() bool {
	s := &m.node.shared
	if !s.relieved.CompareAndSwap(false, true) {
		return false
	}
	m.mu.Lock()
	ended := m.over.Load() // by then nobody would tell that it is over
	m.held = !ended
	m.mu.Unlock()
	if ended {
		s.relieved.Store(false)
	} else {
		m.retire()
	}
	return true
}

// retire makes the connection end as soon as what is under way or in line has been
// answered.
func (m *mux) retire() {
	m.mu.Lock()
	m.retired = true
	m.over.Store(true)
	m.sendAwayLocked()
	spent := m.spentLocked()
	m.mu.Unlock()
	if spent {
		m.conn.sever(errStale)
	}
}

// spentLocked reports that the connection takes no new calls, and nobody needs it any more:
// where nothing is under way there is room, so that nobody stands in line.
func (m *mux) spentLocked() bool { return m.retired && m.calls == m.answered }
