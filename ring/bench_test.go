package ring_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/redisfluster/fluster/ring"
)

// A floorTable is what no placement by table can beat: the hash and one load of a byte.
type floorTable [1 << 16]uint8

func (t *floorTable) pass(keys []string) (sum int) {
	for _, k := range keys {
		sum += int(t[xxhash.Sum64String(k)>>48])
	}
	return sum
}

func locateAll(v ring.View, keys []string) (sum int) {
	for _, k := range keys {
		sum += v.Locate(k)
	}
	return sum
}

// BenchmarkLocate measures the look-up of a million random keys against the
// floor, in alternating passes, and reports the median ratio of the two.
func BenchmarkLocate(b *testing.B) {
	keys := randomKeys(1_000_000)
	for _, n := range []int{3, 10, 100, 1000} {
		r := build(b, equalNodes(n))
		b.Run(fmt.Sprintf("nodes=%d/live=all", n), func(b *testing.B) {
			againstFloor(b, r.View(nil), keys)
		})
		b.Run(fmt.Sprintf("nodes=%d/live=all-but-one", n), func(b *testing.B) {
			againstFloor(b, r.View(without(n, n/2)), keys)
		})
	}
}

// BenchmarkLocateHot measures the look-up of one key over and over.
func BenchmarkLocateHot(b *testing.B) {
	keys := slices.Repeat([]string{"session:4f1c0a9be2d7"}, 1_000_000)
	againstFloor(b, build(b, equalNodes(3)).View(nil), keys)
}

func againstFloor(b *testing.B, v ring.View, keys []string) {
	table := new(floorTable)
	for i := range table {
		table[i] = uint8(rand.N(100))
	}
	var floors, lookups, ratios []float64
	sum := 0
	for b.Loop() {
		start := time.Now()
		sum += table.pass(keys)
		middle := time.Now()
		sum += locateAll(v, keys)
		floor, lookup := middle.Sub(start), time.Since(middle)
		floors = append(floors, float64(floor.Nanoseconds())/float64(len(keys)))
		lookups = append(lookups, float64(lookup.Nanoseconds())/float64(len(keys)))
		ratios = append(ratios, float64(lookup)/float64(floor))
	}
	if sum < 0 {
		b.Fatal("no pass was made")
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(median(floors), "floor-ns/key")
	b.ReportMetric(median(lookups), "ns/key")
	b.ReportMetric(median(ratios), "ratio")
}

func BenchmarkLocateInParallel(b *testing.B) {
	keys, v := randomKeys(1<<16), build(b, equalNodes(100)).View(nil)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for i := rand.N(len(keys)); pb.Next(); i++ {
			v.Locate(keys[i%len(keys)])
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	for _, n := range []int{3, 100, 1000, 4096} {
		for _, weights := range [][]int{{1}, {1, 2, 3}} {
			nodes := weightedNodes(n, weights...)
			b.Run(fmt.Sprintf("nodes=%d/weights=%d", n, weights), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					build(b, nodes)
				}
			})
		}
	}
}

func BenchmarkView(b *testing.B) {
	for _, n := range []int{3, 100, 1000} {
		r, live := build(b, equalNodes(n)), without(n, n/2)
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				r.View(live)
			}
		})
	}
}

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}
