package ring_test

import (
	"fmt"
	"strconv"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redisfluster/fluster/ring"
)

func TestAHundredEqualNodesShareTenMillionKeysEvenly(t *testing.T) {
	const nodes, keys, workers = 100, 10_000_000, 4
	v := build(t, equalNodes(nodes)).View(nil)

	var parts [workers][nodes]int
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			var key []byte
			for i := w; i < keys; i += workers {
				key = strconv.AppendInt(append(key[:0], "user:"...), int64(i), 10)
				parts[w][v.Locate(string(key))]++
			}
		})
	}
	wg.Wait()

	counts, total := make([]int, nodes), 0
	for _, part := range parts {
		for i, c := range part {
			counts[i] += c
			total += c
		}
	}
	assert.Equal(t, keys, total)
	assert.LessOrEqual(t, maxOverMean(counts), 1.06)
}

func TestNoNodeHoldsMoreThanItsQuotaOfSlots(t *testing.T) {
	r := newRand(2)
	for _, n := range []int{1, 2, 3, 10, 31, 100, 400} {
		for _, weights := range [][]int{{1}, {1, 2, 3}, {5, 1}, {1000, 1, 20}} {
			t.Run(fmt.Sprintf("nodes=%d/weights=%d", n, weights), func(t *testing.T) {
				nodes, total := weightedNodes(n, weights...), 0
				for i := range nodes {
					nodes[i].Name = fmt.Sprintf("10.%d.%d.%d:6379", r.IntN(256), i/256, i%256)
					total += nodes[i].Weight
				}
				counts := tally(build(t, nodes).View(nil), slotKeys(), n)
				for i, c := range counts {
					share := float64(1<<16*nodes[i].Weight) / float64(total)
					assert.Less(t, float64(c), share+min(share/32, 20)+1, "slots of nodes[%d]", i)
				}
			})
		}
	}
}

func TestNodesWithWeightsShareInProportion(t *testing.T) {
	keys := randomKeys(2_000_000)
	for _, weights := range [][]int{{1}, {1, 2, 3}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			nodes, total := weightedNodes(100, weights...), 0
			for _, n := range nodes {
				total += n.Weight
			}
			for i, c := range tally(build(t, nodes).View(nil), keys, len(nodes)) {
				share := float64(len(keys)*nodes[i].Weight) / float64(total)
				assert.LessOrEqual(t, float64(c)/share, 1.06, "keys of nodes[%d]", i)
				assert.GreaterOrEqual(t, float64(c)/share, 0.8, "keys of nodes[%d]", i)
			}
		})
	}
}

func TestANodeAThousandTimesLighterStillHasItsShare(t *testing.T) {
	nodes := []ring.Node{{Name: "heavy", Weight: 1000}, {Name: "light"}}
	counts := tally(build(t, nodes).View(nil), slotKeys(), 2)
	assert.InEpsilon(t, 65536.0/1001, counts[1], 0.4) // some five standard deviations below; the quota is above
}

func TestNodesLighterThanASlotGetOneNowAndThen(t *testing.T) {
	nodes := weightedNodes(1000, 1)
	nodes[500].Weight = 1 << 20 // leaves 62 slots to the 999 others
	counts, light := tally(build(t, nodes).View(nil), slotKeys(), 1000), 0
	for i, c := range counts {
		if i != 500 {
			assert.LessOrEqual(t, c, 1)
			light += c
		}
	}
	assert.InEpsilon(t, 62.4, light, 0.65)
}

func TestTheKeysOfADeadNodeSpreadOverTheSurvivors(t *testing.T) {
	const nodes = 10
	r, keys := build(t, equalNodes(nodes)), randomKeys(2_000_000)
	home := places(r.View(nil), keys)
	for _, dead := range []int{0, 4, 9} {
		v, counts := r.View(without(nodes, dead)), make([]int, nodes)
		for i, k := range keys {
			if home[i] == dead {
				counts[v.Locate(k)]++
			}
		}
		assert.Zero(t, counts[dead])
		survivors := append(counts[:dead:dead], counts[dead+1:]...)
		assert.LessOrEqual(t, maxOverMean(survivors), 1.03)
	}
}

// With so few survivors most keys miss them on all four tries, so this is the
// balance of the rendezvous in the end.
func TestFewSurvivorsShareInProportionToTheirWeights(t *testing.T) {
	for _, weights := range [][]int{{1}, {1, 2, 3}} {
		t.Run(fmt.Sprint(weights), func(t *testing.T) {
			nodes, live, total := weightedNodes(1000, weights...), make([]bool, 1000), 0
			for i := 300; i < 306; i++ {
				live[i] = true
				total += nodes[i].Weight
			}
			keys := randomKeys(300_000)
			counts := tally(build(t, nodes).View(live), keys, len(nodes))
			for i := 300; i < 306; i++ {
				share := float64(len(keys)*nodes[i].Weight) / float64(total)
				assert.InEpsilon(t, share, counts[i], 0.02, "keys of nodes[%d]", i)
			}
		})
	}
}

// xxHash is no cryptographic hash, so two names may be made to draw the same
// lots. The quota still gives both their shares.
func TestNodesWhoseNamesHashAlikeShareEvenly(t *testing.T) {
	a, b := collidingNames()
	nodes := []ring.Node{{Name: a}, {Name: b}, {Name: "c"}}
	counts := tally(build(t, nodes).View(nil), slotKeys(), 3)
	assert.Less(t, maxOverMean(counts), 1.002)

	swapped := []ring.Node{{Name: "c"}, {Name: b}, {Name: a}}
	assert.Equal(t, build(t, nodes).Fingerprint(), build(t, swapped).Fingerprint())
}
