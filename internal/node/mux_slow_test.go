package node_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// trickler stands between clients and a server, and hands on what the server says
// byte by byte with pauses when it is told to.
type trickler struct {
	net.Listener
	server string
	slow   atomic.Bool
	ended  chan struct{}
	wg     sync.WaitGroup
}

func startTrickler(t *testing.T, server string) *trickler {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &trickler{Listener: l, server: server, ended: make(chan struct{})}
	p.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			p.wg.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		close(p.ended)
		l.Close()
		p.wg.Wait()
	})
	return p
}

func (p *trickler) serve(client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).Dial("tcp", p.server)
	if err != nil {
		return
	}
	defer server.Close()
	p.wg.Go(func() {
		_, _ = io.Copy(server, client)
		server.Close()
	})
	buf := make([]byte, 1<<16)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		for out := buf[:n]; len(out) > 0; {
			part := p.portion(len(out))
			if _, err := client.Write(out[:part]); err != nil {
				return
			}
			out = out[part:]
		}
	}
}

// portion returns how much of n bytes to hand on next, after a pause if it is little.
func (p *trickler) portion(n int) int {
	if !p.slow.Load() {
		return n
	}
	select {
	case <-time.After(5 * time.Millisecond):
	case <-p.ended:
	}
	return 1
}

func TestAReplyThatTricklesInIsNotAwaitedForEver(t *testing.T) {
	for name, callers := range map[string]int{"alone": 1, "shared": 16} {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t)
			s.Do("SET", "k", strings.Repeat("x", 24<<10)) // two minutes of it
			p := startTrickler(t, s.Addr())
			w := watchURL(t, "redis://"+p.Addr().String(), "?read_timeout=200ms&dial_timeout=30s")
			if callers > 1 {
				warmUp(t, w)
			} else {
				_, err := w.share(t.Context(), t, "PING")
				require.NoError(t, err)
			}
			p.slow.Store(true)
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					_, err := w.share(t.Context(), t, "GET", "k")
					var late interface{ Timeout() bool }
					assert.True(t, errors.As(err, &late) && late.Timeout(), err)
				})
			}
			wg.Wait()
			assert.Contains(t, w.classes(), health.Timeout)
			w.Close()
		})
	}
}

func TestASlowReplyHoldsUpNobodyWhoCallsLater(t *testing.T) {
	const callers = 64
	f := redistest.NewFake(t)
	release := make(chan struct{})
	f.Handle(func(cmd []string) []byte {
		if cmd[0] == "EVAL" {
			<-release
		}
		return nil
	})
	w := watchURL(t, "redis://"+f.Addr(), "")
	warmUp(t, w)
	slow := background(func() error {
		_, err := w.share(t.Context(), t, "EVAL", "a script that takes long", 0)
		return err
	})
	redistest.WaitFor(t, longEnough, func() bool { return f.Received("EVAL") > 0 }, "the slow call is sent")
	ctx, cancel := context.WithCancel(t.Context())
	var early sync.WaitGroup
	for i := range callers { // stand behind it
		early.Go(func() { _ = w.assertEcho(ctx, t, i, "") })
	}
	passed := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := w.share(ctx, t, "PING")
		return err == nil
	}
	redistest.WaitFor(t, longEnough, passed, "nobody gets past a slow reply")
	before := f.Accepted()
	crowd(callers, 5000, func(i int) { assert.NoError(t, w.assertEcho(t.Context(), t, callers+i, "")) })
	assert.Less(t, f.Accepted()-before, callers, "each caller has dialed")
	cancel()
	early.Wait()
	close(release)
	assert.Error(t, slow(t), "the fake knows scripts")
	crowd(callers, 500, func(i int) { assert.NoError(t, w.assertEcho(t.Context(), t, i, "")) })
	assert.Empty(t, w.accusations())
	w.Close()
}
