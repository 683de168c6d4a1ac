package router_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestALargeTransactionDoesNotWaitForANodeThatReadsNoMore(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=2m&write_timeout=2m")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	over := make(chan struct{})
	defer close(over)
	f[0].Handle(func(cmd []string) []byte {
		if cmd[0] == "SET" {
			cancel()
			<-over
		}
		return redistest.Simple("OK")
	})
	value := strings.Repeat("x", 1<<20) // much more than a socket takes
	begun := time.Now()
	_, err := r.Tx(ctx, []string{"a"}, func(tx redis.Conn) error {
		for range 32 {
			if err := tx.Send("SET", "a", value); err != nil {
				return err
			}
		}
		return nil
	})
	require.ErrorIs(t, err, context.Canceled)
	assert.Less(t, time.Since(begun), patient)
	assert.True(t, node.SafeToRetry(err), "EXEC was not sent: %v", err)
	assert.Zero(t, f[0].Received("EXEC"))
}

func TestALargeTransactionIsExecutedWhole(t *testing.T) {
	r, s := servers(t, 1, "")
	want := make([]any, 0, 300)
	replies, err := r.Tx(t.Context(), []string{"a"}, func(tx redis.Conn) error {
		for n := range cap(want) {
			want = append(want, int64(n+1))
			if err := tx.Send("RPUSH", "a", strings.Repeat("x", n*10)); err != nil {
				return err
			}
		}
		return nil
	})
	require.NoError(t, err)
	assert.Equal(t, want, replies)
	assert.Equal(t, int64(len(want)), s[0].Do("LLEN", "a"))
	r.requireIdle(t)
	_, err = r.Tx(t.Context(), []string{"a"}, func(tx redis.Conn) error {
		for n := range 10 {
			_ = tx.Send("LSET", "a", 0, strings.Repeat("y", 5000))
			if n == 5 {
				_ = tx.Send("EVAL", "return 1", 1, "a", strings.Repeat("z", 20000))
			}
		}
		return nil
	})
	require.NoError(t, err)
	r.requireIdle(t)
	assert.Equal(t, "PONG", s[0].Do("PING"))
}
