package redisserver_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

func TestServersServeUntilTheyAreClosed(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	servers, err := redisserver.Start(t.Context(), 2)
	require.NoError(t, err)
	defer redisserver.CloseAll(servers)
	for _, s := range servers {
		conn, err := redis.Dial("tcp", s.Addr())
		require.NoError(t, err)
		_, err = conn.Do("SET", "at", s.Addr())
		require.NoError(t, err)
		at, err := redis.String(conn.Do("GET", "at"))
		require.NoError(t, err)
		assert.Equal(t, s.Addr(), at, "each is a server of its own")
		require.NoError(t, conn.Close())
	}
	redisserver.CloseAll(servers)
	for _, s := range servers {
		_, err := net.Dial("tcp", s.Addr())
		require.Error(t, err)
	}
	assertNothingLeft(t)
}

func TestServersSpeakTLSToThoseWhoTrustThem(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	cert, err := redisserver.NewCertificate()
	require.NoError(t, err)
	defer cert.Close()
	servers, err := redisserver.StartTLS(t.Context(), 1, cert)
	require.NoError(t, err)
	defer redisserver.CloseAll(servers)
	conn, err := servers[0].Dial(t.Context(), time.Second)
	require.NoError(t, err)
	defer conn.Close()
	pong, err := redis.String(conn.Do("PING"))
	require.NoError(t, err)
	assert.Equal(t, "PONG", pong)
	_, err = servers[0].CPU()
	require.NoError(t, err)
	_, err = tls.Dial("tcp", servers[0].Addr(), nil)
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError))
	plain, err := redis.Dial("tcp", servers[0].Addr())
	require.NoError(t, err)
	defer plain.Close()
	_, err = plain.Do("PING")
	require.Error(t, err)
	redisserver.CloseAll(servers)
	cert.Close()
	assertNothingLeft(t)
}

func TestAStartThatIsCancelledLeavesNothing(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := redisserver.Start(ctx, 1)
	require.ErrorIs(t, err, context.Canceled)
	assertNothingLeft(t)
}

func TestAMissingRedisServerIsNamed(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv("PATH", t.TempDir())
	_, err := redisserver.Start(t.Context(), 1)
	require.ErrorContains(t, err, "redis-server")
	assertNothingLeft(t)
}

func assertNothingLeft(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(os.TempDir())
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestAServerTellsItsProcessorTime(t *testing.T) {
	servers, err := redisserver.Start(t.Context(), 1)
	require.NoError(t, err)
	defer redisserver.CloseAll(servers)
	before, err := servers[0].CPU()
	require.NoError(t, err)
	conn, err := redis.Dial("tcp", servers[0].Addr())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Do("EVAL", "for i = 1, 3000000 do end", 0)
	require.NoError(t, err)
	after, err := servers[0].CPU()
	require.NoError(t, err)
	assert.Greater(t, after, before)
}

func TestAProxyServesUntilItIsClosed(t *testing.T) {
	if _, err := redisserver.FindProxy(); err != nil {
		t.Skip(err)
	}
	t.Setenv("TMPDIR", t.TempDir())
	servers, err := redisserver.Start(t.Context(), 2)
	require.NoError(t, err)
	defer redisserver.CloseAll(servers)
	proxy, err := redisserver.StartProxy(t.Context(), []string{servers[0].Addr(), servers[1].Addr()})
	require.NoError(t, err)
	defer proxy.Close()
	conn, err := redis.Dial("tcp", proxy.Addr())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Do("SET", "a", "1")
	require.NoError(t, err)
	values, err := redis.Strings(conn.Do("MGET", "a", "b", "c"))
	require.NoError(t, err)
	assert.Equal(t, []string{"1", "", ""}, values)
	_, err = proxy.CPU()
	require.NoError(t, err)
	proxy.Close()
	redisserver.CloseAll(servers)
	assertNothingLeft(t)
}
