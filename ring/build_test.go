package ring_test

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/ring"
)

func TestBuildRefusesWhatItCannotLayOut(t *testing.T) {
	for _, c := range []struct {
		name  string
		nodes []ring.Node
		err   string
	}{
		{"nil", nil, "ring: nodes: empty"},
		{"none", []ring.Node{}, "ring: nodes: empty"},
		{"no name", []ring.Node{{Name: "a"}, {}}, "ring: nodes[1].Name: empty"},
		{
			"a name twice",
			[]ring.Node{{Name: "a"}, {Name: "b"}, {Name: "a"}},
			`ring: nodes[2].Name: "a" is the name of nodes[0] too`,
		},
		{
			"a negative weight",
			[]ring.Node{{Name: "a"}, {Name: "b", Weight: -1}},
			`ring: nodes[1].Weight: -1 of node "b" is not between 0 and 1048576`,
		},
		{
			"too much weight",
			[]ring.Node{{Name: "a", Weight: 1048577}},
			`ring: nodes[0].Weight: 1048577 of node "a" is not between 0 and 1048576`,
		},
		{"too many", equalNodes(4097), "ring: nodes: 4097 are too many, at most 4096 are possible"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ring.Balanced{}.Build(c.nodes)
			require.EqualError(t, err, c.err)
			assert.Nil(t, r)
		})
	}
}

func TestAsManyNodesAsAllowedAllGetKeys(t *testing.T) {
	const n = 4096
	r := build(t, equalNodes(n))
	counts := tally(r.View(nil), slotKeys(), n)
	assert.NotZero(t, slices.Min(counts))
	assert.LessOrEqual(t, slices.Max(counts), 17)

	live := make([]bool, n)
	live[n-1] = true
	assert.Equal(t, n-1, r.View(live).Locate("user:42"))
}

func TestTheHeaviestNodesPossibleShareInProportion(t *testing.T) {
	nodes := weightedNodes(300, 1<<20, 1<<20-1)
	counts := tally(build(t, nodes).View(nil), slotKeys(), len(nodes))
	assert.LessOrEqual(t, maxOverMean(counts), 1.06)
}

func TestOneNodeHoldsAllKeys(t *testing.T) {
	r := build(t, []ring.Node{{Name: "alone", Weight: 7}})
	for _, live := range [][]bool{nil, {true}} {
		assert.Equal(t, []int{1 << 16}, tally(r.View(live), slotKeys(), 1))
	}
	assert.Zero(t, r.View(nil).Locate(""))
	assert.Equal(t, -1, r.View([]bool{false}).Locate("user:42"))
}

func TestNoKeyHasANodeWhenAllAreOut(t *testing.T) {
	for _, weights := range [][]int{{1}, {1, 2}} {
		v := build(t, weightedNodes(5, weights...)).View(make([]bool, 5))
		for _, k := range randomKeys(1000) {
			require.Equal(t, -1, v.Locate(k))
		}
	}
}

func TestViewPanicsUnlessThereIsAFlagForEachNode(t *testing.T) {
	r := build(t, equalNodes(3))
	for _, n := range []int{0, 2, 4} {
		assert.PanicsWithValue(t,
			fmt.Sprintf("ring: View was told of %d nodes, but the ring has 3.", n),
			func() { r.View(make([]bool, n)) })
	}
}

func TestNoLiveFlagsMeanThatAllNodesLive(t *testing.T) {
	r := build(t, equalNodes(7))
	assert.Equal(t, places(r.View(without(7)), slotKeys()), places(r.View(nil), slotKeys()))
}

func TestRingsAndViewsKeepNothingOfTheirCaller(t *testing.T) {
	nodes := weightedNodes(6, 0, 2, 4)
	given := slices.Clone(nodes)
	slices.Reverse(given)
	mirrored := slices.Clone(given)
	r := build(t, given)
	require.Equal(t, mirrored, given, "Build changed its argument")

	live := without(6, 2)
	v := r.View(live)
	before, fingerprint := places(v, slotKeys()), r.Fingerprint()
	for i := range given {
		given[i], live[i] = ring.Node{Name: "other", Weight: 9}, !live[i]
	}
	assert.Equal(t, before, places(v, slotKeys()))
	assert.Equal(t, fingerprint, r.Fingerprint())
}

func TestOnlyTheRatiosOfWeightsMatter(t *testing.T) {
	for _, c := range [][2][]int{
		{{0}, {1}},
		{{1}, {1 << 20}},
		{{0, 2}, {1, 2}},
		{{1, 2, 3}, {100, 200, 300}},
	} {
		a, b := build(t, weightedNodes(9, c[0]...)), build(t, weightedNodes(9, c[1]...))
		assert.Equal(t, a.Fingerprint(), b.Fingerprint(), "%d and %d", c[0], c[1])
		live := without(9, 1, 2, 5)
		assert.Equal(t, places(a.View(live), slotKeys()), places(b.View(live), slotKeys()))
	}
}

func TestDifferentLayoutsHaveDifferentFingerprints(t *testing.T) {
	named := func(names ...string) (nodes []ring.Node) {
		for _, n := range names {
			nodes = append(nodes, ring.Node{Name: n})
		}
		return nodes
	}
	seen := map[uint64]string{}
	for _, nodes := range [][]ring.Node{
		named("a"), named("b"), named("a", "b"), named("a", "b", "c"), named("ab", "c"), named("a", "bc"),
		named("A", "b", "c"), weightedNodes(3, 1), weightedNodes(3, 1, 2), weightedNodes(3, 2, 1),
		weightedNodes(3, 1, 1, 2), weightedNodes(4, 1),
	} {
		f := build(t, nodes).Fingerprint()
		assert.Empty(t, seen[f], "it has the fingerprint of %v", nodes)
		seen[f] = fmt.Sprint(nodes)
	}
}

func TestLocateDoesNotAllocate(t *testing.T) {
	for _, weights := range [][]int{{1}, {1, 2, 3}} {
		r := build(t, weightedNodes(100, weights...))
		last := make([]bool, 100)
		last[99] = true
		for what, live := range map[string][]bool{
			"all live": nil, "one out": without(100, 7), "one left": last, "none left": make([]bool, 100),
		} {
			v := r.View(live)
			for _, key := range []string{"", "user:42", "{user:42}:cart", strings.Repeat("k", 1000)} {
				assert.Zero(t, testing.AllocsPerRun(100, func() { v.Locate(key) }), "%s, weights %d, key %q", what, weights, key)
			}
		}
	}
}

// collidingNames returns two names of 64 bytes with one xxHash64. Each of the
// hash's four lanes takes in 8 of every 32 bytes, and what follows can undo
// what went before: the second names' lanes meet again after the other 8.
func collidingNames() (a, b string) {
	const p1, p2 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F
	inverse := uint64(p2) // of p2 modulo 2^64; each step doubles its right bits
	for range 6 {
		inverse *= 2 - p2*inverse
	}
	lane := func(word uint64) uint64 {
		start := uint64(p1)
		start += p2
		return bits.RotateLeft64(start+word*p2, 31) * p1
	}
	first, second := make([]byte, 64), make([]byte, 64)
	binary.LittleEndian.PutUint64(second, 1)
	binary.LittleEndian.PutUint64(second[32:], (lane(0)-lane(1))*inverse)
	return string(first), string(second)
}

func TestCollidingNamesCollide(t *testing.T) {
	a, b := collidingNames()
	require.NotEqual(t, a, b)
	require.Equal(t, xxhash.Sum64String(a), xxhash.Sum64String(b))
}

func ExampleBalanced() {
	nodes := []ring.Node{{Name: "a"}, {Name: "b"}, {Name: "c"}}
	r, err := ring.Balanced{}.Build(nodes)
	if err != nil {
		fmt.Println(err)
		return
	}

	key := "user:42"
	fmt.Println(key, "is at home on", nodes[r.View(nil).Locate(key)].Name)
	fmt.Println("while a is out, it is on", nodes[r.View([]bool{false, true, true}).Locate(key)].Name)
	fmt.Println("while a and b are out, it is on", nodes[r.View([]bool{false, false, true}).Locate(key)].Name)
	fmt.Println("while all are out, it is nowhere:", r.View([]bool{false, false, false}).Locate(key))
	// Output:
	// user:42 is at home on a
	// while a is out, it is on b
	// while a and b are out, it is on c
	// while all are out, it is nowhere: -1
}
