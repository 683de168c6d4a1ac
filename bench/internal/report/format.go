package report

import (
	"fmt"
	"math"
	"strconv"

	"github.com/redisfluster/fluster/bench/internal/stats"
)

// Ratio writes a ratio with its quartiles, such as "0.97 (0.95–0.99)".
func Ratio(s stats.Summary) string {
	return fmt.Sprintf("%s (%s–%s)", short(s.Median), short(s.Low), short(s.High))
}

// short writes a ratio with two decimals, or with none from a hundred up.
func short(x float64) string {
	switch {
	case x < 10:
		return strconv.FormatFloat(x, 'f', 2, 64)
	case x < 100:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 0, 64)
}

// Figure writes x with one decimal, or in thousands from ten thousand up:
// "18.9", "412.0", "21.4k".
func Figure(x float64) string {
	if x >= 10_000 {
		return strconv.FormatFloat(x/1000, 'f', 1, 64) + "k"
	}
	return strconv.FormatFloat(x, 'f', 1, 64)
}

// Count writes how often something happens per operation, with one decimal
// unless it is whole to within that: what the runtime does beside the
// measurement makes no fraction worth reading.
func Count(x float64) string {
	if math.Abs(x-math.Round(x)) < 0.05 {
		return strconv.FormatFloat(math.Abs(math.Round(x)), 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'f', 1, 64)
}
