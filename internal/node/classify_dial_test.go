package node_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// dialFault is a failure of a dial and what it is to mean.
type dialFault struct {
	class health.Class
	local uint64 // faults of our own machine
	kept  bool   // a kept connection can clear it
	text  string // in the error
}

// assertDialFails borrows from the pool and holds what comes of it against want.
func assertDialFails(t *testing.T, pool *redis.Pool, want dialFault) {
	t.Helper()
	n, r := over(t, pool)
	c, err := pool.GetContext(t.Context())
	require.Error(t, err)
	var ne *node.Error
	require.ErrorAs(t, err, &ne)
	assert.Equal(t, "dial", ne.Op)
	assert.Contains(t, err.Error(), want.text)
	assertFate(t, err, true, false)
	require.NoError(t, c.Close())
	assert.Zero(t, pool.ActiveCount(), "the pool counts a connection that never was")
	require.Len(t, r.all(), 1, "one failed dial is one piece of evidence")
	ev := r.all()[0]
	assert.Equal(t, want.class, ev.Class, "class of %v", err)
	assert.False(t, ev.Write, "a dial does not write")
	assert.Equal(t, want.kept, ev.Verify, "a dial that was seen to fail needs no probe's word")
	assert.Equal(t, !want.kept, ev.Fresh, "whether only another new connection can clear it")
	assert.ErrorIs(t, err, ev.Cause)
	assert.Equal(t, want.local, n.LocalFaults())
	assert.NotContains(t, fmt.Sprintf("%v %+v %#v", err, err, err), canary)
}

const canary = "C4n4ry.pass"

// unserved returns the address of a port on which nobody listens.
func unserved(t *testing.T) string {
	t.Helper()
	f := redistest.NewFake(t)
	f.Refuse()
	return f.Addr()
}

func TestWhatKeepsADialFromConnectingIsJudged(t *testing.T) {
	dir, err := os.MkdirTemp("", "sock") //nolint:usetesting // the path of a socket must be short
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	left := filepath.Join(dir, "left")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left, Net: "unix"})
	require.NoError(t, err)
	l.SetUnlinkOnClose(false)
	require.NoError(t, l.Close())

	for name, row := range map[string]struct {
		url  string
		want dialFault
	}{
		"refused":                   {"redis://" + unserved(t), dialFault{class: health.Hard, text: "refused"}},
		"no such socket":            {"unix://" + dir + "/none", dialFault{class: health.Hard, text: "no such file"}},
		"socket without its server": {"unix://" + left, dialFault{class: health.Hard, text: "refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			eachPool(t, row.url, func(t *testing.T, pool *redis.Pool, _ bool) { assertDialFails(t, pool, row.want) })
		})
	}
}

// namesFail makes a resolver that answers each question with the same code.
func namesFail(t *testing.T, code byte) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	go func() {
		question := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(question)
			if err != nil {
				return
			}
			const isAnswer, recursionAvailable = 0x80, 0x80
			question[2] |= isAnswer
			question[3] = recursionAvailable | code
			_, _ = server.WriteTo(question[:n], from)
		}
	}()
	before := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "udp", server.LocalAddr().String())
	}}
	t.Cleanup(func() {
		net.DefaultResolver = before
		_ = server.Close()
	})
}

func TestANameThatCannotBeResolvedIsASoftFault(t *testing.T) {
	const serverFailure, noSuchName = 2, 3
	for name, row := range map[string]struct {
		code byte
		text string
	}{
		"there is none":          {noSuchName, "no such host"},
		"the name server is ill": {serverFailure, "server misbehaving"},
	} {
		t.Run(name, func(t *testing.T) {
			namesFail(t, row.code)
			eachPool(t, "redis://nowhere.invalid?dial_timeout=20s", func(t *testing.T, pool *redis.Pool, _ bool) {
				assertDialFails(t, pool, dialFault{class: health.Soft, kept: true, text: row.text})
			})
		})
	}
	t.Run("the name server is silent", func(t *testing.T) {
		err := &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "i/o timeout", Name: "h", IsTimeout: true}}
		pool := &redis.Pool{Dial: func() (redis.Conn, error) { return nil, err }}
		assertDialFails(t, pool, dialFault{class: health.Soft, kept: true, text: "i/o timeout"})
	})
}

func TestWhatAServerDoesToANewConnectionIsJudged(t *testing.T) {
	for name, row := range map[string]struct {
		fault    func(f *redistest.Fake)
		own      dialFault
		userPool health.Class
	}{
		"accept and close":   {(*redistest.Fake).CloseOnAccept, dialFault{class: health.Broken}, health.Broken},
		"reset":              {resetEach, dialFault{class: health.Broken}, health.Broken},
		"silence":            {(*redistest.Fake).Hang, dialFault{class: health.Timeout, text: "no connection within"}, health.Timeout},
		"HTTP":               {answer("HTTP/1.1 400 Bad Request\r\n\r\n"), dialFault{class: health.Soft, text: "begins with"}, health.Soft},
		"no CR":              {answer("+PONG\n"), dialFault{class: health.Soft}, health.Soft},
		"a RESP3 push":       {answer(">2\r\n+a\r\n+b\r\n"), dialFault{class: health.Soft}, health.Soft},
		"half a reply":       {func(f *redistest.Fake) { f.CutReply("", 3) }, dialFault{class: health.Broken}, health.Broken},
		"a hostile length":   {answer("$9223372036854775806\r\n"), dialFault{class: health.Soft, text: "claims more"}, health.Soft},
		"loading":            {fail("LOADING Redis is loading"), dialFault{class: health.Refusing}, health.Refusing},
		"no master":          {fail("MASTERDOWN Link with MASTER is down"), dialFault{class: health.Refusing}, health.Refusing},
		"failing saves":      {fail("MISCONF Redis is configured to save"), dialFault{class: health.Refusing}, health.Refusing},
		"a running script":   {fail("BUSY Redis is busy running a script"), dialFault{class: health.Refusing}, health.Refusing},
		"protected mode":     {fail("DENIED Redis is running in protected mode"), dialFault{class: health.Misconfigured}, health.Misconfigured},
		"no login":           {fail("NOAUTH Authentication required."), dialFault{class: health.Misconfigured}, health.Misconfigured},
		"an unknown refusal": {fail("ERR no such database"), dialFault{class: health.Misconfigured}, health.Misconfigured},
	} {
		t.Run(name, func(t *testing.T) {
			f := redistest.NewFake(t)
			row.fault(f)
			url := "redis://" + f.Addr() + "?dial_timeout=300ms&read_timeout=200ms"
			t.Run("own pool", func(t *testing.T) {
				// The dial's own limit is the tighter one.
				assertDialFails(t, parsed(t, "redis://"+f.Addr()+"?dial_timeout=200ms").NewPool(), row.own)
			})
			t.Run("user's pool", func(t *testing.T) {
				assertDialFails(t, usersPool(t, url), dialFault{class: row.userPool})
			})
		})
	}
}

func answer(raw string) func(*redistest.Fake) { return func(f *redistest.Fake) { f.Answer(raw) } }

func fail(text string) func(*redistest.Fake) { return func(f *redistest.Fake) { f.Fail(text) } }

func resetEach(f *redistest.Fake) {
	f.Handle(func([]string) []byte { f.Reset(); return []byte{} })
}

// Errors that this machine cannot be made to produce here are made up as the
// net package makes them. Those of them that a child process can produce are in
// TestTheKernelsOwnRefusalsAreJudged.
func TestErrorsOfTheKernelAreToldApart(t *testing.T) {
	for errno, want := range map[syscall.Errno]health.Class{
		syscall.ECONNREFUSED:  health.Hard,
		syscall.ECONNRESET:    health.Hard,
		syscall.ETIMEDOUT:     health.Timeout,
		syscall.EHOSTUNREACH:  health.Soft,
		syscall.ENETUNREACH:   health.Soft,
		syscall.ENOENT:        health.Hard,
		syscall.EMFILE:        health.None,
		syscall.ENFILE:        health.None,
		syscall.EADDRNOTAVAIL: health.None,
		syscall.ENOBUFS:       health.None,
		syscall.ENOMEM:        health.None,
		syscall.EACCES:        health.None,
		syscall.EPERM:         health.None,
		syscall.EINVAL:        health.None,
	} {
		t.Run(errno.Error(), func(t *testing.T) {
			err := &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", errno)}
			pool := &redis.Pool{DialContext: func(context.Context) (redis.Conn, error) { return nil, err }}
			want := dialFault{class: want, text: errno.Error()}
			if want.class == health.None {
				want.local = 1
			}
			assertDialFails(t, pool, want)
		})
	}
}

func TestAnAddressThatIsNoneIsAMisconfiguration(t *testing.T) {
	pool := &redis.Pool{DialContext: func(ctx context.Context) (redis.Conn, error) {
		return redis.DialContext(ctx, "tcp", "host-without-port")
	}}
	assertDialFails(t, pool, dialFault{class: health.Misconfigured, text: "missing port"})
}

func TestALocalAddressThatIsNotOursIsALocalFault(t *testing.T) {
	f := redistest.NewFake(t)
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}}
	pool := &redis.Pool{DialContext: func(ctx context.Context) (redis.Conn, error) {
		return redis.DialContext(ctx, "tcp", f.Addr(), redis.DialContextFunc(d.DialContext))
	}}
	assertDialFails(t, pool, dialFault{class: health.None, local: 1, text: "cannot assign requested address"})
}

func TestTheCallersOwnLimitIsNoEvidenceInADial(t *testing.T) {
	for name, limit := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 30*time.Millisecond)
		},
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(30*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := redistest.NewFake(t)
			f.Hang()
			eachPool(t, "redis://"+f.Addr()+"?dial_timeout=20s&read_timeout=20s", func(t *testing.T, pool *redis.Pool, _ bool) {
				n, r := over(t, pool)
				ctx, cancel := limit(t.Context())
				defer cancel()
				_, err := pool.GetContext(ctx)
				require.Error(t, err)
				assertFate(t, err, true, false)
				for _, ev := range r.all() {
					assert.Equal(t, health.Ask, ev.Class, "nothing worse than a question")
				}
				assert.Zero(t, n.LocalFaults())
				assert.Zero(t, pool.ActiveCount())
			})
		})
	}
}

func TestADialOfWhoHasNoTimeLeftIsNotBegun(t *testing.T) {
	f := redistest.NewFake(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	eachPool(t, "redis://"+f.Addr(), func(t *testing.T, pool *redis.Pool, _ bool) {
		_, r := over(t, pool)
		for range 50 {
			_, err := pool.GetContext(ctx)
			require.ErrorIs(t, err, context.Canceled)
			assertFate(t, err, true, false)
		}
		assert.Empty(t, r.all())
		assert.Zero(t, f.Accepted())
	})
}

func TestAFullPoolIsNoEvidence(t *testing.T) {
	f := redistest.NewFake(t)
	t.Run("that does not wait", func(t *testing.T) {
		pool := parsed(t, "redis://"+f.Addr()+"?pool_size=1").NewPool()
		_, r := over(t, pool)
		held := pool.Get()
		defer held.Close()
		_, err := pool.GetContext(t.Context())
		require.ErrorIs(t, err, redis.ErrPoolExhausted)
		assertFate(t, err, true, false)
		assert.Empty(t, r.all())
	})
	t.Run("that waits", func(t *testing.T) {
		pool := parsed(t, "redis://"+f.Addr()+"?pool_size=1&pool_wait=true").NewPool()
		_, r := over(t, pool)
		held := pool.Get()
		defer held.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := pool.GetContext(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.False(t, node.MaybeExecuted(err))
		assert.Empty(t, r.all())
	})
}

func TestADialFunctionThatReturnsNothingIsAnErrorAndNoPanic(t *testing.T) {
	pool := &redis.Pool{Dial: func() (redis.Conn, error) { return nil, nil }}
	assertDialFails(t, pool, dialFault{class: health.Soft, text: "neither a connection nor an error"})
}

func TestAnErrorOfTheUsersDialFunctionKeepsItsIdentity(t *testing.T) {
	mine := errors.New("vault is sealed")
	pool := &redis.Pool{Dial: func() (redis.Conn, error) { return nil, mine }}
	assertDialFails(t, pool, dialFault{class: health.Soft, text: "vault is sealed"})
	_, err := pool.GetContext(t.Context())
	assert.ErrorIs(t, err, mine)
}
