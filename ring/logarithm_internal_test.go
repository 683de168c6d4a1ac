package ring

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// lots returns lots of all sizes: about every power of two from both ends, and
// random ones.
func lots() []uint64 {
	all := []uint64{0, 1, math.MaxUint64 - 1, math.MaxUint64}
	for shift := 1; shift < 64; shift++ {
		all = append(all, 1<<shift, 1<<shift-1, 1<<shift+1, ^uint64(1<<shift), ^uint64(1<<shift-1))
	}
	r := rand.New(rand.NewPCG(3, 0))
	for range 100_000 {
		all = append(all, r.Uint64(), r.Uint64()>>r.IntN(64), ^(r.Uint64() >> r.IntN(64)))
	}
	return all
}

func TestTheCostOfALotIsItsLogarithm(t *testing.T) {
	for _, lot := range lots() {
		want := -math.Log1p(-float64(lot)/(1<<64)) / math.Ln2
		switch rest := ^lot; {
		case rest == 0:
			want = 65
		case rest < 1<<53: // then it is exact as a float64, and lot is not
			want = 64 - math.Log2(float64(rest))
		}
		got := float64(logTable().cost(lot)) / (1 << logBits)
		if math.Abs(want-got) > want/500+1e-16 {
			t.Fatalf("lot %#x costs %v, want %v", lot, got, want)
		}
	}
}

func TestALargerLotNeverCostsLess(t *testing.T) {
	for _, lot := range lots() {
		if lot < math.MaxUint64 {
			if a, b := logTable().cost(lot), logTable().cost(lot+1); a > b {
				t.Fatalf("lot %#x costs %#x, the next %#x", lot, a, b)
			}
		}
	}
}

// This is what lets chooseWeighted do without most logarithms.
func TestALotCostsNoLessThanItself(t *testing.T) {
	for _, lot := range lots() {
		if cost := logTable().cost(lot); cost < lot>>(64-logBits) {
			t.Fatalf("lot %#x costs %#x", lot, cost)
		}
	}
}

func TestEqualWeightsChooseAlikeWithAndWithoutLogarithms(t *testing.T) {
	r := rand.New(rand.NewPCG(4, 0))
	var among []candidate
	for i := range 50 {
		among = append(among, candidate{seed: r.Uint64(), weight: 1, node: uint16(i)})
		for range 500 {
			h := r.Uint64()
			require.Equal(t, chooseEqual(h, among), chooseWeighted(h, among))
		}
	}
	assert.Equal(t, -1, chooseEqual(1, nil))
	assert.Equal(t, -1, chooseWeighted(1, nil))
}
