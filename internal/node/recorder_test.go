package node_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
)

// ample is a limit that only a broken library reaches.
const ample = 30 * time.Second

// recorder is a sink that remembers.
type recorder struct {
	mu       sync.Mutex
	evidence []health.Evidence
}

func (r *recorder) take(_ context.Context, ev health.Evidence) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.evidence = append(r.evidence, ev)
}

func (r *recorder) all() []health.Evidence {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]health.Evidence(nil), r.evidence...)
}

func (r *recorder) classes() []health.Class {
	var classes []health.Class
	for _, ev := range r.all() {
		classes = append(classes, ev.Class)
	}
	return classes
}

// over makes a node of a pool.
func over(t testing.TB, pool *redis.Pool) (*node.Node, *recorder) {
	t.Helper()
	require.True(t, node.Claim(pool))
	r := &recorder{}
	n := node.New(node.Config{Name: "n1", Addr: "addr:1", Pool: pool, Sink: r.take, Timeout: time.Second})
	t.Cleanup(n.Close)
	return n, r
}

// parsed reads a URL that must be right.
func parsed(t testing.TB, rawURL string) *node.Endpoint {
	t.Helper()
	e, err := node.ParseURL(rawURL)
	require.NoError(t, err)
	return e
}

// withOption returns a URL with one more option.
func withOption(rawURL, option string) string {
	if strings.Contains(rawURL, "?") {
		return rawURL + "&" + option
	}
	return rawURL + "?" + option
}

// usersPool returns a pool for a URL's server as a user would build it, by
// redigo's own dialer. The URL's options are left out, but for the time-outs.
func usersPool(t testing.TB, rawURL string, options ...redis.DialOption) *redis.Pool {
	t.Helper()
	u, err := url.Parse(rawURL)
	require.NoError(t, err)
	for name, option := range map[string]func(time.Duration) redis.DialOption{
		"dial_timeout": redis.DialConnectTimeout, "read_timeout": redis.DialReadTimeout, "write_timeout": redis.DialWriteTimeout,
	} {
		limit := time.Second
		if text := u.Query().Get(name); text != "" {
			limit, err = time.ParseDuration(text)
			require.NoError(t, err)
		}
		options = append(options, option(limit))
	}
	if u.Scheme == "unix" {
		return &redis.Pool{MaxIdle: 8, DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "unix", u.Path, options...)
		}}
	}
	u.RawQuery = ""
	return &redis.Pool{MaxIdle: 8, DialContext: func(ctx context.Context) (redis.Conn, error) {
		return redis.DialURLContext(ctx, u.String(), slices.Clip(options)...)
	}}
}

// eachPool runs a test with a pool that the library built, and with one that a
// user did.
func eachPool(t *testing.T, rawURL string, test func(t *testing.T, pool *redis.Pool, own bool)) {
	t.Helper()
	t.Run("own pool", func(t *testing.T) { test(t, parsed(t, rawURL).NewPool(), true) })
	t.Run("user's pool", func(t *testing.T) { test(t, usersPool(t, rawURL), false) })
}

// assertFate says what the caller may conclude from an error.
func assertFate(t testing.TB, err error, safe, maybe bool) {
	t.Helper()
	assert.Equal(t, safe, node.SafeToRetry(err), "safe to retry after %v", err)
	assert.Equal(t, maybe, node.MaybeExecuted(err), "maybe executed after %v", err)
}
