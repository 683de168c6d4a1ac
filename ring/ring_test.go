package ring_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/ring"
)

// build lays out nodes in the default placement.
func build(tb testing.TB, nodes []ring.Node) ring.Ring {
	tb.Helper()
	r, err := ring.Balanced{}.Build(nodes)
	require.NoError(tb, err)
	return r
}

// equalNodes returns node-000, node-001 and so on, without weights.
func equalNodes(n int) []ring.Node { return weightedNodes(n, 0) }

// weightedNodes is equalNodes with the weights given, over and over.
func weightedNodes(n int, weights ...int) []ring.Node {
	nodes := make([]ring.Node, n)
	for i := range nodes {
		nodes[i] = ring.Node{Name: fmt.Sprintf("node-%03d", i), Weight: weights[i%len(weights)]}
	}
	return nodes
}

// without returns the live flags of n nodes of which those at out are out.
func without(n int, out ...int) []bool {
	live := make([]bool, n)
	for i := range live {
		live[i] = true
	}
	for _, i := range out {
		live[i] = false
	}
	return live
}

// randomKeys returns n keys, up to two million, of 16 to 40 random bytes other
// than braces, always the same ones.
func randomKeys(n int) []string { return allKeys()[:n:n] }

var allKeys = sync.OnceValue(func() []string {
	r, keys := newRand(1), make([]string, 2_000_000)
	var buf [40]byte
	for i := range keys {
		for at := 0; at < len(buf); at += 8 {
			// Each byte becomes one of the 64 from "0" to "o".
			word := r.Uint64()&0x3f3f3f3f3f3f3f3f + 0x3030303030303030
			binary.LittleEndian.PutUint64(buf[at:], word)
		}
		keys[i] = string(buf[:16+r.IntN(25)])
	}
	return keys
})

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0)) }

// slotKeys returns a key for each of the 65,536 values that the top 16 bits of
// a key's hash can take: what holds for all of them holds for the whole table.
var slotKeys = sync.OnceValue(func() []string {
	keys := make([]string, 1<<16)
	for i, missing := 0, len(keys); missing > 0; i++ {
		key := strconv.Itoa(i)
		if slot := xxhash.Sum64String(key) >> 48; keys[slot] == "" {
			keys[slot] = key
			missing--
		}
	}
	return keys
})

// places returns where each of keys goes under v.
func places(v ring.View, keys []string) []int {
	p := make([]int, len(keys))
	for i, k := range keys {
		p[i] = v.Locate(k)
	}
	return p
}

// tally returns how many of keys go to each of n nodes under v.
func tally(v ring.View, keys []string, n int) []int {
	counts := make([]int, n)
	for _, k := range keys {
		counts[v.Locate(k)]++
	}
	return counts
}

// maxOverMean returns the largest of counts in units of their mean.
func maxOverMean(counts []int) float64 {
	sum := 0
	for _, c := range counts {
		sum += c
	}
	return float64(slices.Max(counts)) * float64(len(counts)) / float64(sum)
}
