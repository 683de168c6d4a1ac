package node

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

func TestRepliesThatHaveComeDoNotWaitForTheRestOfTheirBatch(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	n := nodeOf(t, f, "?read_timeout=0")
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	t.Cleanup(release)
	f.Handle(func(cmd []string) []byte {
		switch cmd[0] {
		case "ECHO":
			return redistest.Bulk(cmd[1])
		case "GET":
			<-held
		}
		return nil
	})
	b := NewBatch()
	for _, word := range []string{"a", "b"} {
		b.Add("ECHO", []any{word})
	}
	b.Add("GET", []any{"k"})
	require.True(t, n.Enlist(b, nil))
	Launch([]*Batch{b})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for i, word := range []string{"a", "b"} {
		require.NoError(t, b.Wait(ctx, i), "the reply has come")
		reply, err := b.Reply(ctx, i, "ECHO")
		require.NoError(t, err)
		assert.Equal(t, word, string(reply.([]byte)))
	}
	assert.False(t, b.Ended())
	release()
	require.NoError(t, b.Wait(ctx, 2))
	assert.True(t, b.Ended())
	n.Close()
	f.Close()
}
