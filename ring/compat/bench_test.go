package compat_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/redisfluster/fluster/ring"
)

// benched are the placements that are measured, the default first.
func benched() []peer {
	return append([]peer{{name: "balanced", placement: ring.Balanced{}}}, peers...)
}

// benchKeys are keys as applications have them, without tags.
func benchKeys(n int) []string {
	r, keys := rand.New(rand.NewPCG(5, 5)), make([]string, n)
	for i := range keys {
		keys[i] = "session:" + strconv.FormatUint(r.Uint64(), 36)
	}
	return keys
}

// BenchmarkLocate measures a look-up among random keys.
func BenchmarkLocate(b *testing.B) {
	keys := benchKeys(1 << 14)
	for _, p := range benched() {
		for _, n := range []int{3, 10, 100} {
			v := build(b, p.placement, nodesOf(n)).View(nil)
			b.Run(fmt.Sprintf("%s/nodes=%d", p.name, n), func(b *testing.B) {
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					v.Locate(keys[i&(len(keys)-1)])
					i++
				}
			})
		}
	}
}

// BenchmarkBuild measures the layout of a list.
func BenchmarkBuild(b *testing.B) {
	for _, p := range benched() {
		for _, n := range []int{10, 100, 1000} {
			nodes := nodesOf(n)
			b.Run(fmt.Sprintf("%s/nodes=%d", p.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					build(b, p.placement, nodes)
				}
			})
		}
	}
}

// BenchmarkView measures what everybody waits for when a node is penalized.
func BenchmarkView(b *testing.B) {
	for _, p := range benched() {
		for _, n := range []int{10, 100, 1000} {
			r, live := build(b, p.placement, nodesOf(n)), without(n, n/2)
			b.Run(fmt.Sprintf("%s/nodes=%d", p.name, n), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					r.View(live)
				}
			})
		}
	}
}
