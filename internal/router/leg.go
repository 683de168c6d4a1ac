package router

import (
	"context"
	"sync"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/node"
)

// leg is the part of a routed connection that stands on one node. Its tasks are
// done in order, by a goroutine that lives while there are any: written all
// together, then answered one by one. In between, the node's connection goes back
// to its pool, unless it is held: for a transaction or for watched keys, which
// must not be torn from their connection.
type leg struct {
	router *Router
	node   int
	idle   *sync.Cond // on mu; signalled when running ends

	mu      sync.Mutex // protects following fields
	tasks   []task
	running bool
	held    bool
	conn    redis.Conn // while running or held
	lost    error      // why what it was held for cannot go on
}

func newLeg(r *Router, n int) *leg {
	l := &leg{router: r, node: n}
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

// hold keeps the connection from now until a task that is the last.
func (l *leg) hold() {
	l.mu.Lock()
	l.held = true
	l.mu.Unlock()
}

// close waits for the tasks that were queued, and gives the connection back.
func (l *leg) close() {
	l.mu.Lock()
	for l.running {
		l.idle.Wait()
	}
	conn := l.conn
	l.conn, l.held, l.lost = nil, false, nil
	l.mu.Unlock()
	if conn != nil {
		_ = conn.Close()
	}
}

func (l *leg) run() {
	for {
		tasks := l.take()
		if tasks == nil {
			return
		}
		l.work(tasks)
	}
}

// take returns what is to be done now, or nil if there is nothing more; then the
// connection is given back, and the goroutine ends.
func (l *leg) take() []task {
	l.mu.Lock()
	tasks := l.tasks
	l.tasks = nil
	var spare redis.Conn
	if tasks == nil && !l.held {
		spare, l.conn = l.conn, nil
	}
	if tasks == nil && spare == nil {
		l.running = false
		l.idle.Broadcast()
	}
	l.mu.Unlock()
	if spare != nil {
		_ = spare.Close()
		return l.take()
	}
	return tasks
}

// work does some tasks: all are written before the first is read.
func (l *leg) work(tasks []task) {
	conn, err := l.connect()
	if err != nil {
		l.fail(tasks, err)
		return
	}
	sent := 0
	for sent < len(tasks) && err == nil {
		err = conn.Send(tasks[sent].cmd, tasks[sent].args...)
		sent++
	}
	if err == nil {
		err = conn.Flush()
	}
	for i := range tasks[:sent] {
		value, rerr := l.receive(conn, &tasks[i])
		if rerr != nil && conn.Err() != nil && err == nil {
			err = rerr
		}
		tasks[i].answer(l.name(), value, rerr)
		l.release(tasks[i].last)
	}
	if conn.Err() != nil {
		l.drop(conn, err)
		l.fail(tasks[sent:], node.Unsent(err))
	}
}

// receive reads one reply, waiting for a blocking command as long as that may take.
func (l *leg) receive(conn redis.Conn, t *task) (any, error) {
	if t.info != nil {
		if limit, blocks := t.info.Blocks(t.args); blocks {
			if limit > 0 {
				limit += blockMargin
			}
			return redis.ReceiveWithTimeout(conn, limit)
		}
	}
	return conn.Receive()
}

func (l *leg) name() string { return l.router.cluster.Name(l.node) }

// connect returns the leg's connection. One that was held and broke is not
// replaced: what it was held for died with it.
func (l *leg) connect() (redis.Conn, error) {
	l.mu.Lock()
	conn, lost := l.conn, l.lost
	l.mu.Unlock()
	if lost != nil {
		return nil, lost
	}
	if conn != nil {
		return conn, nil
	}
	conn, err := l.router.cluster.Pool(l.node).GetContext(context.Background())
	if err != nil {
		l.lose(err)
		return nil, err
	}
	l.mu.Lock()
	l.conn = conn
	l.mu.Unlock()
	return conn, nil
}

// drop gives up a connection that broke.
func (l *leg) drop(conn redis.Conn, err error) {
	l.mu.Lock()
	l.conn = nil
	l.mu.Unlock()
	_ = conn.Close()
	l.lose(node.Unsent(err))
}

// lose makes a leg that is held refuse what is still to come.
func (l *leg) lose(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held {
		l.lost = err
	}
}

// release ends the holding after its last task.
func (l *leg) release(last bool) {
	if !last {
		return
	}
	l.mu.Lock()
	l.held, l.lost = false, nil
	l.mu.Unlock()
}

// fail answers tasks that were not sent.
func (l *leg) fail(tasks []task, err error) {
	for i := range tasks {
		tasks[i].answer(l.name(), nil, err)
		l.release(tasks[i].last)
	}
}
