package stats_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redisfluster/fluster/bench/internal/stats"
)

func TestASummaryIsTheMedianAndTheQuartiles(t *testing.T) {
	tests := []struct {
		name    string
		figures []float64
		want    stats.Summary
	}{
		{"one figure is all three", []float64{7}, stats.Summary{Low: 7, Median: 7, High: 7}},
		{"between two it goes by proportion", []float64{10, 20}, stats.Summary{Low: 12.5, Median: 15, High: 17.5}},
		{"an odd number has a middle", []float64{5, 1, 4, 2, 3}, stats.Summary{Low: 2, Median: 3, High: 4}},
		{"an even number has two", []float64{4, 1, 3, 2}, stats.Summary{Low: 1.75, Median: 2.5, High: 3.25}},
		{"one wild figure moves none", []float64{1, 2, 3, 4, 1e9}, stats.Summary{Low: 2, Median: 3, High: 4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, stats.Summarize(tt.figures))
		})
	}
}

func TestSummarizeLeavesTheFiguresInTheirOrder(t *testing.T) {
	figures := []float64{3, 1, 2}
	stats.Summarize(figures)
	assert.Equal(t, []float64{3, 1, 2}, figures)
}

func TestSummarizeRefusesNothing(t *testing.T) {
	assert.Panics(t, func() { stats.Summarize(nil) })
}

func TestRatiosCompareRoundByRound(t *testing.T) {
	assert.Equal(t, []float64{2, 0.5, 1}, stats.Ratios([]float64{20, 10, 3}, []float64{10, 20, 3}))
}

func TestAMachineThatSlowsDownLeavesTheRatiosAlone(t *testing.T) {
	base, figures := []float64{100, 50, 10}, []float64{90, 45, 9}
	assert.Equal(t, stats.Summary{Low: 0.9, Median: 0.9, High: 0.9}, stats.Summarize(stats.Ratios(figures, base)))
}

func TestRatiosRefuseListsOfDifferentLength(t *testing.T) {
	assert.Panics(t, func() { stats.Ratios([]float64{1}, []float64{1, 2}) })
}
