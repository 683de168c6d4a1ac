package compat

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"sort"
)

// point is a place on a circle and the node whose it is.
type point struct {
	at   uint64
	node int32
}

// circle finds the point at or after a hash, and past the last point the first.
// It is immutable.
//
// An index by the hash's top bits, with more buckets than there are points,
// leaves one or two points to look at, so that a look-up costs about as much as
// one in a table.
type circle struct {
	points []point  // ascending; the last one, at the top of the circle, is the first node's again
	index  []uint32 // the first point in or after each bucket
	shift  uint8    // hash >> shift is the bucket
}

// newCircle returns the circle of points, which must be ascending, distinct and
// below 2^width. If there is none, the node at fallback has all keys.
func newCircle(points []point, width int, fallback int32) *circle {
	if len(points) > 0 {
		fallback = points[0].node
	}
	c := &circle{points: append(points, point{math.MaxUint64, fallback})}
	buckets := min(bits.Len(uint(len(points))), width)
	c.shift = uint8(width - buckets)
	c.index = make([]uint32, 1<<buckets)
	next := uint32(0)
	for b := range c.index {
		for c.points[next].at < uint64(b)<<c.shift {
			next++
		}
		c.index[b] = next
	}
	return c
}

// newLastCircle returns the circle on which the last point at or before a hash
// has it, and before the first point the last: each point's stretch ends just
// before the next point.
func newLastCircle(points []point, width int, fallback int32) *circle {
	if len(points) == 0 {
		return newCircle(nil, width, fallback)
	}
	ends := make([]point, 0, len(points)+1)
	last := points[len(points)-1].node
	owner := last
	for _, p := range points {
		if p.at > 0 {
			ends = append(ends, point{p.at - 1, owner})
		}
		owner = p.node
	}
	c := newCircle(ends, width, last)
	c.points[len(c.points)-1].node = last
	return c
}

// few is how many points of a bucket are tried one after the other.
const few = 8

// node returns the node of the hash h, which must be below 2^width.
func (c *circle) node(h uint64) int {
	i := int(c.index[h>>c.shift])
	for _, p := range c.points[i:min(i+few, len(c.points))] {
		if p.at >= h {
			return int(p.node)
		}
	}
	return c.search(i+few, h)
}

// search is node for a bucket with many points, from the one at i.
func (c *circle) search(i int, h uint64) int {
	rest := c.points[i:]
	return int(rest[sort.Search(len(rest), func(j int) bool { return rest[j].at >= h })].node)
}

// bitsFor returns the width of a circle whose last place is at last.
func bitsFor(last uint64) int { return bits.Len64(last) }

// sortPoints sorts points in ascending order, and those at one place in the order
// in which they were.
func sortPoints(points []point) {
	slices.SortStableFunc(points, func(a, b point) int { return cmp.Compare(a.at, b.at) })
}

// keepFirst leaves of the points at one place the first.
func keepFirst(points []point) []point {
	return slices.CompactFunc(points, func(a, b point) bool { return a.at == b.at })
}

// keepLast leaves of the points at one place the last.
func keepLast(points []point) []point {
	kept := points[:0]
	for i, p := range points {
		if i+1 == len(points) || points[i+1].at != p.at {
			kept = append(kept, p)
		}
	}
	return kept
}

// sorted32 sorts 32-bit places, each packed above the position of its node, and
// returns them as points. Packed, they sort several times faster than points.
func sorted32(packed []uint64) []point {
	slices.Sort(packed)
	points := make([]point, len(packed), len(packed)+1)
	for i, p := range packed {
		points[i] = point{p >> 32, int32(p & math.MaxUint32)}
	}
	return points
}
