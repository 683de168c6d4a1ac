package redistest

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Handler answers one command, its name first, with the bytes of the reply. Nil
// leaves the command to the fake's memory; an empty reply is none at all. It is
// called by one goroutine per connection.
type Handler func(cmd []string) []byte

// behaviour is how a fake server treats its clients. The zero value serves.
type behaviour struct {
	hang          bool
	refuse        bool
	closeOnAccept bool
	fail          []byte // the reply to everything, which is not executed
	raw           []byte // the reply to everything
	delay         time.Duration
	cutCmd        string // whose replies are cut; "" means all
	cutAt         int    // after how many bytes
	cut           bool
}

// Fake is a server that speaks Redis's protocol, keeps a small memory, counts
// what it executes, and misbehaves on demand. It ends, with all its goroutines,
// when the test does. Its methods are safe for concurrent use.
//
// Out of the box it answers PING, ECHO, AUTH, SELECT, CLIENT, GET, SET,
// INCR, DEL, UNLINK, EXISTS, LPUSH, RPUSH, LPOP, RPOP and LLEN. Each misbehaviour
// lasts until Resume, and applies to open connections too where that makes
// sense.
type Fake struct {
	t    testing.TB
	addr string
	pipe bool // immutable, as the above

	goroutines sync.WaitGroup

	mu       sync.Mutex // guards the following
	listener net.Listener
	conns    map[*fakeConn]struct{}
	accepted int
	closed   bool
	now      behaviour
	changed  chan struct{} // closed, and replaced, when now changes
	handler  Handler
	each     func() Handler
	memory   store
	received map[string]int
	executed map[string]int
}

// NewFake starts a fake server on a free loopback port.
func NewFake(t testing.TB) *Fake {
	t.Helper()
	l, err := listenLoopback(t)
	if err != nil {
		t.Fatal(err)
	}
	f := newFake(t, l.Addr().String())
	f.serve(l)
	return f
}

// NewPipeFake starts a fake server without a network: every connection is a
// net.Pipe that DialContext makes. So it works in a testing/synctest bubble, if
// it is made inside, with the bubble's own t.
func NewPipeFake(t testing.TB) *Fake {
	t.Helper()
	f := newFake(t, "127.0.0.1:6379")
	f.pipe = true
	return f
}

func newFake(t testing.TB, addr string) *Fake {
	f := &Fake{
		t:        t,
		addr:     addr,
		conns:    make(map[*fakeConn]struct{}),
		changed:  make(chan struct{}),
		memory:   make(store),
		received: make(map[string]int),
		executed: make(map[string]int),
	}
	t.Cleanup(f.Close)
	return f
}

// Close ends the server, its connections and its goroutines. The test's cleanup
// calls it; calling it twice is fine.
func (f *Fake) Close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.Crash()
	f.goroutines.Wait()
}

// Addr returns host:port. For a fake without a network nothing listens there.
func (f *Fake) Addr() string { return f.addr }

// DialContext connects to the server, whatever addr says. It is what a
// redis.DialContextFunc option wants.
func (f *Fake) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	if !f.pipe {
		var d net.Dialer
		return d.DialContext(ctx, network, f.addr)
	}
	if err := ctx.Err(); err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	client, server := net.Pipe()
	if !f.accept(server) {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	return client, nil
}

// Pool returns a pool of connections to the server, as a user would build it.
// Whoever uses it closes it.
func (f *Fake) Pool(o PoolOptions) *redis.Pool {
	return o.pool(func(ctx context.Context, o PoolOptions) (redis.Conn, error) {
		return redis.DialContext(ctx, "tcp", f.addr, append(o.dialOptions(), redis.DialContextFunc(f.DialContext))...)
	})
}

// Handle lets h answer all commands from now on; nil brings the memory back.
// Resume leaves it alone.
func (f *Fake) Handle(h Handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.handler = h
}

// HandleEach lets a handler of its own, made by each, answer every connection that is
// opened from now on, so that it can keep that connection's state. It is asked before
// the one of Handle. Nil ends that. Resume leaves it alone.
func (f *Fake) HandleEach(each func() Handler) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.each = each
}

// Hang makes the server accept connections and bytes but neither execute nor
// answer, like a process that is stopped. After Resume it executes what it got.
func (f *Fake) Hang() { f.change(func(b *behaviour) { b.hang = true }) }

// Refuse stops the listening: dials are refused. Open connections go on.
func (f *Fake) Refuse() {
	f.change(func(b *behaviour) { b.refuse = true })
	f.mu.Lock()
	l := f.listener
	f.listener = nil
	f.mu.Unlock()
	if l != nil {
		_ = l.Close()
	}
}

// Crash is Refuse and Drop together: the server is gone.
func (f *Fake) Crash() {
	f.Refuse()
	f.Drop()
}

// CloseOnAccept makes the server close new connections before it reads a byte.
func (f *Fake) CloseOnAccept() { f.change(func(b *behaviour) { b.closeOnAccept = true }) }

// Fail makes the server answer every command with an error reply, without
// executing it. Its text starts with the code, such as "LOADING ...".
func (f *Fake) Fail(text string) { f.change(func(b *behaviour) { b.fail = Error(text) }) }

// Answer makes the server execute every command, but answer it with these very
// bytes, right or wrong; with none it answers nothing.
func (f *Fake) Answer(raw string) { f.change(func(b *behaviour) { b.raw = []byte(raw) }) }

// Delay makes the server wait before it executes each command.
func (f *Fake) Delay(d time.Duration) { f.change(func(b *behaviour) { b.delay = d }) }

// CutReply makes the server close a connection after the first n bytes of the
// reply to cmd, which it has executed then. An empty cmd means any command.
func (f *Fake) CutReply(cmd string, n int) {
	f.change(func(b *behaviour) { b.cut, b.cutCmd, b.cutAt = true, strings.ToUpper(cmd), n })
}

// CutRequests closes each connection that is open now as soon as it has brought
// n more bytes. A command that is whole by then is executed, and its answer
// lost. n is at least 1.
func (f *Fake) CutRequests(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.conns {
		c.readLimit, c.limited = n, true
	}
}

// Resume ends all misbehaviour: the server listens, executes and answers again,
// at the same address and with the memory that it had.
func (f *Fake) Resume() {
	f.t.Helper()
	f.change(func(b *behaviour) { *b = behaviour{} })
	f.mu.Lock()
	listening := f.pipe || f.listener != nil || f.closed
	for c := range f.conns {
		c.limited = false
	}
	f.mu.Unlock()
	if listening {
		return
	}
	var l net.Listener
	var err error
	if !poll(patience, func() bool { l, err = net.Listen("tcp", f.addr); return err == nil }) {
		f.t.Errorf("listen again: %v", err)
		return
	}
	f.serve(l)
}

// Drop closes all open connections.
func (f *Fake) Drop() {
	for _, c := range f.open() {
		c.drop()
	}
}

// Reset closes all open connections in such a way that their clients get
// ECONNRESET. Without a network it is Drop.
func (f *Fake) Reset() {
	for _, c := range f.open() {
		if tcp, ok := c.Conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		c.drop()
	}
}

// Received returns how many commands of a name have arrived whole, whatever
// became of them. Case does not matter; an empty name means all.
func (f *Fake) Received(cmd string) int { return f.count(f.received, cmd) }

// Executed returns how many commands of a name were executed, whether or not
// their reply arrived. Case does not matter; an empty name means all.
func (f *Fake) Executed(cmd string) int { return f.count(f.executed, cmd) }

// Accepted returns how many connections were accepted so far.
func (f *Fake) Accepted() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.accepted
}

// Conns returns how many connections are open.
func (f *Fake) Conns() int { return len(f.open()) }

func (f *Fake) count(counts map[string]int, cmd string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if cmd != "" {
		return counts[strings.ToUpper(cmd)]
	}
	sum := 0
	for n := range maps.Values(counts) {
		sum += n
	}
	return sum
}

func (f *Fake) open() []*fakeConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	var open []*fakeConn
	for c := range f.conns {
		open = append(open, c)
	}
	return open
}

// change edits the behaviour and wakes the connections that wait for it to.
func (f *Fake) change(edit func(*behaviour)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	edit(&f.now)
	close(f.changed)
	f.changed = make(chan struct{})
}

// serve accepts connections until l is closed.
func (f *Fake) serve(l net.Listener) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		_ = l.Close()
		return
	}
	f.listener = l
	f.goroutines.Go(func() {
		for {
			conn, err := l.Accept()
			switch {
			case err == nil:
				f.accept(conn)
			case errors.Is(err, net.ErrClosed):
				return
			default: // such as no descriptor left: a server would go on, too
				time.Sleep(time.Millisecond)
			}
		}
	})
}

// accept serves conn, or closes it and reports false if the server refuses.
func (f *Fake) accept(conn net.Conn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.now.refuse {
		_ = conn.Close()
		return false
	}
	f.accepted++
	if f.now.closeOnAccept {
		_ = conn.Close()
		return true
	}
	c := newFakeConn(f, conn)
	f.conns[c] = struct{}{}
	f.goroutines.Go(c.read)
	f.goroutines.Go(c.answer)
	return true
}
