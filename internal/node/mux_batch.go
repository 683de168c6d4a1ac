package node

import (
	"container/list"
	"context"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/gomodule/redigo/redis"
)

// Which batches go over the shared connection: larger ones would hold the others up.
const (
	maxBatchSize = 64 << 10 // bytes
	maxBatchOps  = 1024     // commands
	// keptCommands is for how many a batch may have room to be used again: append makes some
	// more than it needs.
	keptCommands = 2 * maxBatchOps

	heavyBatches = 16 // that one heavy reply keeps from sharing, at most
)

// Batch is commands for one node that go out together, and their replies, which come
// in the order of the commands. They are added first; then the batch is given to a
// node by Enlist or answered one by one by Answer; meanwhile one goroutine may wait
// for them and take them.
type Batch struct {
	text     []byte // the commands, as a server reads them
	commands []batched
	queued   muxOp // stands for it in the queue of a mux, and is then the mux's own

	got   int                           // commands that have their end, which come in order; for who gives it
	ended atomic.Int32                  // of these, those that were told
	news  chan struct{}                 // has room for one: ended grew
	over  atomic.Pointer[chan struct{}] // closed when all have; nil unless asked for
	idle  atomic.Bool                   // whoever told the last of them is done with it
	aloft atomic.Bool                   // whoever enlisted it has yet to launch it

	mux    *mux   // over which it goes; nil if it is answered otherwise
	turn   uint64 // in which whoever enlisted it is to flush; 0 if somebody else does
	inline bool   // the flush is one that does not block

	place *list.Element // in the line of its mux, whose mu protects it; nil if it is not there
	out   bool          // of the line, never to be sent; protected too
}

// batched is a command of a batch.
type batched struct {
	begins int // in the text
	reply  any // or a *failure, which no reply is; once the command has its end
}

// failure is the end of a command without a reply that is its value.
type failure struct {
	err   error
	maybe bool // it may have been executed; of a batch that is in no node's hands err says so
}

var batches = sync.Pool{New: func() any {
	b := &Batch{news: make(chan struct{}, 1)}
	b.queued.batch = b
	return b
}}

// NewBatch returns an empty batch.
func NewBatch() *Batch { return batches.Get().(*Batch) }

// Release gives up a batch of which every reply was taken, for others to use.
func (b *Batch) Release() {
	if !b.idle.Load() || b.aloft.Load() || cap(b.text) > keptBuffer || cap(b.commands) > keptCommands {
		return
	}
	select {
	case <-b.news:
	default:
	}
	clear(b.commands)
	b.text, b.commands, b.got = b.text[:0], b.commands[:0], 0
	b.ended.Store(0)
	b.over.Store(nil)
	b.idle.Store(false)
	b.mux, b.turn, b.out = nil, 0, false
	batches.Put(b)
}

// Len returns how many commands there are.
func (b *Batch) Len() int { return len(b.commands) }

// Add adds a command, whose arguments PlainArgs returned.
func (b *Batch) Add(cmd string, args []any) {
	b.begin()
	b.text = appendCommand(b.text, cmd, args)
}

// AddSome adds a command that has only some of the arguments: at each of the given
// places as many as width.
func (b *Batch) AddSome(cmd string, args []any, places []int, width int) {
	b.begin()
	b.text = appendHeader(b.text, '*', 1+width*len(places))
	b.text = appendText(b.text, cmd)
	for _, at := range places {
		for _, arg := range args[at : at+width] {
			b.text = appendArg(b.text, arg)
		}
	}
}

func (b *Batch) begin() {
	b.commands = append(b.commands, batched{begins: len(b.text)})
}

// PlainArgs returns args with nothing in it but the types that redigo knows by
// themselves. It calls what methods the others have, and leaves args alone.
func PlainArgs(args []any) []any {
	plain, _ := plainArgs(args)
	return plain
}

// ArePlain reports that PlainArgs would return args.
func ArePlain(args []any) bool {
	_, plain := sizeOf(args)
	return plain
}

// Command returns a command as it was added, its arguments as bytes that must not be
// changed.
func (b *Batch) Command(i int) (cmd string, args []any) {
	n, rest := header(b.text[b.commands[i].begins:])
	words := make([]any, n)
	for w := range words {
		var size int
		size, rest = header(rest)
		words[w] = rest[:size:size]
		rest = rest[size+len("\r\n"):]
	}
	return string(words[0].([]byte)), words[1:]
}

// Arg returns one argument of a command, the first being 0, or false if there are
// fewer.
func (b *Batch) Arg(i, arg int) ([]byte, bool) {
	n, rest := header(b.text[b.commands[i].begins:])
	for w := range n {
		var size int
		size, rest = header(rest)
		if w == arg+1 {
			return rest[:size:size], true
		}
		rest = rest[size+len("\r\n"):]
	}
	return nil, false
}

// header reads what appendHeader wrote.
func header(text []byte) (n int, rest []byte) {
	end := 1
	for text[end] != '\r' {
		end++
	}
	n, _ = strconv.Atoi(string(text[1:end]))
	return n, text[end+len("\r\n"):]
}

// Enlist puts the batch behind all else that goes over the node's shared connection,
// and reports false, having done nothing, if that cannot be: the pool's connections
// are a user's own, there is no shared one yet or none that moves, the batch is empty or large,
// too much waits already, or it would overtake the batch after, which nil is not. It
// does no I/O and does not wait; Launch must follow.
func (n *Node) Enlist(b, after *Batch) bool {
	size := len(b.commands)
	if !n.shared.possible.Load() || len(b.text) > maxBatchSize || size == 0 || size > maxBatchOps {
		return false
	}
	m := n.batchMux(after)
	return m != nil && m.enlist(b)
}

// batchMux returns the shared connection for a batch that comes after another one, or
// nil.
func (n *Node) batchMux(after *Batch) *mux {
	m := n.shared.mux.Load()
	if n.standing.Load().refusal() != nil {
		return nil
	}
	if m == nil || !n.current(m) {
		n.dialMux(m)
		return nil
	}
	late := after != nil && after.mux != m && !after.Ended()
	if late || !n.shared.mayBatch() || m.heldUp() && n.shared.batchPassesBy(n.clock()) {
		return nil
	}
	return m
}

// batchPassesBy reports whether a batch takes a connection of the pool while the shared
// one is held up. Now and then one does: where this process is what is slow, all of
// them would only make it slower.
func (s *sharing) batchPassesBy(now int64) bool {
	last := s.passed.Load()
	return now-last >= int64(holdUp/maxBeside) && s.passed.CompareAndSwap(last, now)
}

// mayBatch reports whether a batch is to share. Some are not when a heavy reply has
// come. That processors are busy is no reason: a batch makes up for what that costs.
func (s *sharing) mayBatch() bool {
	if s.bulky.Load() <= 0 {
		return true
	}
	s.bulky.Add(-1)
	return false
}

func (m *mux) enlist(b *Batch) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	waits := m.fullLocked()
	if m.over.Load() || waits && m.lined+len(b.text) > maxLined {
		return false
	}
	b.mux = m
	b.aloft.Store(true)
	if waits {
		b.place = m.waiting.PushBack(b)
		m.lined += len(b.text)
		return true
	}
	m.absorbLocked(b)
	b.turn = m.leadLocked()
	b.inline = m.smallLocked()
	return true
}

// absorbLocked puts a batch behind all else. If the connection has failed, it is only to
// fail with the rest.
func (m *mux) absorbLocked(b *Batch) {
	m.expectLocked(uint64(len(b.commands)))
	b.queued.begins = m.bytes
	m.queue = append(m.queue, &b.queued)
	if !m.failedLocked() {
		m.gathered = append(m.gathered, b.text...)
	}
	m.bytes += uint64(len(b.text))
}

// Launch writes the batches that were enlisted, unless others do. It does not wait for
// a node.
func Launch(batches []*Batch) {
	for _, b := range batches {
		m, turn, inline := b.mux, b.turn, b.inline
		b.aloft.Store(false) // others may have its last reply, and give it up
		if inline {
			m.flush(turn)
		} else {
			m.flushApart(turn)
		}
	}
}

// take gives the next command its reply, or a *failure, and reports whether it was the last.
// Who waits hears of the last one at once, of those before it by tell.
func (b *Batch) take(reply any) (last bool) {
	b.commands[b.got].reply = reply
	b.got++
	if b.got < len(b.commands) {
		return false
	}
	b.tell()
	if over := b.over.Swap(nil); over != nil {
		close(*over)
	}
	b.idle.Store(true)
	return true
}

// fail ends what is due, which is not nothing. Only left bytes of the batch were sent.
func (b *Batch) fail(err error, left uint64) {
	sent, unsent := &failure{err, true}, &failure{err, false}
	for last := false; !last; {
		end := unsent
		if uint64(b.commands[b.got].begins) < left {
			end = sent
		}
		last = b.take(end)
	}
}

// tell wakes who waits for a reply.
func (b *Batch) tell() {
	b.ended.Store(int32(b.got))
	select {
	case b.news <- struct{}{}:
	default:
	}
}

// Ended reports whether all commands have their end.
func (b *Batch) Ended() bool { return int(b.ended.Load()) == len(b.commands) }

// Over returns what is closed when all commands have their end. It may be asked for
// once, and the batch not be released then.
func (b *Batch) Over() <-chan struct{} {
	over := make(chan struct{})
	b.over.Store(&over)
	if b.Ended() && b.over.CompareAndSwap(&over, nil) {
		close(over)
	}
	return over
}

// Answer gives the next command its reply, or err instead of one, if the batch is in no node's
// hands.
func (b *Batch) Answer(reply any, err error) {
	if err != nil {
		reply = &failure{err: err}
	}
	if !b.take(reply) {
		b.tell()
	}
}

// Wait waits for the end of a command, and returns ctx's error if ctx ends before.
func (b *Batch) Wait(ctx context.Context, i int) error {
	for int(b.ended.Load()) <= i {
		select {
		case <-b.news:
		case <-ctx.Done():
			if int(b.ended.Load()) > i {
				return nil
			}
			return ctx.Err()
		}
	}
	return nil
}

// Leave is for who waits for a command no more, since ctx has ended, and returns what
// it then fails with, unless the batch is withdrawn; nil if the batch is in no node's
// hands. The caller's limit is no evidence, but worth a look.
func (b *Batch) Leave(ctx context.Context, name string) error {
	if b.mux == nil {
		return nil
	}
	return b.mux.leave(ctx, name)
}

// Withdraw takes the batch out of the line in which it waits to be sent, for nobody waits
// for its replies: its commands end with cause. It reports whether it is out, so that none
// of them was or will be executed. Later batches of the same caller are withdrawn before.
func (b *Batch) Withdraw(cause error) bool { return b.mux != nil && b.mux.withdraw(b, cause) }

// Reply returns the reply to a command that has its end. An error calls it by name,
// and is judged within ctx.
func (b *Batch) Reply(ctx context.Context, i int, name string) (any, error) {
	reply := b.commands[i].reply
	failed, _ := reply.(*failure)
	refusal, refused := reply.(redis.Error)
	switch {
	case failed != nil && b.mux == nil:
		return nil, failed.err
	case failed != nil:
		return nil, b.mux.node.error(name, failed.err, failed.maybe)
	case refused && b.mux != nil:
		b.mux.conn.judgeShared(ctx, name, refusal)
		return nil, refusal
	}
	return reply, nil
}
