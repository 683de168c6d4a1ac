package node

import (
	"errors"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// errStale is why an idle connection is not used again.
var errStale = errors.New("connection is stale")

// guard is the net.Conn under a connection that this package dialed. It counts
// the bytes that the socket took, so that "was it sent?" has an answer; it
// follows the replies that come in and refuses a hostile one before the reader
// sees it; and it can look at an idle socket without reading from it.
//
// One goroutine may read and one may write at a time, as with any net.Conn.
type guard struct {
	net.Conn              // plain or TLS
	transport net.Conn    // Conn, or what is under TLS
	records   *recordConn // under TLS; else nil
	written   atomic.Uint64
	peek      func() error

	// Immutable once dialed: how long a read and a write may take; 0 is no limit.
	readLimit, writeLimit time.Duration

	// Owned by the reader.
	replies scanner
	failed  error // what the scanner refused
	full    bool  // the last read got all that it had room for

	// unscanned is set before the first read by a reader that sees to the bounds itself.
	unscanned bool
}

func newGuard(nc, transport net.Conn, maxReply int64) *guard {
	return &guard{Conn: nc, transport: transport, replies: scanner{limit: maxReply}, peek: newPeek(transport)}
}

// Close closes the transport. Under TLS nothing is said to the peer first: that
// would wait for a frozen one, and whoever closes a connection to cut somebody
// loose cannot.
func (g *guard) Close() error { return g.transport.Close() }

// Write counts what the socket accepts.
func (g *guard) Write(p []byte) (int, error) {
	n, err := g.Conn.Write(p)
	if n > 0 {
		g.written.Add(uint64(n))
	}
	return n, err
}

// Read hands on nothing of a reply that is refused.
func (g *guard) Read(p []byte) (int, error) {
	if g.failed != nil {
		return 0, g.failed
	}
	n, err := g.Conn.Read(p)
	g.full = n == len(p)
	if g.unscanned {
		return n, err
	}
	if refused := g.replies.scan(p[:n]); refused != nil {
		g.failed = refused
		return 0, refused
	}
	return n, err
}

// stale says why an idle connection over which consumed replies were read must
// not be used again: the peer hung up, or more came in than was asked for.
func (g *guard) stale(consumed uint64) error {
	if g.failed != nil || !g.replies.idle() || g.replies.replies != consumed {
		return errStale
	}
	return g.quiet()
}

// quiet says why an idle connection must not be used again as far as only the socket
// and TLS show it.
func (g *guard) quiet() error {
	// TLS may keep the rest of a record that was read in part.
	if g.records != nil && (g.full || g.records.early()) {
		return errStale
	}
	return g.peek()
}

// newPeek returns a function that looks at an idle socket: it is quiet (nil) or
// has something to read, which on an idle connection is an end of file, a
// reset, or a reply that nobody asked for. It does not block. A transport
// without a descriptor cannot be looked at and counts as quiet.
//
// What it needs is made once, so that a look does not allocate.
func newPeek(transport net.Conn) func() error {
	sc, ok := transport.(syscall.Conn)
	if !ok {
		return func() error { return nil }
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return func() error { return errStale }
	}
	var quiet bool
	look := func(fd uintptr) { quiet = quietSocket(fd) }
	return func() error {
		// Not raw.Read: that fails once the last command's read deadline has passed.
		if err := raw.Control(look); err != nil || !quiet {
			return errStale
		}
		return nil
	}
}
