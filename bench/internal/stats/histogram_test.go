package stats_test

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/redisfluster/fluster/bench/internal/stats"
)

func TestAHistogramTellsQuantilesToAPartIn64(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h stats.Histogram
	var all []time.Duration
	for range 20_000 {
		d := time.Duration(1) << random.IntN(35)
		d += time.Duration(random.Int64N(int64(d)))
		h.Add(d)
		all = append(all, d)
	}
	slices.Sort(all)
	for _, q := range []float64{0, 0.01, 0.5, 0.9, 0.99, 0.999} {
		want := all[int(q*float64(len(all)))]
		assert.InEpsilon(t, want, h.Quantile(q), 1.0/64, "quantile %v", q)
	}
}

func TestAHistogramIsExactBelow32Nanoseconds(t *testing.T) {
	for d := range 32 * time.Nanosecond {
		var h stats.Histogram
		h.Add(d)
		assert.Equal(t, d, h.Quantile(0.5))
	}
}

func TestAHistogramHoldsWhatIsOutOfRange(t *testing.T) {
	var h stats.Histogram
	h.Add(-time.Second)
	assert.Zero(t, h.Quantile(1), "a clock that went back")
	h.Add(time.Hour)
	assert.Greater(t, h.Quantile(1), time.Minute)
}

func TestAnEmptyHistogramSaysZero(t *testing.T) {
	assert.Zero(t, new(stats.Histogram).Quantile(0.99))
}

func TestAHistogramCountsWhatWasAdded(t *testing.T) {
	var h stats.Histogram
	for n := range 100 {
		assert.Equal(t, n, h.Len())
		h.Add(time.Millisecond)
	}
	assert.InEpsilon(t, time.Millisecond, h.Quantile(1), 1.0/64)
	assert.Equal(t, 100, h.Len(), "reading it changes nothing")
}

func TestMergedHistogramsHoldWhatEachHeld(t *testing.T) {
	var one, other, both, empty stats.Histogram
	for i := range 100 {
		one.Add(time.Duration(i) * time.Microsecond)
		other.Add(time.Duration(i) * time.Millisecond)
		both.Add(time.Duration(i) * time.Microsecond)
		both.Add(time.Duration(i) * time.Millisecond)
	}
	one.Merge(&other)
	one.Merge(&empty)
	assert.Equal(t, 200, one.Len())
	for q := range 100 {
		assert.Equal(t, both.Quantile(float64(q)/100), one.Quantile(float64(q)/100))
	}
	one.Reset()
	assert.Equal(t, empty, one)
}
