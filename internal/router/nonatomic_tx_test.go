package router_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
)

// between is a context that ends between two steps of a call: not while one waits,
// but when the next asks.
type between struct {
	context.Context
	cancel context.CancelFunc
	over   atomic.Bool
}

func newBetween() *between {
	ctx, cancel := context.WithCancel(context.Background())
	return &between{Context: ctx, cancel: cancel}
}

func (b *between) Err() error {
	if b.over.Load() {
		b.cancel()
	}
	return b.Context.Err()
}

func TestACallWhoseContextEndsBetweenItsStepsWaitsForNoFrozenNode(t *testing.T) {
	ok, queued, dump := fixed("+OK\r\n"), fixed("+QUEUED\r\n"), fixed("$1\r\nx\r\n")
	for call, at := range map[string]struct {
		last, reply string // the last command that is answered
		others      map[string]func() []byte
	}{
		"SUNIONSTORE b:x a:set a:n": {"DEL", "+QUEUED\r\n", map[string]func() []byte{"MULTI": ok, "SADD": queued}},
		"PFMERGE b:x a:n":           {"PFMERGE", "+QUEUED\r\n", map[string]func() []byte{"MULTI": ok}},
		"RENAME b:key a:key":        {"PTTL", ":-1\r\n", map[string]func() []byte{"WATCH": ok, "DUMP": dump}},
	} {
		t.Run(call, func(t *testing.T) {
			h := newHalf(t) // its pools have no limits for reads
			h.real.Do("SADD", "a:set", 1)
			ctx := newBetween()
			at.others[at.last] = func() []byte {
				ctx.over.Store(true)
				h.fake.Hang()
				return []byte(at.reply)
			}
			h.answer(at.others)
			_, err := h.do(ctx, call)
			require.ErrorIs(t, err, context.Canceled)
			assert.True(t, node.SafeToRetry(err))
			assert.Equal(t, int64(0), h.real.Do("EXISTS", "a:key"))
		})
	}
}
