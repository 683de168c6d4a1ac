package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

// brief are the arguments of a run that shows nothing but that it works.
func brief(more ...string) []string {
	return append([]string{
		"-rounds", "1", "-time", "5ms", "-goroutines", "1,4", "-nodes", "3,5", "-routing-keys", "1000", "-command-keys", "1500",
	}, more...)
}

func TestARunWritesAllTables(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out, log strings.Builder
	require.NoError(t, run(t.Context(), brief(), &out, &log))
	for _, title := range []string{"Key to node", "GET through the pool", "The stale check's share", "Around the command"} {
		assert.Contains(t, out.String(), "## "+title+"\n")
	}
	_, commandTable, _ := strings.Cut(out.String(), "## GET through the pool")
	for _, k := range kinds {
		assert.Equal(t, 2, strings.Count(commandTable, "| "+k.name+" "), "%s has a row for each number of goroutines", k.name)
	}
	assert.Contains(t, out.String(), "github.com/redis/go-redis/v9 v9.")
	assert.Contains(t, log.String(), "GET, 4 goroutines")
}

func TestAPartRunsByItself(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // without redis-server
	var out strings.Builder
	require.NoError(t, run(t.Context(), brief("-only", routing), &out, io.Discard))
	assert.Contains(t, out.String(), "Key to node")
	assert.NotContains(t, out.String(), "GET through the pool")
}

func TestARunThatIsCancelledEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, brief("-rounds", "1000000"), io.Discard, io.Discard), context.Canceled)
}

func TestSettingsAreRefusedByName(t *testing.T) {
	tests := map[string][]string{
		"-rounds":      {"-rounds", "0"},
		"-time":        {"-time", "0s"},
		"-only":        {"-only", "everything"},
		"-goroutines":  {"-goroutines", "8,0"},
		"-nodes":       {"-nodes", "few"},
		"routing-keys": {"-routing-keys", "0"},
		`"more"`:       {"more"},
	}
	for name, args := range tests {
		_, err := parseSettings(args, io.Discard)
		assert.ErrorContains(t, err, name)
	}
}

func TestAListReplacesTheDefault(t *testing.T) {
	s, err := parseSettings([]string{"-goroutines", "2,16"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, []int{2, 16}, s.goroutines)
	assert.Equal(t, []int{3, 10, 100, 1000}, s.nodes)
}

func TestKeysAreTheSameInEveryRunAndOfTheSizesPromised(t *testing.T) {
	keys := randomKeys(10_000)
	assert.Equal(t, keys, randomKeys(10_000))
	sizes, seen := make(map[int]bool), make(map[string]bool)
	for _, key := range keys {
		sizes[len(key)], seen[key] = true, true
	}
	assert.Len(t, seen, len(keys), "no key comes twice")
	assert.Len(t, sizes, maxKey-minKey+1)
	assert.True(t, sizes[minKey] && sizes[maxKey])
}

func TestTheSlotTableSharesKeysEvenly(t *testing.T) {
	table := newSlotTable(3)
	counts := make([]int, 3)
	for _, key := range randomKeys(30_000) {
		counts[table.at(key)]++
	}
	for _, n := range counts {
		assert.InDelta(t, 10_000, n, 500)
	}
}

func TestEveryClientGetsWhatIsThere(t *testing.T) {
	children, err := redisserver.Start(t.Context(), 2)
	require.NoError(t, err)
	defer redisserver.CloseAll(children)
	addrs, keys := []string{children[0].Addr(), children[1].Addr()}, randomKeys(2500)
	require.NoError(t, fill(t.Context(), addrs, keys))
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c, err := k.open(addrs, 4)
			require.NoError(t, err)
			defer c.Close()
			for _, key := range keys {
				value, err := c.Get(key)
				require.NoError(t, err)
				require.Len(t, value, valueSize)
			}
			_, err = c.Get("missing")
			require.Error(t, err)
		})
	}
}

// fakeClient answers without a server.
type fakeClient struct {
	calls  atomic.Int64
	answer func(call int64) ([]byte, error)
}

func (f *fakeClient) Get(string) ([]byte, error) { return f.answer(f.calls.Add(1)) }
func (f *fakeClient) Close()                     {}

func loadOn(answer func(int64) ([]byte, error)) (*load, *fakeClient) {
	f := &fakeClient{answer: answer}
	return &load{name: "fake", client: f, keys: []string{"k"}, callers: 3, length: 20 * time.Millisecond}, f
}

func TestALoadCountsEveryCall(t *testing.T) {
	l, f := loadOn(func(int64) ([]byte, error) { return make([]byte, valueSize), nil })
	begun := time.Now()
	s, err := l.run(t.Context())
	require.NoError(t, err)
	took := s.time * float64(f.calls.Load()) // back to the whole slice
	assert.GreaterOrEqual(t, took, float64(l.length)*0.999)
	assert.LessOrEqual(t, took, float64(time.Since(begun)))
}

func TestAFailedGetEndsTheLoad(t *testing.T) {
	broken := errors.New("broken")
	l, _ := loadOn(func(call int64) ([]byte, error) {
		if call == 10 {
			return nil, broken
		}
		return make([]byte, valueSize), nil
	})
	l.length = time.Hour
	_, err := l.run(t.Context())
	require.ErrorIs(t, err, broken)
}

func TestAValueOfTheWrongSizeEndsTheLoad(t *testing.T) {
	l, _ := loadOn(func(int64) ([]byte, error) { return []byte("short"), nil })
	l.length = time.Hour
	_, err := l.run(t.Context())
	require.ErrorContains(t, err, "5 bytes")
}
