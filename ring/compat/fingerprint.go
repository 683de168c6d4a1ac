package compat

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/redisfluster/fluster/ring"
)

// fingerprint gathers all that decides a layout, to hash it.
type fingerprint []byte

// newFingerprint begins the fingerprint of a placement by its name and settings.
func newFingerprint(settings ...string) *fingerprint {
	f := &fingerprint{}
	f.text("fluster ring/compat 1")
	for _, s := range settings {
		f.text(s)
	}
	return f
}

func (f *fingerprint) text(s string) {
	*f = append(binary.AppendUvarint(*f, uint64(len(s))), s...)
}

func (f *fingerprint) number(n uint64) { *f = binary.LittleEndian.AppendUint64(*f, n) }

// names adds the nodes' names in the order of the list.
func (f *fingerprint) names(nodes []ring.Node) *fingerprint {
	for _, n := range nodes {
		f.text(n.Name)
	}
	return f
}

// weights adds the nodes' weights, in units of the given one, in the order of the
// list.
func (f *fingerprint) weights(nodes []ring.Node, unit uint64) *fingerprint {
	for _, n := range nodes {
		f.number(weight(n) / unit)
	}
	return f
}

const (
	exactFloat32 = 1 << 24 // whole numbers up to here are exact in a float of C
	exactFloat64 = 1 << 53 // and in a double
)

// sortedWeights adds the nodes' weights in the order of their names. Only their
// ratios matter to placements that divide by the sum of the weights, as long as that
// stays below exact, beyond which the peer's numbers are rounded.
func (f *fingerprint) sortedWeights(nodes []ring.Node, exact uint64) {
	common := uint64(0)
	for _, n := range nodes {
		common = gcd(common, weight(n))
	}
	if totalWeight(nodes) > exact {
		common = 1
	}
	sorted := make([]ring.Node, 0, len(nodes))
	for _, i := range byName(nodes) {
		sorted = append(sorted, nodes[i])
	}
	f.weights(sorted, common)
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// places adds the points, in their order, with the rank of their nodes among the
// sorted names. So the order of the list counts only where nodes share a point.
func (f *fingerprint) places(points []point, nodes []ring.Node) *fingerprint {
	order := byName(nodes)
	rank := make([]uint64, len(nodes))
	for i, node := range order {
		f.text(nodes[node].Name)
		rank[node] = uint64(i)
	}
	for _, p := range points {
		f.number(p.at)
		f.number(rank[p.node])
	}
	return f
}

// byName returns the positions of nodes in the order of their names.
func byName(nodes []ring.Node) []int32 {
	order := make([]int32, len(nodes))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(nodes[a].Name, nodes[b].Name) })
	return order
}

func (f *fingerprint) sum() uint64 { return xxhash.Sum64(*f) }
