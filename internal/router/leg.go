package router

import (
	"context"
	"sync"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/node"
)

// leg is the part of a routed connection that stands on one node. Its tasks are
// done in order, by a goroutine that lives while there are any: written together,
// then answered one by one. In between, the node's connection goes back to its
// pool, unless it is held: for a transaction or for watched keys, which must not
// be torn from their connection. One that is held and breaks is held all the same,
// and fails whatever it was held for.
type leg struct {
	router *Router
	node   int
	span   *span
	idle   *sync.Cond // on mu; signalled when running ends

	mu      sync.Mutex // protects following fields
	tasks   []task
	running bool

	// Owned by the goroutine that runs; while none does, by close.
	held  bool
	conn  redis.Conn // while held
	began error      // why the server refused the MULTI that it is held for
}

// span is how long the legs of a connection may go on.
type span struct {
	life context.Context // ends when nobody will read a reply any more
	end  context.CancelFunc

	waits    context.Context // ends at Close too: for what may wait on a server
	endWaits context.CancelFunc
}

func newSpan() *span {
	s := &span{}
	s.life, s.end = context.WithCancel(context.Background())
	s.waits, s.endWaits = context.WithCancel(s.life)
	return s
}

// ready waits for what comes first, and reports whether to go on.
func (s *span) ready(first <-chan struct{}) bool {
	if first != nil {
		select {
		case <-first:
		case <-s.life.Done():
		}
	}
	return s.life.Err() == nil
}

func newLeg(r *Router, n int, s *span) *leg {
	l := &leg{router: r, node: n, span: s}
	l.idle = sync.NewCond(&l.mu)
	return l
}

// do queues tasks. It does not block.
func (l *leg) do(tasks []task) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tasks = append(l.tasks, tasks...)
	if !l.running {
		l.running = true
		go l.run()
	}
}

// free reports that there is nothing to do and no connection held.
func (l *leg) free() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.running && l.conn == nil
}

// close waits for the tasks that were queued, and gives the connection back.
func (l *leg) close() {
	l.mu.Lock()
	for l.running {
		l.idle.Wait()
	}
	l.mu.Unlock()
	l.held = false
	if l.conn != nil {
		l.settle(l.conn)
	}
}

func (l *leg) run() {
	for tasks := l.take(); tasks != nil; tasks = l.take() {
		for len(tasks) > 0 && l.span.ready(tasks[0].after) {
			n := l.together(tasks)
			l.work(tasks[:n])
			tasks = tasks[n:]
		}
	}
}

// take returns what is to be done now, or nil if there is nothing more: then the
// goroutine ends.
func (l *leg) take() []task {
	l.mu.Lock()
	defer l.mu.Unlock()
	tasks := l.tasks
	l.tasks = nil
	if tasks == nil {
		l.running = false
		l.idle.Broadcast()
	}
	return tasks
}

// together returns how many of the tasks, at least one, are written before the
// first is read. What may wait on the server goes by itself. Nothing follows a
// MULTI whose reply nobody else will see, lest it run outside the transaction. And
// what comes after a transaction does not share its broken connection.
func (l *leg) together(tasks []task) int {
	broken := l.conn != nil && l.conn.Err() != nil
	for i := range tasks {
		t := &tasks[i]
		switch {
		case t.waits, t.after != nil && i > 0:
			return max(i, 1)
		case t.hold && t.op == nil, t.last && (broken || l.began != nil):
			return i + 1
		}
	}
	return len(tasks)
}

// work does some tasks. The connection is given back before the last answer is:
// whoever hears that finds the pool as it was.
func (l *leg) work(tasks []task) {
	conn := l.connect()
	sent, failed := l.write(conn, tasks)
	for i := range tasks {
		t := &tasks[i]
		value, err := any(nil), failed
		if i < sent {
			value, err = l.receive(conn, t, len(tasks) == 1)
		}
		l.note(t, err)
		if i == len(tasks)-1 {
			l.settle(conn)
		}
		t.answer(l.router.cluster.Name(l.node), value, err)
	}
}

// connect returns the leg's connection. If there is none to be had, it is one that
// says so at each use.
func (l *leg) connect() redis.Conn {
	if l.conn != nil {
		return l.conn
	}
	conn, _ := l.router.cluster.Pool(l.node).GetContext(l.span.life)
	return conn
}

// write sends tasks, and returns of how many a reply can be asked for and what the
// others failed with. One alone is left to receive: then its error tells exactly
// whether it was sent.
func (l *leg) write(conn redis.Conn, tasks []task) (sent int, err error) {
	if l.began != nil {
		return 0, l.began
	}
	if len(tasks) == 1 {
		return 1, nil
	}
	for i := range tasks {
		if err := conn.Send(tasks[i].cmd, tasks[i].args...); err != nil {
			return i + 1, node.Unsent(err)
		}
	}
	_ = conn.Flush() // if it fails, so does every receive
	return len(tasks), nil
}

// receive reads the reply to a task that was sent, or does the task whole.
func (l *leg) receive(conn redis.Conn, t *task, whole bool) (any, error) {
	switch {
	case t.waits:
		return received(redis.DoContext(conn, node.WithReadLimit(l.span.waits, t.limit), t.cmd, t.args...))
	case t.limited && whole:
		return received(redis.DoWithTimeout(conn, t.limit, t.cmd, t.args...))
	case t.limited:
		return redis.ReceiveWithTimeout(conn, t.limit)
	case whole:
		return received(conn.Do(t.cmd, t.args...))
	}
	return conn.Receive()
}

// received is what a Receive would have returned where a Do did: of a reply that is an
// error, the error only.
func received(value any, err error) (any, error) {
	if _, refused := value.(redis.Error); refused {
		value = nil
	}
	return value, err
}

// note keeps track of what the connection is held for.
func (l *leg) note(t *task, err error) {
	switch {
	case t.last:
		l.held, l.began = false, nil
	case t.hold:
		l.held = true
		if t.op == nil && err != nil {
			l.began = err
		}
	}
}

// settle keeps the connection if it is held, and gives it back if not. A
// transaction that is still open there is discarded.
func (l *leg) settle(conn redis.Conn) {
	if l.held {
		l.conn = conn
		return
	}
	l.conn = nil
	_ = conn.Close()
}
