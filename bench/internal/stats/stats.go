// Package stats reduces the figures of repeated measurements to what may be
// said of them: a median and how far the middle half of them spreads.
package stats

import (
	"fmt"
	"slices"
)

// Summary is what repeated measurements of one thing come to.
type Summary struct {
	// Median is the middle of the figures: half of them are no larger.
	Median float64
	// Low and High are the quartiles, between which the middle half lies.
	Low, High float64
}

// Summarize returns the summary of figures, which it leaves as they are. It
// panics if there are none.
func Summarize(figures []float64) Summary {
	sorted := slices.Sorted(slices.Values(figures))
	return Summary{
		Low:    quantile(sorted, 0.25),
		Median: quantile(sorted, 0.50),
		High:   quantile(sorted, 0.75),
	}
}

// quantile returns the figure below which the share q of sorted lies, between
// two of them in proportion to the distance.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		panic("stats: there are no figures.")
	}
	at := q * float64(len(sorted)-1)
	i := int(at)
	if i+1 == len(sorted) {
		return sorted[i]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}

// Ratios returns figures[i] / base[i] for each i: the two of one round, which
// met the same state of the machine, are compared with each other and with no
// others. It panics if the lengths differ.
func Ratios(figures, base []float64) []float64 {
	if len(figures) != len(base) {
		panic(fmt.Sprintf("stats: %d figures are to be compared with %d.", len(figures), len(base)))
	}
	ratios := make([]float64, len(figures))
	for i := range figures {
		ratios[i] = figures[i] / base[i]
	}
	return ratios
}
