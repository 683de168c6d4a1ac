// Package placement_test compares ring/compat with the peers' own code, where that
// can be run: go-redis from its module, and twemproxy if it is installed.
package placement_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// newRand returns random numbers that a failed test can be given again.
func newRand(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// randomKeys returns n keys: plain ones, some with tags, some of any bytes, one empty.
func randomKeys(r *rand.Rand, n int) []string {
	keys := []string{""}
	for len(keys) < n {
		switch r.IntN(4) {
		case 0:
			keys = append(keys, fmt.Sprintf("user:%d", r.IntN(1_000_000)))
		case 1:
			keys = append(keys, fmt.Sprintf("%s{%d}:%d", strings.Repeat("c", r.IntN(3)), r.IntN(1000), r.IntN(1000)))
		case 2:
			keys = append(keys, pick(r, r.IntN(10), "{", "}", "[", "]", "x", "a", "\n"))
		case 3:
			raw := make([]byte, r.IntN(80))
			for i := range raw {
				raw[i] = byte(r.Uint32())
			}
			keys = append(keys, string(raw))
		}
	}
	return keys
}

// pick strings n words together.
func pick(r *rand.Rand, n int, words ...string) string {
	var b strings.Builder
	for range n {
		b.WriteString(words[r.IntN(len(words))])
	}
	return b.String()
}

// randomName returns a name of a few letters and digits, often one that sorts
// otherwise by its length than by its letters.
func randomName(r *rand.Rand) string {
	return pick(r, 1+r.IntN(4), "a", "b", "z", "0", "9", "cache-", "é", ".")
}
