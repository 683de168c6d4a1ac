package router_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/router"
)

// Do shares nothing.
func (lettered) Do(context.Context, int, string, []any) (any, bool, error) { return nil, false, nil }

// sharing is a lettered cluster whose calls may share connections, as those of a
// cluster do.
type sharing struct {
	lettered
	nodes []*node.Node
	on    atomic.Bool
	long  atomic.Int64 // calls that were not begun by Begin
	shift atomic.Int64 // keys are at home so many nodes later
	out   atomic.Bool  // all nodes are
}

func (s *sharing) Do(ctx context.Context, n int, cmd string, args []any) (any, bool, error) {
	s.long.Add(1)
	if !s.on.Load() {
		return nil, false, nil
	}
	return s.nodes[n].Do(ctx, cmd, args)
}

// View is that of this moment.
func (s *sharing) View() router.View { return shifted{s.lettered, int(s.shift.Load()), s.out.Load()} }

// shifted is the view of a lettered cluster of which the letters stand for other nodes, or
// of which no node lives.
type shifted struct {
	lettered
	by  int
	out bool
}

var errAllOut = errors.New("no node lives")

func (s shifted) Locate(key string) (int, error) {
	if s.out {
		return 0, errAllOut
	}
	n, err := s.lettered.Locate(key)
	return (n + s.by) % s.Len(), err
}

func (s shifted) Live() ([]int, error) {
	if s.out {
		return nil, errAllOut
	}
	return s.lettered.Live()
}

// paths are the two ways that a lone call can go: over a connection of a pool, or
// over that which all callers share.
var paths = map[string]func(t testing.TB, r *routed){
	"over the pool":              func(testing.TB, *routed) {},
	"over the shared connection": func(t testing.TB, r *routed) { r.share(t) },
}

// onBothPaths runs a test on each of them.
func onBothPaths(t *testing.T, test func(t *testing.T, prepare func(t testing.TB, r *routed))) {
	for name, prepare := range paths {
		t.Run(name, func(t *testing.T) { test(t, prepare) })
	}
}

// share makes the next calls share a connection of each node, some dozens of them,
// though they come one by one. It fails the test if they do not.
func (r *routed) share(t testing.TB) {
	t.Helper()
	r.sharing.on.Store(true)
	for n := range r.nodes {
		r.shareOn(t, n)
	}
}

func (r *routed) shareOn(t testing.TB, n int) {
	t.Helper()
	const tries = 1000
	for range tries {
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 4 {
					// It may meet a drop that the test has had a server do before.
					_, _, _ = r.nodes[n].Do(context.Background(), "PING", nil)
				}
			})
		}
		wg.Wait()
		if r.sharesNow(t, n) {
			return
		}
	}
	t.Fatalf("calls to node %d do not share a connection", n)
}

// sharesNow reports whether a lone call goes over the connection that all callers share,
// and not over one that it has to itself, which borrows nothing either.
func (r *routed) sharesNow(t testing.TB, n int) bool {
	t.Helper()
	call, begun := r.nodes[n].Begin(context.Background(), "PING", nil)
	if !begun {
		return false
	}
	_, err := call.Wait(context.Background(), "PING")
	return err == nil
}

// countBorrows counts how often an idle connection of a pool is borrowed.
func countBorrows(p *redis.Pool) *atomic.Int64 {
	var n atomic.Int64
	test := p.TestOnBorrow
	p.TestOnBorrow = func(c redis.Conn, lastUsed time.Time) error {
		n.Add(1)
		return test(c, lastUsed)
	}
	return &n
}
