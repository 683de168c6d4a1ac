package ring_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redisfluster/fluster/ring"
)

func TestAFailureMovesTheKeysOfTheDeadNodeAndNoOthers(t *testing.T) {
	keys := randomKeys(100_000)
	for _, n := range []int{2, 3, 10, 100, 1000} {
		for _, weights := range [][]int{{1}, {1, 2, 3}} {
			t.Run(fmt.Sprintf("nodes=%d/weights=%d", n, weights), func(t *testing.T) {
				r := build(t, weightedNodes(n, weights...))
				healthy := places(r.View(nil), keys)
				first, second := n/3, n-1

				one := places(r.View(without(n, first)), keys)
				requireOnlyTheDeadMove(t, healthy, one, first)
				if n > 2 {
					two := places(r.View(without(n, first, second)), keys)
					requireOnlyTheDeadMove(t, one, two, second)
					require.Equal(t, one, places(r.View(without(n, first)), keys), "the second one is back")
				}
				require.Equal(t, healthy, places(r.View(without(n)), keys), "all are back")
			})
		}
	}
}

func requireOnlyTheDeadMove(tb testing.TB, before, after []int, dead int) {
	tb.Helper()
	due, needless := 0, 0
	for i := range before {
		if before[i] == dead {
			due++
		} else if before[i] != after[i] {
			needless++
		}
	}
	require.Zero(tb, needless, "keys of live nodes moved")
	require.NotContains(tb, after, dead)
	require.NotZero(tb, due, "the dead node had no keys, so nothing was shown")
}

// The general law, for any set of live nodes: taking away one more moves what
// it held and nothing else.
func TestTakingANodeAwayMovesOnlyWhatItHeld(t *testing.T) {
	rings := map[int]ring.Ring{}
	for _, n := range []int{1, 2, 5, 12, 40} {
		rings[n] = build(t, weightedNodes(n, 3, 1, 1, 2))
	}
	keys := randomKeys(2000)
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.SampledFrom([]int{1, 2, 5, 12, 40}).Draw(t, "n")
		live := rapid.SliceOfN(rapid.Bool(), n, n).Draw(t, "live")
		gone := rapid.IntRange(0, n-1).Draw(t, "gone")
		live[gone] = true
		before := places(rings[n].View(live), keys)
		live[gone] = false
		after := places(rings[n].View(live), keys)

		for i, from := range before {
			switch to := after[i]; {
			case from != gone && from != to:
				t.Fatalf("key %q of nodes[%d] moved to nodes[%d]", keys[i], from, to)
			case to >= 0 && !live[to]:
				t.Fatalf("key %q went to nodes[%d], which is out", keys[i], to)
			case to < 0 && slices.Contains(live, true):
				t.Fatalf("key %q has no node though some live", keys[i])
			}
		}
	})
}

func TestAJoiningNodeMovesLittleMoreThanItGets(t *testing.T) {
	for _, c := range []struct {
		nodes int
		limit float64 // in units of the newcomer's share
	}{{1, 1.02}, {3, 1.02}, {10, 1.05}, {30, 1.1}, {100, 1.2}} {
		t.Run(fmt.Sprintf("nodes=%d", c.nodes), func(t *testing.T) {
			// All names but the newcomer's stand before it: that it sorts last
			// must not matter, so a second round gives it the first place.
			for _, newcomer := range []string{"zebra", "aardvark"} {
				nodes := equalNodes(c.nodes)
				before := places(build(t, nodes).View(nil), slotKeys())
				after := places(build(t, append(nodes, ring.Node{Name: newcomer})).View(nil), slotKeys())
				ideal := float64(len(before)) / float64(c.nodes+1)
				assert.LessOrEqual(t, float64(moved(before, after))/ideal, c.limit)
			}
		})
	}
}

func TestTheKeysThatMoveWhenA101stNodeJoins(t *testing.T) {
	keys := randomKeys(1_000_000)
	before := places(build(t, equalNodes(100)).View(nil), keys)
	after := places(build(t, equalNodes(101)).View(nil), keys)
	ideal := float64(len(keys)) / 101
	assert.LessOrEqual(t, float64(moved(before, after))/ideal, 1.2)
}

func TestAHeavierNodeTakesLittleMoreThanItsGain(t *testing.T) {
	nodes := weightedNodes(20, 1)
	before := places(build(t, nodes).View(nil), slotKeys())
	nodes[7].Weight = 2
	after := places(build(t, nodes).View(nil), slotKeys())
	ideal := float64(len(before)) * (2.0/21 - 1.0/20)
	assert.LessOrEqual(t, float64(moved(before, after))/ideal, 1.2)
}

func moved(before, after []int) (n int) {
	for i := range before {
		if before[i] != after[i] {
			n++
		}
	}
	return n
}

func TestTheOrderOfTheListDoesNotMatter(t *testing.T) {
	keys := randomKeys(2000)
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.SliceOfNDistinct(rapid.Custom(drawNode), 1, 8,
			func(n ring.Node) string { return n.Name }).Draw(t, "nodes")
		shuffled := rapid.Permutation(nodes).Draw(t, "shuffled")
		isLive := rapid.MapOfN(rapid.SampledFrom(nodes), rapid.Just(true), 0, len(nodes)).Draw(t, "live")
		flags := func(nodes []ring.Node) []bool {
			live := make([]bool, len(nodes))
			for i, n := range nodes {
				live[i] = isLive[n]
			}
			return live
		}

		a, err := ring.Balanced{}.Build(nodes)
		require.NoError(t, err)
		b, err := ring.Balanced{}.Build(shuffled)
		require.NoError(t, err)
		assert.Equal(t, a.Fingerprint(), b.Fingerprint())
		va, vb := a.View(flags(nodes)), b.View(flags(shuffled))
		for _, k := range keys {
			if one, other := name(nodes, va.Locate(k)), name(shuffled, vb.Locate(k)); one != other {
				t.Fatalf("key %q is at %q or at %q", k, one, other)
			}
		}
	})
}

func drawNode(t *rapid.T) ring.Node {
	return ring.Node{
		Name:   rapid.StringN(1, 20, -1).Draw(t, "name"),
		Weight: rapid.IntRange(0, 5).Draw(t, "weight"),
	}
}

// name returns the name of the node at position i, or "" if that is -1.
func name(nodes []ring.Node, i int) string {
	if i < 0 {
		return ""
	}
	return nodes[i].Name
}
