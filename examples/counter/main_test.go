package main

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

func TestNothingIsCountedTwiceOrLostWhileANodeIsRestarted(t *testing.T) {
	redistest.NoLeaks(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), 150, &out), out.String())
	for _, want := range []string{
		"killing node b, the home of", "restarting node b",
		"can be read: the others stand on node b", "   0 sums are not what was counted",
	} {
		assert.Contains(t, out.String(), want)
	}
	assert.Regexp(t, `\n(5\d\d|600) counted, \d+ unanswered\n`, out.String(), "nearly all")
}

func TestAnInterruptEndsTheProgram(t *testing.T) {
	redistest.NoLeaks(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	require.ErrorIs(t, run(ctx, 150, &bytes.Buffer{}), context.Canceled)
}

func TestTheVerdictIsWhatTheLedgerSays(t *testing.T) {
	l := newLedger()
	for range 3 {
		l.note("n", true, nil)
	}
	l.note("n", false, errors.New("the answer was lost"))
	l.note("n", true, errors.New("it was not sent"))
	counted, unsure := l.totals()
	assert.Equal(t, []int64{3, 1}, []int64{counted, unsure})
	assert.Equal(t, 5, l.tries())
	for sum, right := range map[int64]bool{2: false, 3: true, 4: true, 5: false} {
		assert.Equal(t, right, len(l.wrong(map[string]int64{"n": sum})) == 0, sum)
	}
	assert.Len(t, l.wrong(nil), 1, "a sum that is not there is zero")
}
