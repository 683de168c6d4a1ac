package compat

import (
	"slices"

	"github.com/redisfluster/fluster/ring"
)

// Libketama is the placement of libketama, the C library of last.fm (git 18cf9a7),
// on x86-64, and of what is built on it. Its zero value is ready for use.
//
// The Name of a node is what stands first in its line of the server file, and the
// Weight is the memory behind it, up to 2^46. There are no tags. Where two servers
// share a point of the ring, the earlier one in the list has it.
//
// libketama itself watches no server: a dead one is taken out of the file. So the
// ring is laid out anew without the nodes that are out. The share of each is rounded
// again, so that a few keys of others may move too.
//
// libketama's keys are C strings, which end at a NUL byte; here such a byte is one
// like any other.
type Libketama struct{}

var _ ring.Placement = Libketama{}

// Build implements [ring.Placement].
func (Libketama) Build(nodes []ring.Node) (ring.Ring, error) {
	if err := check(nodes, hugeWeight); err != nil {
		return nil, err
	}
	lay := func(m []member) ring.View { return &onCircle{wholeKey, hashMD5, ketamaCircle(m, libketamaHashCount)} }
	all := &onCircle{wholeKey, hashMD5, ketamaCircle(members(nodes, nil), libketamaHashCount)}
	sum := newFingerprint("libketama")
	sum.sortedWeights(nodes, exactFloat32)
	return &relaid{
		nodes: slices.Clone(nodes), all: all, lay: lay,
		fingerprint: sum.places(all.circle.points, nodes).sum(),
	}, nil
}

// libketamaHashCount returns how many hashes a server gets: its share, as a float
// of C, of 40 for each server, as a double, rounded to a float in the end.
func libketamaHashCount(weight, total uint64, servers int) int {
	share := float32(weight) / float32(total)
	t := float64(float64(share) * 40)
	t = float64(t * float64(servers))
	return int(float32(t))
}
