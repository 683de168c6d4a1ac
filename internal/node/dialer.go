package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// keepAlive finds a peer that vanished without a word in some 15 s.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 5}

// unackedLimit is how long the kernel waits for what it sent to be acknowledged.
const unackedLimit = 15 * time.Second

// ownConn is a connection that this package dialed: redigo's, over a guard.
type ownConn struct {
	redis.Conn
	guard *guard
}

// dial connects, logs in and pings, all within one time limit.
func (e *Endpoint) dial(ctx context.Context) (redis.Conn, error) {
	late := &lateError{"no connection within " + e.dialTimeout.String()}
	ctx, cancel := e.limit(ctx, late)
	defer cancel()
	g, err := e.connect(ctx)
	if err != nil {
		return nil, whoseLimit(ctx, err)
	}
	g.readLimit, g.writeLimit = e.readTimeout, e.writeTimeout
	c := &ownConn{Conn: redis.NewConn(g, e.readTimeout, e.writeTimeout), guard: g}
	stop := context.AfterFunc(ctx, func() { _ = g.Close() })
	err = e.greet(c)
	if !stop() {
		_ = c.Close()
		return nil, context.Cause(ctx)
	}
	if err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

func (e *Endpoint) limit(ctx context.Context, cause error) (context.Context, context.CancelFunc) {
	if e.dialTimeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeoutCause(ctx, e.dialTimeout, cause)
}

// endOfContext is how long a context whose deadline has passed is waited for. A caller's own
// type may never end.
const endOfContext = 100 * time.Millisecond

// whoseLimit replaces the error of a context that ended by its cause, which
// says whether it was the caller's or the dial's own. A socket may notice that its
// deadline has passed a little before the context does, whose deadline that is.
func whoseLimit(ctx context.Context, err error) error {
	var late net.Error
	deadline, limited := ctx.Deadline()
	if limited && errors.As(err, &late) && late.Timeout() && !time.Now().Before(deadline) {
		select {
		case <-ctx.Done():
		case <-time.After(endOfContext):
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// connect opens the socket and, if asked for, TLS on it.
func (e *Endpoint) connect(ctx context.Context) (*guard, error) {
	d := net.Dialer{KeepAliveConfig: keepAlive, Control: limitUnacked(unackedLimit)}
	transport, err := d.DialContext(ctx, e.network, e.address)
	if err != nil {
		return nil, err
	}
	if e.tls == nil {
		return newGuard(transport, transport, e.maxReply), nil
	}
	records := &recordConn{Conn: transport}
	tc := tls.Client(records, e.tls)
	if err := tc.HandshakeContext(ctx); err != nil {
		_ = transport.Close()
		return nil, &handshakeError{e.hint(err)}
	}
	g := newGuard(tc, transport, e.maxReply)
	g.records = records
	return g, nil
}

// greet logs in and makes sure that the server answers, in one round trip. The
// first reply that is an error is the outcome: a server that hangs up after it,
// as one that is full does, has said why.
func (e *Endpoint) greet(c *ownConn) error {
	hello := e.greeting()
	for _, cmd := range hello {
		if err := c.Send(cmd[0].(string), cmd[1:]...); err != nil {
			return e.brokeOff(err)
		}
	}
	if err := c.Flush(); err != nil {
		return e.brokeOff(err)
	}
	for _, cmd := range hello {
		_, err := c.Receive()
		var reply redis.Error
		if errors.As(err, &reply) {
			err = e.refused(cmd[0].(string), reply)
		} else if err != nil {
			err = e.brokeOff(err)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refused returns what becomes of an error reply to a command of the greeting.
// A user who may not name the connection or ping may still use it; one who may
// not select the database would use another.
func (e *Endpoint) refused(cmd string, reply redis.Error) error {
	switch cmd {
	case "CLIENT", "PING":
		if isDenied(reply) {
			return nil
		}
	case "AUTH":
		return e.withoutLogin(reply)
	}
	return reply
}

// withoutLogin takes out of a reply to AUTH what it repeats of its arguments.
func (e *Endpoint) withoutLogin(reply redis.Error) error {
	if e.password == "" {
		return reply
	}
	return redis.Error(strings.ReplaceAll(string(reply), e.password, "[password]"))
}

// greeting returns the commands that a new connection begins with.
func (e *Endpoint) greeting() [][]any {
	var cmds [][]any
	switch {
	case e.user != "":
		cmds = append(cmds, []any{"AUTH", e.user, e.password})
	case e.password != "":
		cmds = append(cmds, []any{"AUTH", e.password})
	}
	if e.db != 0 {
		cmds = append(cmds, []any{"SELECT", e.db})
	}
	if e.clientName != "" {
		cmds = append(cmds, []any{"CLIENT", "SETNAME", e.clientName})
	}
	return append(cmds, []any{"PING"})
}

// isDenied reports that the user may not run the command.
func isDenied(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && replyCode(reply) == "NOPERM"
}

// handshakeError is a TLS handshake that failed.
type handshakeError struct{ cause error }

func (e *handshakeError) Error() string { return "TLS handshake: " + e.cause.Error() }
func (e *handshakeError) Unwrap() error { return e.cause }

// brokeOff says what a connection that breaks right after a TLS handshake most
// often means: with TLS 1.3 a server misses the client's certificate only then.
func (e *Endpoint) brokeOff(err error) error {
	if isGone(err) && e.showsNoCertificate() {
		return fmt.Errorf("%w (%s)", err, certificateHint)
	}
	return e.hint(err)
}

// hint says what a TLS server most often means that refuses the client.
func (e *Endpoint) hint(err error) error {
	text := err.Error()
	refused := isAlert(err) && (strings.Contains(text, "certificate") || strings.Contains(text, "handshake failure"))
	if refused && e.showsNoCertificate() {
		return fmt.Errorf("%w (%s)", err, certificateHint)
	}
	return err
}

const certificateHint = "does the server want a TLS client certificate?"

func (e *Endpoint) showsNoCertificate() bool { return e.tls != nil && len(e.tls.Certificates) == 0 }
