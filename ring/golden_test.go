package ring_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/assert"

	"github.com/redisfluster/fluster/ring"
)

// The values in this file were computed once. They are the promise that a new
// version of this package leaves every key where it was, on every platform: if
// a change breaks them, the change is wrong, not they.

var (
	goldenEqual = []ring.Node{
		{Name: "cache-a"}, {Name: "cache-b"}, {Name: "cache-c"}, {Name: "cache-d"}, {Name: "cache-e"},
	}
	goldenWeighted = []ring.Node{
		{Name: "cache-a", Weight: 1},
		{Name: "cache-b", Weight: 2},
		{Name: "cache-c", Weight: 3},
		{Name: "cache-d", Weight: 10},
		{Name: "cache-e", Weight: 5},
	}
)

func TestGoldenPlaces(t *testing.T) {
	// Names of nodes, without "cache-": while all live, while b and d are out,
	// and while only a and c live.
	for _, g := range []struct{ key, equal, weighted string }{
		{"", "d e a", "d e a"},
		{"a", "a a a", "d a a"},
		{"user:1", "a a a", "a a a"},
		{"user:2", "b c c", "d c c"},
		{"user:3", "c c c", "d e c"},
		{"user:42", "b a a", "b a a"},
		{"user:1000", "b c c", "b e c"},
		{"session:4f1c0a9be2d7", "c c c", "c c c"},
		{"{user:42}:cart", "b a a", "b a a"},
		{"cart:{user:42}", "b a a", "b a a"},
		{"{}user:42", "b c c", "c c c"},
		{"{", "e e a", "e e a"},
		{"queue:mail", "c c c", "c c c"},
		{"queue:{mail}:retry", "c c c", "d a a"},
		{"counter:2024-06-01", "a a a", "d e c"},
		{"https://example.com/a/b?c=d", "e e c", "e e a"},
		{"9c5b94b1-35ad-49bb-b118-8e8fc24abf80", "c c c", "d c c"},
		{"über:größe", "a a a", "d c c"},
		{"键", "b e a", "b e a"},
		{"\x00", "e e c", "e e c"},
		{"\xff\xfe", "e e c", "e e c"},
		{"cache-a", "a a a", "d a a"},
		{strings.Repeat("k", 33), "b c c", "d e a"},
		{strings.Repeat("long", 20), "e e a", "e e a"},
	} {
		assert.Equal(t, g.equal, goldenPlaces(t, goldenEqual, g.key), "equal nodes, key %q", g.key)
		assert.Equal(t, g.weighted, goldenPlaces(t, goldenWeighted, g.key), "weighted nodes, key %q", g.key)
	}
}

func goldenPlaces(t *testing.T, nodes []ring.Node, key string) string {
	r := build(t, nodes)
	var names []string
	for _, live := range [][]bool{nil, without(5, 1, 3), without(5, 1, 3, 4)} {
		names = append(names, strings.TrimPrefix(nodes[r.View(live).Locate(key)].Name, "cache-"))
	}
	return strings.Join(names, " ")
}

func TestGoldenFingerprints(t *testing.T) {
	for _, g := range []struct {
		nodes       []ring.Node
		fingerprint uint64
	}{
		{goldenEqual, 0xe05cb1de4b1966af},
		{goldenWeighted, 0x38b7d110937f3b95},
		{[]ring.Node{{Name: "alone"}}, 0x880b3e26bff48c88},
		{equalNodes(100), 0x3a237d5b1df14b3a},
		{weightedNodes(100, 1, 2, 3), 0x6392b484acb801c5},
		{equalNodes(1000), 0x9349734969961dc6},
		{weightedNodes(2, 1<<20, 1), 0xb402cc6ac768364a},
	} {
		got := build(t, g.nodes).Fingerprint()
		assert.Equal(t, g.fingerprint, got, "%d nodes: want %#x, got %#x", len(g.nodes), g.fingerprint, got)
	}
}

// The last resort, the rendezvous of the living, is in no table. This holds
// its winners: with 3 of 1,000 nodes alive nearly every key gets there.
func TestGoldenPlacesOfManyKeys(t *testing.T) {
	for _, g := range []struct {
		nodes []ring.Node
		sum   uint64
	}{
		{equalNodes(1000), 0xfc82c3c174a835c9},
		{weightedNodes(1000, 1, 2, 3), 0xe2243c8b0b9035f4},
	} {
		live := make([]bool, len(g.nodes))
		live[100], live[500], live[900] = true, true, true
		got := goldenSum(build(t, g.nodes).View(live))
		assert.Equal(t, g.sum, got, "want %#x, got %#x", g.sum, got)
	}
}

// goldenSum hashes where 100,000 keys go.
func goldenSum(v ring.View) uint64 {
	winners := xxhash.New()
	for i := range 100_000 {
		_, _ = fmt.Fprintln(winners, v.Locate(fmt.Sprint("key:", i)))
	}
	return winners.Sum64()
}
