package main

import (
	"context"
	"errors"
	"math"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

// fakeClient answers without a server.
type fakeClient struct {
	calls  atomic.Int64
	answer func(call int64) ([]byte, error)
}

func (f *fakeClient) Get(string) ([]byte, error) { return f.answer(f.calls.Add(1)) }
func (f *fakeClient) Close()                     {}

func (f *fakeClient) Set(string, []byte) error {
	_, err := f.answer(f.calls.Add(1))
	return err
}

func (f *fakeClient) MGet(keys []string) ([][]byte, error) {
	values := make([][]byte, len(keys))
	for i := range keys {
		values[i], _ = f.answer(f.calls.Add(1))
	}
	return values, nil
}

func loadOn(answer func(int64) ([]byte, error)) (*load, *fakeClient) {
	f, op := &fakeClient{answer: answer}, operationOf("get-64")
	return &load{
		name: "fake", call: op.of(f), keys: []string{"k"}, value: make([]byte, op.size), crew: newCrew(op, 3),
		length: 20 * time.Millisecond,
	}, f
}

func TestALoadCountsEveryCall(t *testing.T) {
	l, f := loadOn(func(int64) ([]byte, error) { return make([]byte, 64), nil })
	begun := time.Now()
	s, err := l.run(t.Context())
	require.NoError(t, err)
	took := s.time * float64(f.calls.Load()) // back to the whole slice
	assert.GreaterOrEqual(t, took, float64(l.length)*0.999)
	assert.LessOrEqual(t, took, float64(time.Since(begun)))
	assert.Zero(t, s.failed)
}

func TestEveryCallerCallsOnceAtLeast(t *testing.T) {
	l, f := loadOn(func(int64) ([]byte, error) { return make([]byte, 64), nil })
	l.length = 1
	_, err := l.run(t.Context())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, f.calls.Load(), int64(3))
}

func TestALoadForgetsTheOneBefore(t *testing.T) {
	l, f := loadOn(func(int64) ([]byte, error) { return make([]byte, 64), nil })
	_, err := l.run(t.Context())
	require.NoError(t, err)
	before := f.calls.Load()
	_, err = l.run(t.Context())
	require.NoError(t, err)
	assert.EqualValues(t, f.calls.Load()-before, l.crew.tally().took.Len())
}

func TestALoadTellsHowLongCallsTook(t *testing.T) {
	const slow = 2 * time.Millisecond
	l, _ := loadOn(func(int64) ([]byte, error) {
		<-time.After(slow)
		return make([]byte, 64), nil
	})
	s, err := l.run(t.Context())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, s.p50, float64(slow)*63/64)
	assert.GreaterOrEqual(t, s.p99, s.p50)
	assert.GreaterOrEqual(t, s.p999, s.p99)
}

func TestAFailedCallIsCountedForItself(t *testing.T) {
	broken := errors.New("broken")
	l, f := loadOn(func(call int64) ([]byte, error) {
		if call == 10 {
			return nil, broken
		}
		return make([]byte, 64), nil
	})
	s, err := l.run(t.Context())
	require.NoError(t, err)
	assert.Equal(t, 1, s.failed)
	require.ErrorIs(t, s.fault, broken)
	assert.EqualValues(t, f.calls.Load()-1, l.crew.tally().took.Len())
}

func TestALoadWithoutSuccessIsAnError(t *testing.T) {
	broken := errors.New("broken")
	l, _ := loadOn(func(int64) ([]byte, error) { return nil, broken })
	_, err := l.run(t.Context())
	require.ErrorIs(t, err, broken)
}

func TestAValueOfTheWrongSizeEndsTheLoad(t *testing.T) {
	l, _ := loadOn(func(int64) ([]byte, error) { return []byte("short"), nil })
	l.length = time.Hour
	_, err := l.run(t.Context())
	require.ErrorContains(t, err, "5 bytes")
}

func TestAStuckClientDoesNotKeepARunFromEnding(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	free := make(chan struct{})
	defer close(free)
	l, _ := loadOn(func(int64) ([]byte, error) {
		cancel()
		<-free
		return make([]byte, 64), nil
	})
	_, err := l.run(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "unanswered")
}

func TestALoadGoesOnWhileAllProcessorsCompute(t *testing.T) {
	l, f := loadOn(func(int64) ([]byte, error) { return make([]byte, 64), nil })
	l.busy = true
	before := runtime.NumGoroutine()
	s, err := l.run(t.Context())
	require.NoError(t, err)
	assert.GreaterOrEqual(t, f.calls.Load(), int64(3))
	assert.True(t, math.IsNaN(s.cpu), "what calls cost is not told")
	assert.Positive(t, s.time)
	// Not assert.Eventually, which asks in a goroutine of its own.
	redistest.WaitFor(t, stuck, func() bool { return runtime.NumGoroutine() <= before }, "nobody computes any more")
}

func TestAllKeysAreDrawnAlike(t *testing.T) {
	const turns = 1000
	keys := randomKeys(2*neighbors + 5) // of which the last are fewer than neighbors
	c := newCrew(operationOf(mgetID), 1)[0]
	drawn := make(map[string]int)
	for range turns {
		c.choose(keys)
		for _, key := range c.keys {
			drawn[key]++
		}
	}
	require.Len(t, drawn, len(keys))
	for _, n := range drawn {
		assert.InEpsilon(t, turns*many/len(keys), n, 0.2)
	}
}

func TestALoadThatIsCancelledEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	l, _ := loadOn(func(int64) ([]byte, error) {
		cancel()
		return make([]byte, 64), nil
	})
	l.length = time.Hour
	_, err := l.run(ctx)
	require.ErrorIs(t, err, context.Canceled)
}
