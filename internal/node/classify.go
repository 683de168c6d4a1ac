package node

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/health"
)

// stage is where in a connection's life an error came up.
type stage uint8

const (
	dialing stage = iota // up to and including the PING that ends a dial, and in probes
	inUse                // under a command of the caller
)

// finding is what an error means: for the node, for the connection, and for
// the command that met it.
type finding struct {
	class   health.Class
	verify  bool // the class needs a probe's word
	write   bool // only a probe with a write sees it
	fresh   bool // only a new connection shows it
	drop    bool // the connection must not be used again
	refused bool // the server said no before it executed anything
	local   bool // our own machine's shortage
}

// classify says what err means. It is the only place that does. A failure of
// the caller's own making (its context ended) must be told apart before: the
// error does not say whose limit ran out.
func classify(err error, at stage) finding {
	var reply redis.Error
	switch {
	case err == nil:
		return finding{class: health.Alive}
	case errors.As(err, &reply):
		return classifyReply(reply, at)
	case errors.Is(err, context.Canceled), errors.Is(err, ErrClosed), errors.Is(err, net.ErrClosed):
		return finding{class: health.None, drop: true}
	case isLocal(err):
		return finding{class: health.None, fresh: at == dialing, drop: true, local: true}
	case at == dialing:
		lookup := isLookup(err)
		return finding{class: classifyDial(err), verify: lookup, fresh: !lookup, drop: true}
	default:
		return finding{class: classifyIO(err), drop: true}
	}
}

// isLocal reports a shortage of this machine, which says nothing of the node.
func isLocal(err error) bool {
	for _, errno := range []syscall.Errno{
		syscall.EMFILE, syscall.ENFILE, syscall.EADDRNOTAVAIL, syscall.ENOBUFS,
		syscall.ENOMEM, syscall.EACCES, syscall.EPERM, syscall.EINVAL,
	} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}

// classifyDial judges what kept a connection from coming about.
func classifyDial(err error) health.Class {
	var (
		addr  *net.AddrError
		late  net.Error
		shake *handshakeError
	)
	switch {
	case isLookup(err):
		return health.Soft
	case isTLS(err), errors.As(err, &addr):
		return health.Misconfigured
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ECONNREFUSED), isReset(err):
		return health.Hard
	case isGone(err): // after it was accepted: is the server closed to all, or did it drop this client?
		return health.Broken
	case errors.As(err, &late) && late.Timeout():
		return health.Timeout
	case errors.As(err, &shake):
		return health.Misconfigured
	default: // no route, bytes that are no RESP
		return health.Soft
	}
}

// isLookup reports that a name was not resolved. It may be the resolver that is
// out, and says nothing of connections that are there.
func isLookup(err error) bool {
	var dns *net.DNSError
	return errors.As(err, &dns)
}

// isTLS reports that the two sides speak and do not agree: on who they are, or
// on how to speak, or one of them does not speak TLS at all.
func isTLS(err error) bool {
	var (
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
	)
	return errors.As(err, &cert) || errors.As(err, &record) || isAlert(err)
}

// isAlert reports that the peer gave up TLS and said why. The type of that is
// not exported, but for QUIC, so the operation has to do.
func isAlert(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "remote error"
}

// classifyIO judges what broke a connection in use.
func classifyIO(err error) health.Class {
	var late net.Error
	switch {
	case errors.Is(err, syscall.ETIMEDOUT): // the kernel gave up on the peer
		return health.Hard
	case isGone(err):
		return health.Broken
	case errors.As(err, &late) && late.Timeout():
		return health.Timeout
	case isProtocol(err):
		return health.Soft
	default:
		return health.Broken
	}
}

// isReset reports that the host answered the attempt to connect with a reset.
func isReset(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" && errors.Is(err, syscall.ECONNRESET)
}

// isGone reports that the peer ended the connection.
func isGone(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, io.ErrClosedPipe)
}

// isProtocol reports bytes that are no RESP. redigo's own type for it is not
// exported, so its wording has to do.
func isProtocol(err error) bool {
	var limit *replyError
	return errors.As(err, &limit) || strings.Contains(err.Error(), "possible server error")
}

// classifyReply judges an error reply. Nearly all of them prove the server
// alive; the exceptions are refusals to serve this client, or anybody.
func classifyReply(reply redis.Error, at stage) finding {
	f := refusal(reply)
	if f.class == health.Alive && at == dialing { // AUTH or SELECT was refused
		f = finding{class: health.Misconfigured, drop: true, refused: true}
	}
	f.fresh = at == dialing
	f.verify = at == inUse && f.class != health.Alive
	return f
}

func refusal(reply redis.Error) finding {
	switch replyCode(reply) {
	case "LOADING", "MASTERDOWN", "MISCONF", "BUSY": // refuses PING as well
		return finding{class: health.Refusing, refused: true}
	case "READONLY":
		return finding{class: health.Refusing, write: true, drop: true, refused: true}
	case "NOAUTH", "WRONGPASS", "DENIED":
		return finding{class: health.Misconfigured, drop: true, refused: true}
	case "MOVED", "ASK", "CLUSTERDOWN":
		return finding{class: health.Misconfigured, refused: true}
	case "OOM", "NOREPLICAS":
		return finding{class: health.Alive, refused: true}
	}
	if strings.HasPrefix(string(reply), "ERR max number of clients reached") {
		return finding{class: health.Soft, drop: true, refused: true}
	}
	return finding{class: health.Alive}
}
