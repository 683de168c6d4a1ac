package node_test

import (
	"fmt"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

const (
	maxReply = 1 << 20
	spare    = 1 << 20 // what a refusal may cost besides
)

// hostileReplies are what no sane server sends, by rows of the fault matrix.
var hostileReplies = map[int]map[string]string{
	37: {
		"no CR":                  "+OK\n",
		"an empty line":          "\r\n",
		"letters for a length":   "$abc\r\n",
		"a negative length":      "$-2\r\n",
		"a negative array":       "*-2\r\n",
		"a bulk string too long": "$1\r\nab\r\n",
		"a number too large":     ":9223372036854775808\r\n",
		"zero bytes":             strings.Repeat("\x00", 100),
	},
	40: {
		"the largest length":      "$9223372036854775807\r\n",
		"a length that overflows": "$18446744073709551616\r\n",
		"a gigabyte":              "$1073741824\r\n",
		"a hundred million":       "*100000000\r\n",
		"arrays in arrays":        strings.Repeat("*1\r\n", 1_000_000),
		"wide arrays in arrays":   strings.Repeat("*20000\r\n", 40),
		"an endless line":         "+" + strings.Repeat("x", 4<<20),
		"an endless error":        "-" + strings.Repeat("x", 4<<20),
		"an endless number":       ":" + strings.Repeat("0", 4<<20),
		"an endless length":       "$" + strings.Repeat("0", 4<<20),
		"endless garbage":         strings.Repeat("x", 4<<20),
		"many long lines":         "*20000\r\n" + strings.Repeat("+"+strings.Repeat("x", 1000)+"\r\n", 5000),
	},
	41: {
		"HTTP":            "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
		"a push of RESP3": ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n",
		"a map of RESP3":  "%1\r\n+k\r\n+v\r\n",
		"a null of RESP3": "_\r\n",
	},
}

// hostileUses are ways to ask a node over a connection that is there: rc, which is
// lent, or for nil one that is shared.
var hostileUses = map[string]func(t *testing.T, w *watched, rc redis.Conn) error{
	"Do": func(_ *testing.T, _ *watched, rc redis.Conn) error { return uses["Do"](rc) },
	"DoContext": func(t *testing.T, _ *watched, rc redis.Conn) error {
		return second(redis.DoContext(rc, t.Context(), "GET", "k"))
	},
	"Receive": func(_ *testing.T, _ *watched, rc redis.Conn) error { return uses["Receive"](rc) },
	"sharing": func(t *testing.T, w *watched, _ redis.Conn) error { return second(w.share(t.Context(), t, "GET", "k")) },
}

func TestRows37And40And41AHostileReplyFailsOneCallAndCostsNoMemory(t *testing.T) {
	redistest.NoLeaks(t)
	for number, replies := range hostileReplies {
		t.Run(fmt.Sprint(number), func(t *testing.T) {
			row := redistest.Faults(t, number, fmt.Sprintf("%d hostile replies, each by Do, DoContext, Receive and sharing", len(replies)), "a fake server")
			row.Remark = "one call each"
			for name, reply := range replies {
				for how := range hostileUses {
					t.Run(name+", "+how, func(t *testing.T) {
						row.Calls, row.Lost = row.Calls+1, row.Lost+1
						row.Longest = max(row.Longest, assertHarmless(t, reply, how))
					})
				}
			}
		})
	}
}

// assertHarmless checks what one hostile reply does, and returns how long its call
// took.
func assertHarmless(t *testing.T, reply, how string) time.Duration {
	t.Helper()
	f := redistest.NewFake(t)
	w := watchURL(t, "redis://:"+canary+"@"+f.Addr(), fmt.Sprintf("?max_reply=%d&read_timeout=30s", maxReply))
	var rc redis.Conn
	if how == "sharing" {
		warmUp(t, w)
	} else {
		rc = w.borrow(t)
	}
	accepted := f.Accepted()
	f.Answer(reply)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := time.Now()
	err := hostileUses[how](t, w, rc)
	took := time.Since(begun)
	runtime.ReadMemStats(&after)
	var typed *node.Error
	require.ErrorAs(t, err, &typed)
	assert.ErrorContains(t, err, "reply refused")
	assert.NotContains(t, inEveryForm(err), canary)
	assert.True(t, node.MaybeExecuted(err))
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(maxReply+spare), "bytes allocated")
	assert.Equal(t, []health.Class{health.Soft}, w.classes())
	f.Resume()
	if rc != nil {
		assert.Error(t, rc.Err())
		_ = rc.Close()
		requireHealthy(t, w.borrow(t), 1)
		assert.Equal(t, accepted+1, f.Accepted(), "the connection was dropped")
	}
	assert.NoError(t, w.assertEcho(t.Context(), t, 1, ""))
	return took
}

func TestAReplyAsLargeAsAllowedIsRead(t *testing.T) {
	f := redistest.NewFake(t)
	w := watchURL(t, "redis://"+f.Addr(), fmt.Sprintf("?max_reply=%d&read_timeout=30s", maxReply))
	rc := w.borrow(t)
	value := strings.Repeat("x", maxReply)
	require.NoError(t, second(rc.Do("SET", "k", value)))
	got, err := redis.String(rc.Do("GET", "k"))
	require.NoError(t, err)
	assert.True(t, got == value)
	require.NoError(t, second(rc.Do("SET", "k", value+"x")))
	assert.ErrorContains(t, second(rc.Do("GET", "k")), "claims more than 1048576 bytes")
}

func TestRow3AfterARestartNoCallFailsOnAnIdleConnection(t *testing.T) {
	const idle, calls = 20, 40
	row := redistest.Faults(t, 3, "idle connections are cut: over TCP, a Unix socket and TLS", "kill -9, SHUTDOWN, CLIENT KILL")
	for name, restart := range map[string]func(s *redistest.Server){
		"restarted":    (*redistest.Server).Restart,
		"CLIENT KILL":  func(s *redistest.Server) { s.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
		"shut down":    func(s *redistest.Server) { s.Shutdown(); s.Restart() },
		"left in idle": func(*redistest.Server) {},
	} {
		t.Run(name, func(t *testing.T) {
			redistest.NoLeaks(t)
			onServers(t, func(t *testing.T, s *redistest.Server, w *watched) {
				fill(t, w.Pool(), idle)
				restart(s)
				before := s.Info("stats")["total_connections_received"]
				for i := range calls {
					rc := w.Pool().Get()
					requireHealthy(t, rc, i)
					require.NoError(t, rc.Close())
					row.Calls++
				}
				if name == "left in idle" {
					assert.Equal(t, idle, w.Pool().IdleCount())
					assert.Equal(t, addOne(t, before), s.Info("stats")["total_connections_received"], "none was dialed")
				}
				assert.Empty(t, w.all(), "what nobody met is no evidence")
			})
		})
	}
}

// addOne adds to a figure of INFO the connection that asks for it the next time.
func addOne(t *testing.T, figure string) string {
	var n int
	_, err := fmt.Sscan(figure, &n)
	require.NoError(t, err)
	return fmt.Sprint(n + 1)
}

// onServers runs a test with real servers that the library dials, over TCP, a
// Unix socket and TLS.
func onServers(t *testing.T, test func(t *testing.T, s *redistest.Server, w *watched)) {
	t.Run("TCP", func(t *testing.T) {
		s := redistest.Start(t)
		test(t, s, watchURL(t, s.URL(), ""))
	})
	t.Run("Unix", func(t *testing.T) {
		s := redistest.StartUnix(t)
		test(t, s, watchURL(t, s.URL(), ""))
	})
	t.Run("TLS", func(t *testing.T) {
		ca := redistest.NewCA(t)
		s := redistest.StartTLS(t, ca, ca.Server())
		file, err := redis.Strings(s.Do("CONFIG", "GET", "tls-ca-cert-file"), nil)
		require.NoError(t, err)
		test(t, s, watchURL(t, s.URL(), "?read_timeout=30s&dial_timeout=30s&tls_ca="+url.QueryEscape(file[1])))
	})
}

// fill makes n idle connections.
func fill(t testing.TB, pool *redis.Pool, n int) {
	t.Helper()
	var conns []redis.Conn
	for i := range n {
		conns = append(conns, pool.Get())
		requireHealthy(t, conns[i], i)
	}
	for _, rc := range conns {
		require.NoError(t, rc.Close())
	}
	require.Equal(t, n, pool.IdleCount())
}
