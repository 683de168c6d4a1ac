package node_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// longEnough bounds waits for what is sure to come, however slow the machine is.
const longEnough = 30 * time.Second

// notebook is a sink that keeps all evidence.
type notebook struct {
	mu  sync.Mutex
	evs []health.Evidence // guarded by mu
}

func (b *notebook) sink(_ context.Context, ev health.Evidence) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.evs = append(b.evs, ev)
}

// all returns the evidence so far.
func (b *notebook) all() []health.Evidence {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.evs)
}

// classes returns the classes of the evidence so far.
func (b *notebook) classes() []health.Class {
	classes := []health.Class{}
	for _, ev := range b.all() {
		classes = append(classes, ev.Class)
	}
	return classes
}

// accusations returns the evidence that tells against the node.
func (b *notebook) accusations() []health.Evidence {
	return slices.DeleteFunc(b.all(), func(ev health.Evidence) bool { return ev.Class <= health.Ask })
}

// watched is a node whose evidence is kept.
type watched struct {
	*node.Node
	*notebook
	own bool // dialed by the library
}

// watchPool makes p the pool of a watched node.
func watchPool(t testing.TB, p *redis.Pool) *watched {
	t.Helper()
	require.True(t, node.Claim(p))
	w := &watched{notebook: new(notebook)}
	w.Node = node.New(node.Config{Name: "a", Addr: "there", Pool: p, Sink: w.sink, Timeout: longEnough})
	t.Cleanup(w.Close)
	return w
}

// watchURL watches a node that the library dials. Its time-outs are long unless
// the URL says otherwise; options start with a question mark or are empty.
func watchURL(t testing.TB, url, options string) *watched {
	t.Helper()
	w := watchPool(t, urlPool(t, url, options))
	w.own = true
	return w
}

func urlPool(t testing.TB, url, options string) *redis.Pool {
	t.Helper()
	if options == "" {
		options = "?read_timeout=30s&write_timeout=30s&dial_timeout=30s"
	}
	e, err := node.ParseURL(url + options)
	require.NoError(t, err)
	return e.NewPool()
}

// unhurried is a user's pool whose time-outs no test reaches.
var unhurried = redistest.PoolOptions{Connect: longEnough, Read: longEnough, Write: longEnough}

// dialer is what watches a node of a fake server.
type dialer func(t testing.TB, f *redistest.Fake) *watched

// bothDialers are the two ways in which a node's connections come about.
func bothDialers() map[string]dialer {
	return map[string]dialer{
		"dialed by the library": func(t testing.TB, f *redistest.Fake) *watched {
			return watchURL(t, "redis://"+f.Addr(), "")
		},
		"dialed by the user": func(t testing.TB, f *redistest.Fake) *watched {
			return watchPool(t, f.Pool(unhurried))
		},
	}
}

// onBothDialers runs a test with a fake server for each way of dialing.
func onBothDialers(t *testing.T, test func(t *testing.T, f *redistest.Fake, w *watched)) {
	for name, watch := range bothDialers() {
		t.Run(name, func(t *testing.T) {
			redistest.NoLeaks(t)
			f := redistest.NewFake(t)
			test(t, f, watch(t, f))
		})
	}
}

// borrow takes a connection from the pool, to be given back by the test's end
// at the latest.
func (w *watched) borrow(t testing.TB) redis.Conn {
	t.Helper()
	rc := w.Pool().Get()
	require.NoError(t, rc.Err())
	t.Cleanup(func() { _ = rc.Close() })
	return rc
}

// dialed returns a connection of the node that no pool holds.
func (w *watched) dialed(t testing.TB) redis.Conn {
	t.Helper()
	rc, err := w.Pool().DialContext(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = rc.Close() })
	return rc
}

// silent is the state of a node that does not answer.
func silent(cause error) health.State {
	return health.State{Silent: true, Generation: 1, Cause: cause}
}

// background runs f on a goroutine of its own and returns what waits for its error.
func background(f func() error) func(t testing.TB) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	return func(t testing.TB) error {
		t.Helper()
		select {
		case err := <-done:
			return err
		case <-time.After(longEnough):
			t.Fatal("the call does not return")
			return nil
		}
	}
}

// requireHealthy asks a connection something that only it can answer.
func requireHealthy(t testing.TB, rc redis.Conn, nonce any) {
	t.Helper()
	echo := fmt.Sprint("nonce ", nonce)
	got, err := redis.String(rc.Do("ECHO", echo))
	require.NoError(t, err)
	require.Equal(t, echo, got, "the connection gives another command's reply")
}
