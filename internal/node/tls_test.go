package node_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// trusting returns the option that trusts the authority of a server, and only
// that. The server has the file.
func trusting(t testing.TB, s *redistest.Server) string {
	t.Helper()
	reply, err := redis.Strings(s.Try("CONFIG", "GET", "tls-ca-cert-file"))
	require.NoError(t, err)
	require.Len(t, reply, 2)
	return "tls_ca=" + url.QueryEscape(reply[1])
}

// showing writes a certificate and its key and returns the options that name them.
func showing(t testing.TB, cert tls.Certificate) string {
	t.Helper()
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	require.NoError(t, err)
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
		return url.QueryEscape(path)
	}
	return "tls_cert=" + write("cert.pem", "CERTIFICATE", cert.Certificate[0]) +
		"&tls_key=" + write("key.pem", "PRIVATE KEY", key)
}

// local returns the same URL with the host named localhost.
func local(s *redistest.Server) string { return "rediss://localhost:" + strconv.Itoa(s.Port()) }

// usersTLS returns a pool as a user builds it, with TLS settings of his own.
func usersTLS(t testing.TB, rawURL string, settings *tls.Config) *redis.Pool {
	t.Helper()
	return usersPool(t, rawURL, redis.DialTLSConfig(settings), redis.DialTLSHandshakeTimeout(300*time.Millisecond))
}

func assertDialWorks(t *testing.T, pool *redis.Pool) {
	t.Helper()
	_, r := over(t, pool)
	c, err := pool.GetContext(t.Context())
	require.NoError(t, err)
	defer c.Close()
	_, err = c.Do("SET", "k", "v")
	require.NoError(t, err)
	assert.Empty(t, r.all())
}

func TestAServersCertificateIsVerified(t *testing.T) {
	ca, other := redistest.NewCA(t), redistest.NewCA(t)
	right := redistest.StartTLS(t, ca, ca.Server())
	foreign := redistest.StartTLS(t, other, other.Server())
	expired := redistest.StartTLS(t, ca, ca.Expired())
	elsewhere := redistest.StartTLS(t, ca, ca.WrongHost())
	trust := trusting(t, right)

	t.Run("and one that is right is taken", func(t *testing.T) {
		assertDialWorks(t, parsed(t, withOption(right.URL(), trust)).NewPool())
		assertDialWorks(t, parsed(t, withOption(local(right), trust)).NewPool())
		assertDialWorks(t, parsed(t, withOption(elsewhere.URL(), trust+"&tls_name=elsewhere.invalid")).NewPool())
		assertDialWorks(t, usersTLS(t, right.URL(), ca.Config()))
	})
	for name, row := range map[string]struct {
		url, options, text string
	}{
		"the system does not trust it": {right.URL(), "", "unknown authority"},
		"of another authority":         {foreign.URL(), trust, "unknown authority"},
		"that has run out":             {expired.URL(), trust, "expired"},
		"of another host":              {elsewhere.URL(), trust, "doesn't contain any IP SANs"},
		"of another name":              {right.URL(), trust + "&tls_name=elsewhere.invalid", "not elsewhere.invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			assertDialFails(t, parsed(t, withOption(row.url, row.options)).NewPool(),
				dialFault{class: health.Misconfigured, text: row.text})
		})
	}
	t.Run("by a user's pool", func(t *testing.T) {
		for _, s := range []*redistest.Server{foreign, expired, elsewhere} {
			assertDialFails(t, usersTLS(t, s.URL(), ca.Config()), dialFault{class: health.Misconfigured, text: "certificate"})
		}
	})
}

func TestAClientsCertificateIsShownWhereTheServerWantsOne(t *testing.T) {
	ca, other := redistest.NewCA(t), redistest.NewCA(t)
	for _, version := range []string{"TLSv1.2", "TLSv1.3"} {
		t.Run(version, func(t *testing.T) {
			s := redistest.StartTLS(t, ca, ca.Server(), "--tls-auth-clients", "yes", "--tls-protocols", version)
			at := withOption(s.URL(), trusting(t, s))
			t.Run("shown", func(t *testing.T) {
				assertDialWorks(t, parsed(t, at+"&"+showing(t, ca.Client())).NewPool())
				assertDialWorks(t, usersTLS(t, s.URL(), ca.Config(ca.Client())))
			})
			t.Run("not shown", func(t *testing.T) {
				err := assertTurnedAway(t, parsed(t, at).NewPool())
				assert.Contains(t, err.Error(), "TLS client certificate?")
			})
			t.Run("not shown by a user's pool", func(t *testing.T) {
				_ = assertTurnedAway(t, usersTLS(t, s.URL(), ca.Config()))
			})
			t.Run("of another authority", func(t *testing.T) {
				err := assertTurnedAway(t, parsed(t, at+"&"+showing(t, other.Client())).NewPool())
				assert.NotContains(t, err.Error(), "client certificate?", "it was shown one")
			})
		})
	}
}

// assertTurnedAway wants a dial to fail since the server did not like the
// client. The server says why and hangs up at the same moment, and which of the
// two the client sees is chance: either way it is known in the dial.
func assertTurnedAway(t *testing.T, pool *redis.Pool) error {
	t.Helper()
	_, r := over(t, pool)
	_, err := pool.GetContext(t.Context())
	require.Error(t, err)
	assertFate(t, err, true, false)
	require.Len(t, r.all(), 1)
	assert.Contains(t, []health.Class{health.Misconfigured, health.Broken}, r.all()[0].Class, "%v", err)
	return err
}

// tlsPeers accepts connections, shakes hands and hangs up. It returns its port
// and what the handshakes agreed on.
func tlsPeers(t *testing.T, settings *tls.Config) (string, <-chan tls.ConnectionState) {
	t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", settings)
	require.NoError(t, err)
	states := make(chan tls.ConnectionState, 16)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			tc := c.(*tls.Conn)
			_ = tc.SetDeadline(time.Now().Add(ample))
			if tc.Handshake() == nil {
				states <- tc.ConnectionState()
			}
			_ = tc.Close()
		}
	}()
	t.Cleanup(func() { _ = l.Close(); <-done })
	_, port, err := net.SplitHostPort(l.Addr().String())
	require.NoError(t, err)
	return port, states
}

func TestTheServerNameIsTheHostOfTheURL(t *testing.T) {
	ca := redistest.NewCA(t)
	trust := trusting(t, redistest.StartTLS(t, ca, ca.Server()))
	port, states := tlsPeers(t, &tls.Config{Certificates: []tls.Certificate{ca.Server()}})
	for at, want := range map[string]string{
		"rediss://localhost:" + port:                         "localhost",
		"valkeys://localhost:" + port:                        "localhost",
		"rediss://:" + port:                                  "localhost",
		"rediss://127.0.0.1:" + port:                         "", // addresses are verified but not named
		"rediss://127.0.0.1:" + port + "?tls_name=localhost": "localhost",
	} {
		t.Run(at, func(t *testing.T) {
			pool := parsed(t, withOption(at, trust)).NewPool()
			over(t, pool)
			_, err := pool.GetContext(t.Context())
			require.Error(t, err, "the server hangs up")
			assert.NotContains(t, err.Error(), "handshake")
			select {
			case state := <-states:
				assert.Equal(t, want, state.ServerName)
				assert.GreaterOrEqual(t, state.Version, uint16(tls.VersionTLS12))
			case <-time.After(ample):
				t.Fatal("no handshake succeeded")
			}
		})
	}
}

func TestAServerThatHangsUpAfterTheHandshakeMayWantACertificate(t *testing.T) {
	ca := redistest.NewCA(t)
	trust := trusting(t, redistest.StartTLS(t, ca, ca.Server()))
	port, _ := tlsPeers(t, &tls.Config{Certificates: []tls.Certificate{ca.Server()}})
	at := "rediss://localhost:" + port + "?" + trust
	assertDialFails(t, parsed(t, at).NewPool(), dialFault{class: health.Broken, text: "TLS client certificate?"})
	_, err := overPool(t, at+"&"+showing(t, ca.Client())).GetContext(t.Context())
	require.Error(t, err)
	assert.NotContains(t, err.Error(), "TLS client certificate?", "it was shown one")
}

func overPool(t *testing.T, url string) *redis.Pool {
	t.Helper()
	n, _ := over(t, parsed(t, url).NewPool())
	return n.Pool()
}

func TestAServerWithoutModernTLSIsNotSpokenTo(t *testing.T) {
	ca := redistest.NewCA(t)
	trust := trusting(t, redistest.StartTLS(t, ca, ca.Server()))
	port, _ := tlsPeers(t, &tls.Config{
		Certificates: []tls.Certificate{ca.Server()},
		MinVersion:   tls.VersionTLS10, MaxVersion: tls.VersionTLS11,
	})
	assertDialFails(t, parsed(t, "rediss://localhost:"+port+"?"+trust).NewPool(),
		dialFault{class: health.Misconfigured, text: "protocol version"})
}

func TestAStalledHandshakeEndsWithTheDialsLimit(t *testing.T) {
	f := redistest.NewFake(t)
	f.Hang()
	assertDialFails(t, parsed(t, "rediss://"+f.Addr()+"?dial_timeout=100ms").NewPool(),
		dialFault{class: health.Timeout, text: "no connection within 100ms"})
	assertDialFails(t, usersTLS(t, "rediss://"+f.Addr(), &tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS12}),
		dialFault{class: health.Timeout})
}

func TestAStalledHandshakeEndsWithTheCallersLimit(t *testing.T) {
	f := redistest.NewFake(t)
	f.Hang()
	pool := parsed(t, "rediss://"+f.Addr()+"?dial_timeout=0").NewPool()
	_, r := over(t, pool)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := pool.GetContext(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.Equal(t, []health.Class{health.Ask}, r.classes())
}

func TestAPlainServerBehindTLSIsFoundInTheDial(t *testing.T) {
	s := redistest.Start(t)
	// It waits for the end of what it takes for a command.
	assertDialFails(t, parsed(t, "rediss://"+s.Addr()+"?dial_timeout=200ms").NewPool(), dialFault{class: health.Timeout})
}

func TestAServerThatAnswersAHandshakeWithSomethingElseIsAMisconfiguration(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = c.Write([]byte("-ERR Protocol error: unauthenticated multibulk length\r\n"))
			_, _ = io.Copy(io.Discard, c)
			_ = c.Close()
		}
	}()
	at := "rediss://" + l.Addr().String()
	assertDialFails(t, parsed(t, at).NewPool(), dialFault{class: health.Misconfigured, text: "does not look like a TLS handshake"})
	assertDialFails(t, usersTLS(t, at, &tls.Config{ServerName: "localhost", MinVersion: tls.VersionTLS12}),
		dialFault{class: health.Misconfigured})
}

func TestATLSServerBehindAPlainDialIsFoundInTheDial(t *testing.T) {
	ca := redistest.NewCA(t)
	s := redistest.StartTLS(t, ca, ca.Server())
	eachPool(t, "redis://"+s.Addr(), func(t *testing.T, pool *redis.Pool, _ bool) {
		_, r := over(t, pool)
		_, err := pool.GetContext(t.Context())
		require.Error(t, err)
		var ne *node.Error
		require.ErrorAs(t, err, &ne)
		t.Log(err)
		assert.Contains(t, []health.Class{health.Soft, health.Broken}, r.all()[0].Class, "%v", err)
	})
}
