package node_test

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

// chatterbox is a server that answers every PING, and sometimes says more than
// it was asked for.
type chatterbox struct {
	url string
	tls *tls.Config // nil: none

	mu       sync.Mutex // guards the following, and writing once a connection is set up
	answer   string     // to the next PING, if not PONG
	surplus  []string   // to leave together with the next reply
	accepted []*corked
}

// corked is a connection on which, when it is held, what is written stays until
// it is let go, and then leaves at once.
type corked struct {
	net.Conn
	held  bool
	buf   bytes.Buffer
	outer net.Conn // what is spoken over: this one, or TLS on it
}

func (c *corked) Write(p []byte) (int, error) {
	if c.held {
		return c.buf.Write(p)
	}
	return c.Conn.Write(p)
}

// say writes texts, each in a write of its own, that leave together.
func (c *corked) say(texts ...string) {
	c.held = true
	for _, text := range texts {
		_, _ = c.outer.Write([]byte(text))
	}
	c.held = false
	_, _ = c.buf.WriteTo(c.Conn)
}

// startChatterbox starts a server, over TLS if there are settings for it.
func startChatterbox(t testing.TB, scheme string, settings *tls.Config) *chatterbox {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &chatterbox{url: scheme + "://" + l.Addr().String(), tls: settings}
	var all sync.WaitGroup
	all.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { s.serve(nc) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		s.hangUp()
		all.Wait()
	})
	return s
}

// serve answers one connection's commands.
func (s *chatterbox) serve(nc net.Conn) {
	defer nc.Close()
	c := &corked{Conn: nc}
	c.outer = c
	if s.tls != nil {
		tc := tls.Server(c, s.tls)
		if tc.Handshake() != nil {
			return
		}
		c.outer = tc
	}
	s.mu.Lock()
	s.accepted = append(s.accepted, c)
	s.mu.Unlock()
	for lines := bufio.NewScanner(c.outer); lines.Scan(); {
		if lines.Text() == "PING" {
			s.mu.Lock()
			answer := cmp.Or(s.answer, "+PONG\r\n")
			c.say(append([]string{answer}, s.surplus...)...)
			s.answer, s.surplus = "", nil
			s.mu.Unlock()
		}
	}
}

// addToNext lets texts leave together with the next reply.
func (s *chatterbox) addToNext(texts ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.surplus = texts
}

// answerNext makes text the reply to the next PING.
func (s *chatterbox) answerNext(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = text
}

// say writes a text to all clients now.
func (s *chatterbox) say(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.accepted {
		c.say(text)
	}
}

func (s *chatterbox) hangUp() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.accepted {
		_ = c.Close()
	}
}

func (s *chatterbox) dials() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.accepted)
}

// onChatterboxes runs a test with a library-dialed node, plain and over TLS.
func onChatterboxes(t *testing.T, options string, test func(t *testing.T, s *chatterbox, w *watched)) {
	t.Run("plain", func(t *testing.T) {
		redistest.NoLeaks(t)
		s := startChatterbox(t, "redis", nil)
		test(t, s, watchURL(t, s.url, "?"+options))
	})
	for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			redistest.NoLeaks(t)
			cert := redistest.NewCA(t).Server()
			s := startChatterbox(t, "rediss", &tls.Config{
				Certificates: []tls.Certificate{cert}, MaxVersion: version,
				DynamicRecordSizingDisabled: true, // a write is a record
			})
			test(t, s, watchURL(t, s.url, "?tls_ca="+url.QueryEscape(trustFile(t, cert))+"&"+options))
		})
	}
}

// trustFile writes a certificate to a file, for a client to trust.
func trustFile(t testing.TB, cert tls.Certificate) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "trusted.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]})
	require.NoError(t, os.WriteFile(file, block, 0o600))
	return file
}

const patientOptions = "read_timeout=30s&write_timeout=30s&dial_timeout=30s"

// ping asks a pooled connection, and fails the test on any other answer.
func ping(t testing.TB, pool *redis.Pool) {
	t.Helper()
	rc := pool.Get()
	defer rc.Close()
	got, err := redis.String(rc.Do("PING"))
	require.NoError(t, err)
	require.Equal(t, "PONG", got, "another command's reply")
}

func TestRow39AReplyThatNobodyAskedForReachesNobody(t *testing.T) {
	redistest.Faults(t, 39, "a reply that nobody asked for, to an idle connection or with another", "a server that says more than it is asked")
	for name, surplus := range map[string][]string{
		"with a reply, one packet": {"+surplus\r\n"},
		"two with a reply":         {"+surplus\r\n", "+more\r\n"},
		"a part of one":            {"+surpl"},
		"a long one":               {"$8000\r\n" + strings.Repeat("x", 8000) + "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			onChatterboxes(t, patientOptions, func(t *testing.T, s *chatterbox, w *watched) {
				ping(t, w.Pool())
				s.addToNext(surplus...)
				ping(t, w.Pool())
				ping(t, w.Pool())
				assert.Equal(t, 2, s.dials(), "the connection was not used again")
			})
		})
	}
}

func TestRow39AReplyThatNobodyAskedForIsSeenWhereverTheReadersBufferEnds(t *testing.T) {
	onChatterboxes(t, patientOptions, func(t *testing.T, s *chatterbox, w *watched) {
		const bufferSize = 4096 // of redigo's reader
		for length := bufferSize - 20; length <= bufferSize; length++ {
			ping(t, w.Pool())
			value := strings.Repeat("x", length-len("$4000\r\n\r\n"))
			s.answerNext(fmt.Sprintf("$%d\r\n%s\r\n+surplus\r\n", len(value), value))
			rc := w.Pool().Get()
			got, err := redis.String(rc.Do("PING"))
			require.NoError(t, err)
			require.Equal(t, value, got)
			require.NoError(t, rc.Close())
		}
		ping(t, w.Pool())
	})
}

func TestAReplyThatComesToAnIdleConnectionReachesNobody(t *testing.T) {
	onChatterboxes(t, patientOptions, func(t *testing.T, s *chatterbox, w *watched) {
		ping(t, w.Pool())
		s.say("+surplus\r\n")
		redistest.WaitFor(t, longEnough, func() bool { // it is under way
			require.NoError(t, w.Pool().Get().Close())
			return s.dials() == 2
		}, "the connection is not lent again")
		ping(t, w.Pool())
	})
}

func TestAConnectionThatTheServerClosedIsNotLent(t *testing.T) {
	onChatterboxes(t, patientOptions, func(t *testing.T, s *chatterbox, w *watched) {
		ping(t, w.Pool())
		s.hangUp()
		redistest.WaitFor(t, longEnough, func() bool {
			require.NoError(t, w.Pool().Get().Close())
			return s.dials() == 2
		}, "the connection is not lent again")
		ping(t, w.Pool())
		assert.Empty(t, w.all())
	})
}

func TestAQuietConnectionIsUsedAgain(t *testing.T) {
	onChatterboxes(t, "read_timeout=50ms&dial_timeout=30s", func(t *testing.T, s *chatterbox, w *watched) {
		for range 100 {
			ping(t, w.Pool())
		}
		passed := time.Now().Add(60 * time.Millisecond)
		redistest.WaitFor(t, longEnough, func() bool { return time.Now().After(passed) }, "the last read's deadline has passed")
		for range 3 {
			ping(t, w.Pool())
		}
		assert.Equal(t, 1, s.dials())
	})
}

func TestTheLookAtAnIdleConnectionAllocatesNothing(t *testing.T) {
	onChatterboxes(t, patientOptions, func(t *testing.T, s *chatterbox, w *watched) {
		rc := w.dialed(t)
		require.NoError(t, second(rc.Do("PING")))
		check, lastUsed := w.Pool().TestOnBorrow, time.Now()
		assert.Zero(t, testing.AllocsPerRun(100, func() {
			if err := check(rc, lastUsed); err != nil {
				t.Error(err)
			}
		}))
	})
}
