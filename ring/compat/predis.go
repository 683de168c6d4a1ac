package compat

import (
	"fmt"
	"hash/crc32"
	"math"
	"slices"
	"strconv"

	"github.com/redisfluster/fluster/ring"
)

// Predis is the placement of Predis's client-side clusters (PredisCluster), 1.1 to 3,
// on PHP up to 8.3. Its zero value has the default ring, HashRing.
//
// The Name of a node is host:port, or the path of its socket; aliases have no part.
// A Weight of zero means 100, as in Predis, so that nodes without weights beside
// others weigh a hundred times as much as a one. Weights go up to 2^46. A point that
// two nodes share belongs to the last one in the list. Keys have tags by the rule of
// [ring.HashTag].
//
// The ring is laid out anew without the nodes that are out, as if they had been
// removed; the share of each is rounded again, so that a few keys of others may
// move too. Predis itself does not fail over: there, such calls fail, for which
// there is [Fixed].
//
// PHP 8.4 rounds otherwise, which changes the HashRing for weights that come to
// exactly half a point.
type Predis struct {
	// Ketama selects the KetamaRing.
	Ketama bool
}

var _ ring.Placement = Predis{}

const predisWeight = 100

// Build implements [ring.Placement].
func (p Predis) Build(nodes []ring.Node) (ring.Ring, error) {
	if err := check(nodes, hugeWeight); err != nil {
		return nil, err
	}
	nodes = slices.Clone(nodes)
	for i := range nodes {
		if nodes[i].Weight == 0 {
			nodes[i].Weight = predisWeight
		}
	}
	all := p.lay(members(nodes, nil))
	sum := newFingerprint("Predis", fmt.Sprint(p.Ketama))
	sum.sortedWeights(nodes, exactFloat64)
	return &relaid{
		nodes: nodes, all: all,
		lay:         func(m []member) ring.View { return p.lay(m) },
		fingerprint: sum.places(all.circle.points, nodes).sum(),
	}, nil
}

// lay lays out the members.
func (p Predis) lay(members []member) *onCircle {
	total := 0
	for _, m := range members {
		total += m.Weight
	}
	var packed []uint64
	for order, m := range members {
		share := float64(m.Weight) / float64(total)
		share = float64(share * float64(len(members)))
		if p.Ketama {
			packed = ketamaPoints(packed, m.Name, int(float64(share*40)), uint64(order))
		} else {
			packed = predisPoints(packed, m.Name, phpRound(float64(share*128)), uint64(order))
		}
	}
	points := keepLast(sorted32(packed))
	for i := range points {
		points[i].node = members[points[i].node].position
	}
	if p.Ketama {
		return &onCircle{ring.HashTag, hashMD5, newCircle(points, 32, members[0].position)}
	}
	return &onCircle{ring.HashTag, hashCRC32, newLastCircle(points, 32, members[0].position)}
}

// predisPoints appends the points of a node of the HashRing: the CRC-32 of
// "label:0", "label:1" and so on, each packed above low.
func predisPoints(packed []uint64, label string, count int, low uint64) []uint64 {
	text := labelText(label, ':')
	for k := range count {
		at := crc32.ChecksumIEEE(strconv.AppendInt(text, int64(k), 10))
		packed = append(packed, uint64(at)<<32|low)
	}
	return packed
}

// phpRound is round of PHP before 8.4 for numbers that are not negative and below
// 10^15: from 1 on it rounds to 15 significant digits first, and then, like the rest,
// halves up. Adding the half is itself rounded, which lifts the number just below a
// half to one.
func phpRound(x float64) int {
	if x >= 1 {
		scale := 1e14
		for power := 10.0; x >= power; power *= 10 {
			scale /= 10
		}
		x = math.Floor(float64(x*scale)+0.5) / scale
	}
	return int(math.Floor(x + 0.5))
}
