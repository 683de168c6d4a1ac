package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestTheCacheComputesWhatItMustAndNoMore(t *testing.T) {
	redistest.NoLeaks(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), &out), out.String())
	for _, want := range []string{
		"50 callers want the same value            1 computed",
		"they expire, and are wanted again       300 computed",
		"node b is back with its data              0 computed",
		"all nodes are killed                    300 computed",
	} {
		assert.Contains(t, out.String(), want)
	}
}

func TestAnInterruptEndsTheProgram(t *testing.T) {
	redistest.NoLeaks(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	require.ErrorIs(t, run(ctx, &bytes.Buffer{}), context.Canceled)
}

func TestAStepThatComputesAnotherNumberIsAnError(t *testing.T) {
	var out bytes.Buffer
	d := &drive{out: &out}
	one := func() error { d.computed.Add(1); return nil }
	require.NoError(t, d.step(t.Context(), "one", one, 1))
	require.ErrorContains(t, d.step(t.Context(), "one", one, 2), "1 were computed, not 2")
	broken := errors.New("broken")
	require.ErrorIs(t, d.step(t.Context(), "one", func() error { return broken }, 0), broken)
}

// newCache returns a cache over one server.
func newCache(t *testing.T, compute func(context.Context, string) (string, error)) (*cache, *miniredis.Miniredis) {
	server := miniredis.RunT(t)
	cluster, err := fluster.Open(fmt.Sprintf("redis://%s?name=a&read_timeout=100ms", server.Addr()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = cluster.Close() })
	return &cache{cluster: cluster, expiry: expiry, compute: compute}, server
}

func TestWhatCannotBeComputedIsNotKept(t *testing.T) {
	redistest.NoLeaks(t)
	broken := errors.New("broken")
	c, server := newCache(t, func(context.Context, string) (string, error) { return "", broken })
	_, err := c.get(t.Context(), "key")
	require.ErrorIs(t, err, broken)
	assert.False(t, server.Exists("key"))
	c.compute = func(context.Context, string) (string, error) { return "value", nil }
	value, err := c.get(t.Context(), "key")
	require.NoError(t, err)
	assert.Equal(t, "value", value)
	assert.Greater(t, server.TTL("key"), expiry*8/10)
	assert.LessOrEqual(t, server.TTL("key"), expiry)
}

func TestACallerWhoLeavesDoesNotTakeTheOthersValueAway(t *testing.T) {
	redistest.NoLeaks(t)
	begun, finish := make(chan struct{}), make(chan struct{})
	c, _ := newCache(t, func(context.Context, string) (string, error) {
		close(begun)
		<-finish
		return "value", nil
	})
	ctx, leave := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		_, err := c.get(ctx, "key")
		first <- err
	}()
	<-begun
	leave()
	require.ErrorIs(t, <-first, context.Canceled)
	second := make(chan string, 1)
	go func() {
		value, _ := c.get(t.Context(), "key")
		second <- value
	}()
	close(finish)
	assert.Equal(t, "value", <-second)
}

func TestLifetimesAreSpread(t *testing.T) {
	c := &cache{expiry: time.Hour}
	seen := map[time.Duration]bool{}
	for range 100 {
		d := c.lifetime()
		assert.LessOrEqual(t, d, time.Hour)
		assert.Greater(t, d, 53*time.Minute)
		seen[d] = true
	}
	assert.Greater(t, len(seen), 50)
}

// Under fake time: pause is all that the program waits with.
func TestPauseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		require.NoError(t, pause(t.Context(), time.Hour))
		assert.Equal(t, time.Hour, time.Since(begun))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		require.ErrorIs(t, pause(ctx, time.Hour), context.DeadlineExceeded)
		assert.Equal(t, time.Hour+time.Minute, time.Since(begun))
	})
}
