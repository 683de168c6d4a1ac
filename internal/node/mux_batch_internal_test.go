package node

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
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

func TestOfABatchThatIsCutOnlyWhatLeftMayHaveRun(t *testing.T) {
	for cut := range 4 {
		b := NewBatch()
		for range 4 {
			b.Add("INCR", []any{"k"})
		}
		require.False(t, b.take(int64(1)), "the first was answered")
		b.fail(io.EOF, uint64(b.commands[cut].begins))
		require.True(t, b.Ended())
		assert.Equal(t, int64(1), b.commands[0].reply)
		for i := 1; i < 4; i++ {
			assert.Equal(t, &failure{io.EOF, i < cut}, b.commands[i].reply, "%d of 4, cut before %d", i, cut)
		}
	}
}

func TestAnEmptyBatchIsRefused(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	n := nodeOf(t, f, "")
	assert.False(t, n.Enlist(NewBatch(), nil))
	n.Close()
	f.Close()
}

func TestABatchOfAsManyAsMayShareIsUsedAgain(t *testing.T) {
	b := NewBatch()
	for range maxBatchOps {
		b.Add("GET", []any{"k"})
	}
	for range maxBatchOps {
		b.Answer("v", nil)
	}
	b.Release()
	assert.Zero(t, b.Len())
}

func TestAStallIsToldOnceForEachCommandOfABatchThatItFails(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	held := make(chan struct{})
	t.Cleanup(func() { close(held) })
	f.Handle(func(cmd []string) []byte {
		if cmd[0] == "GET" {
			<-held
		}
		return nil
	})
	e, err := ParseURL("redis://" + f.Addr() + "?read_timeout=500ms")
	require.NoError(t, err)
	p := e.NewPool()
	require.True(t, Claim(p))
	var stalls atomic.Int32
	n := New(Config{Name: "a", Pool: p, Timeout: patience, Sink: func(_ context.Context, ev health.Evidence) {
		if ev.Class == health.Timeout {
			stalls.Add(1)
		}
	}})
	t.Cleanup(n.Close)
	n.shared.warmth.Store(1 << 30)
	_, _, err = n.Do(t.Context(), "PING", nil)
	require.NoError(t, err)

	b := NewBatch()
	b.Add("ECHO", []any{"a"})
	for range 4 {
		b.Add("GET", []any{"k"})
	}
	require.True(t, n.Enlist(b, nil))
	Launch([]*Batch{b})
	require.NoError(t, b.Wait(t.Context(), 4))
	failed := 0
	for i := range b.Len() {
		if _, err := b.Reply(t.Context(), i, "GET"); err != nil {
			failed++
		}
	}
	assert.GreaterOrEqual(t, failed, 4)
	assert.EqualValues(t, failed, stalls.Load())
}
