package redistest

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"time"
)

// malformed stands in a queue for what is no command.
var malformed = []string{}

// fakeConn is one connection of a fake server. One goroutine reads commands, so
// that a client never blocks on a write, however slow the server; another
// executes and answers them.
type fakeConn struct {
	net.Conn
	fake    *Fake
	handler Handler // of this connection, nil if it has none; owned by answer

	// guarded by fake.mu
	limited   bool
	readLimit int // bytes until the connection is cut

	mu    sync.Mutex // guards the following
	queue [][]string // commands not yet executed
	ended bool       // no more commands will come

	wake    chan struct{} // has room for one: the queue or ended changed
	dropped chan struct{} // closed by drop
	once    sync.Once
}

func newFakeConn(f *Fake, conn net.Conn) *fakeConn {
	return &fakeConn{Conn: conn, fake: f, wake: make(chan struct{}, 1), dropped: make(chan struct{})}
}

// drop closes the connection; commands that are still waiting are lost.
func (c *fakeConn) drop() {
	c.once.Do(func() { close(c.dropped) })
	_ = c.Close()
}

// Read reads from the client, up to where the connection is to be cut.
func (c *fakeConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.fake.mu.Lock()
	cut := c.limited && n >= c.readLimit
	if cut {
		n, err = c.readLimit, io.EOF
	}
	if c.limited {
		c.readLimit -= n
	}
	c.fake.mu.Unlock()
	if cut {
		_ = c.Close()
	}
	return n, err
}

// read queues commands until the client leaves.
func (c *fakeConn) read() {
	defer c.push(nil)
	r := bufio.NewReader(c)
	for {
		cmd, err := readCommand(r)
		if errors.Is(err, errMalformed) {
			c.push(malformed)
			_, _ = io.Copy(io.Discard, r)
		}
		if err != nil {
			return
		}
		c.fake.tally(c.fake.received, cmd)
		c.push(cmd)
	}
}

// push queues a command, or says by nil that none will follow.
func (c *fakeConn) push(cmd []string) {
	c.mu.Lock()
	if cmd != nil {
		c.queue = append(c.queue, cmd)
	} else {
		c.ended = true
	}
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// next returns the next command, or false when there will be none.
func (c *fakeConn) next() ([]string, bool) {
	for {
		c.mu.Lock()
		if len(c.queue) > 0 {
			cmd := c.queue[0]
			c.queue = c.queue[1:]
			c.mu.Unlock()
			return cmd, true
		}
		ended := c.ended
		c.mu.Unlock()
		if ended {
			return nil, false
		}
		select {
		case <-c.wake:
		case <-c.dropped:
			return nil, false
		}
	}
}

// answer executes commands until none will come. A client that has left does
// not keep those from running that it had sent.
func (c *fakeConn) answer() {
	defer c.leave()
	c.outfit()
	for last := false; !last; {
		cmd, ok := c.next()
		if !ok {
			return
		}
		b, ok := c.awaitTurn()
		if !ok {
			return
		}
		var reply []byte
		if len(cmd) > 0 {
			reply, last = b.cutReply(cmd[0], c.run(b, cmd))
		} else {
			reply, last = Error("ERR Protocol error"), true
		}
		_, _ = c.Write(reply)
	}
}

// outfit gives the connection a handler of its own, if each has one.
func (c *fakeConn) outfit() {
	c.fake.mu.Lock()
	each := c.fake.each
	c.fake.mu.Unlock()
	if each != nil {
		c.handler = each()
	}
}

// cutReply returns what is sent of a reply, and whether that is the last of the
// connection.
func (b behaviour) cutReply(cmd string, reply []byte) (sent []byte, last bool) {
	if !b.cut || (b.cutCmd != "" && b.cutCmd != strings.ToUpper(cmd)) {
		return reply, false
	}
	return reply[:min(b.cutAt, len(reply))], true
}

func (c *fakeConn) leave() {
	c.drop()
	c.fake.mu.Lock()
	delete(c.fake.conns, c)
	c.fake.mu.Unlock()
}

// awaitTurn waits until the server does not hang, and as long as it delays each
// command. It returns false when the connection was dropped.
func (c *fakeConn) awaitTurn() (behaviour, bool) {
	b, changed := c.fake.behaviour()
	if b.delay > 0 {
		timer := time.NewTimer(b.delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-c.dropped:
		}
		b, changed = c.fake.behaviour()
	}
	for b.hang {
		select {
		case <-changed:
		case <-c.dropped:
			return b, false
		}
		b, changed = c.fake.behaviour()
	}
	select {
	case <-c.dropped:
		return b, false
	default:
		return b, true
	}
}

// behaviour returns how to behave now, and what tells of the next change.
func (f *Fake) behaviour() (behaviour, <-chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now, f.changed
}

// run executes a command, unless all of them fail, and returns the reply.
func (c *fakeConn) run(b behaviour, cmd []string) []byte {
	if b.fail != nil {
		return b.fail
	}
	c.fake.tally(c.fake.executed, cmd)
	reply := c.reply(cmd)
	if b.raw != nil {
		return b.raw
	}
	return reply
}

// reply asks the connection's handler, the server's, then the memory.
func (c *fakeConn) reply(cmd []string) []byte {
	f := c.fake
	f.mu.Lock()
	all := f.handler
	f.mu.Unlock()
	for _, h := range []Handler{c.handler, all} {
		if h == nil {
			continue
		}
		if reply := h(cmd); reply != nil {
			return reply
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.memory.do(cmd)
}

func (f *Fake) tally(counts map[string]int, cmd []string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts[strings.ToUpper(cmd[0])]++
}
