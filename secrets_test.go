package fluster_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// canary is a password that must never be seen.
const canary = "c4nary-pa55word"

// ledger hears everything that a cluster says about itself. What it has looked through it
// forgets, but for the first that told the password, and the end.
type ledger struct {
	mu   sync.Mutex
	buf  bytes.Buffer
	said int64 // bytes
	told string
}

// keptSaid is how much a ledger keeps of what it has looked through.
const keptSaid = 4 << 20

func (l *ledger) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.said += int64(len(p))
	if l.buf.Len() > 2*keptSaid {
		l.look()
		l.buf.Next(l.buf.Len() - keptSaid)
	}
	return l.buf.Write(p)
}

// look notes whether the password was told.
func (l *ledger) look() {
	if l.told == "" && bytes.Contains(l.buf.Bytes(), []byte(canary)) {
		l.told = l.buf.String()
	}
}

// print writes v in every way that a program might.
func (l *ledger) print(v any) {
	_, _ = fmt.Fprintf(l, "%v\n%+v\n%#v\n%s\n", v, v, v, v)
	if b, err := json.Marshal(v); err == nil {
		_, _ = l.Write(b)
	}
}

func (l *ledger) requireClean(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.look()
	require.NotZero(t, l.said)
	require.NotContains(t, l.told, canary)
}

func TestALedgerFindsThePasswordWhereverItIsTold(t *testing.T) {
	for _, before := range []int{0, 10, keptSaid, 2*keptSaid - 5, 2 * keptSaid, 5*keptSaid - 3} {
		var l ledger
		text := strings.Repeat("x", before) + canary + strings.Repeat("y", 7*keptSaid)
		for part := range slices.Chunk([]byte(text), 10_000) {
			_, _ = l.Write(part)
		}
		l.look()
		assert.Contains(t, l.told, canary, "after %d bytes", before)
		assert.LessOrEqual(t, l.buf.Len(), 3*keptSaid)
	}
}

func TestNoPasswordIsEverPrinted(t *testing.T) {
	var l ledger
	servers := startServers(t, 3, "--requirepass", canary)
	cfg := fluster.Config{
		Health:  health.Config{Interval: 20 * time.Millisecond, MaxWait: 200 * time.Millisecond},
		Logger:  slog.New(slog.NewJSONHandler(&l, nil)),
		OnEvent: func(e fluster.Event) { l.print(e) },
	}
	for i, s := range servers {
		n, err := fluster.ParseNode(fmt.Sprintf("redis://:%s@%s?name=%s&read_timeout=200ms", canary, s.Addr(), nodeName(i)))
		require.NoError(t, err)
		l.print(n)
		cfg.Nodes = append(cfg.Nodes, n)
	}
	c := newCluster(t, cfg)
	require.NoError(t, c.WaitReady(t.Context()))
	call := func() error {
		_, err := do(c, keyOf(t, c, "a"), "INCR")
		l.print(err)
		return err
	}
	require.NoError(t, call())

	// The faults that come near a password: it is refused, it was changed under
	// open connections, the node is gone, and it hangs while logging in.
	servers[1].SetPassword("another")
	servers[1].Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	waitDown(t, c, "b")
	servers[2].Kill()
	waitDown(t, c, "c")
	servers[0].Stop()
	redistest.WaitFor(t, patient, func() bool { return call() != nil && !status(t, c, "a").Live }, "a is out")
	_, err := c.GetClient("any")
	require.ErrorIs(t, err, fluster.ErrClusterEmpty)
	l.print(err)
	for _, st := range c.Nodes() {
		l.print(st)
	}
	l.print(c)
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	l.print(c.WaitReady(ctx))
	servers[0].Cont()
	waitLive(t, c, "a")
	require.NoError(t, c.Close())
	l.print(c)
	l.requireClean(t)
}
