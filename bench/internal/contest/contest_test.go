package contest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/bench/internal/contest"
)

// logOf returns n entrants that add their number to the log when they run.
func logOf(n int) (entrants []contest.Entrant[int], log *[]int) {
	log = new([]int)
	for i := range n {
		entrants = append(entrants, contest.Entrant[int]{
			Name: string(rune('a' + i)),
			Measure: func(context.Context) (int, error) {
				*log = append(*log, i)
				return i*1000 + len(*log), nil
			},
		})
	}
	return entrants, log
}

func TestEveryoneRunsOnceForPracticeAndOnceARound(t *testing.T) {
	entrants, log := logOf(3)
	results, err := contest.Run(t.Context(), 4, entrants)
	require.NoError(t, err)
	assert.Len(t, *log, 3+4*3)
	require.Len(t, results, 3)
	for i, figures := range results {
		assert.Len(t, figures, 4)
		for _, f := range figures {
			assert.Equal(t, i, f/1000, "a figure stands with the entrant that it is of")
			assert.Greater(t, f%1000, 3, "practice counts for nothing")
		}
	}
}

func TestTheOrderIsFairAfterTwoRoundsPerEntrant(t *testing.T) {
	const n = 4
	entrants, log := logOf(n)
	_, err := contest.Run(t.Context(), 2*n, entrants)
	require.NoError(t, err)

	var at, follows [n][n]int
	rounds := (*log)[n:]
	for i, who := range rounds {
		at[who][i%n]++
		if i%n > 0 {
			follows[who][rounds[i-1]]++
		}
	}
	for i := range n {
		for j := range n {
			assert.Equal(t, 2, at[i][j], "entrant %d is at place %d", i, j)
			assert.Equal(t, follows[i][j], follows[j][i], "%d follows %d as often as the other way round", i, j)
		}
	}
}

func TestAnErrorEndsTheContestAndNamesTheEntrant(t *testing.T) {
	entrants, log := logOf(2)
	broken := errors.New("broken")
	entrants[1].Measure = func(context.Context) (int, error) { return 0, broken }
	_, err := contest.Run(t.Context(), 3, entrants)
	require.ErrorIs(t, err, broken)
	assert.ErrorContains(t, err, "b: ")
	assert.Len(t, *log, 1)
}

func TestASliceThatWasCutShortIsNoMeasurement(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	entrants := []contest.Entrant[int]{{Name: "a", Measure: func(context.Context) (int, error) {
		if runs++; runs == 3 {
			cancel()
		}
		return runs, nil
	}}}
	_, err := contest.Run(ctx, 10, entrants)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, 3, runs)
}
