package plot

import (
	"math"
	"slices"
	"strconv"
)

// axis is a logarithmic scale.
type axis struct {
	low, high float64 // figures at its ends
	from, to  float64 // pixels of its ends
}

// newAxis fits an axis to figures, all larger than zero.
func newAxis(figures []float64, from, to float64) axis {
	a := axis{low: 1, high: 10, from: from, to: to}
	if len(figures) > 0 {
		a.low, a.high = slices.Min(figures), slices.Max(figures)
	}
	if a.high <= a.low {
		a.low, a.high = a.low/2, a.low*2
	}
	return a
}

// at returns the pixel of figure.
func (a axis) at(figure float64) float64 {
	return a.from + (a.to-a.from)*math.Log(figure/a.low)/math.Log(a.high/a.low)
}

// ticks returns round figures on the axis: 1, 2 and 5 times powers of ten, or on a
// long axis the powers alone.
func (a axis) ticks() []float64 {
	steps := []float64{1, 2, 5}
	if a.high/a.low > 1e4 {
		steps = steps[:1]
	}
	var all []float64
	for exp := math.Floor(math.Log10(a.low)); exp <= math.Log10(a.high); exp++ {
		for _, step := range steps {
			if at := step * math.Pow(10, exp); at >= a.low && at <= a.high {
				all = append(all, at)
			}
		}
	}
	return all
}

// figure writes a tick: "0.5", "4096", "20k", "1M".
func figure(x float64) string {
	switch {
	case x >= 1e6:
		return strconv.FormatFloat(x/1e6, 'f', -1, 64) + "M"
	case x >= 1e4:
		return strconv.FormatFloat(x/1e3, 'f', -1, 64) + "k"
	}
	return strconv.FormatFloat(x, 'f', -1, 64)
}
