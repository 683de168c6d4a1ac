package compat

import (
	"cmp"
	"slices"

	"github.com/cespare/xxhash/v2"

	"github.com/redisfluster/fluster/ring"
)

// GoRedisRing is the placement of the Ring of go-redis, versions 8 and 9: a
// rendezvous. The key, or its [ring.HashTag] if it has one, is hashed, every
// node draws a lot from that hash and the hash of its name, and the largest lot
// wins. Its zero value is ready for use.
//
// The Name of a node is that of the shard, the key of RingOptions.Addrs. The
// addresses and the order of the list do not matter. go-redis has no weights:
// Build refuses a weight other than one.
//
// A node that is out draws no lot, so that only its keys move.
//
// Two names with one hash always draw the same lot. go-redis then lets the
// order of a Go map decide, which changes from process to process; here the
// name that sorts first wins. go-redis allows the empty name, and fails every
// call for the keys that it wins; Build refuses it.
//
// A look-up takes time for each node that lives: some 2 ns.
type GoRedisRing struct{}

var _ ring.Placement = GoRedisRing{}

// Build implements [ring.Placement].
func (GoRedisRing) Build(nodes []ring.Node) (ring.Ring, error) {
	if err := check(nodes, weightless); err != nil {
		return nil, err
	}
	r := &rendezvous{nodes: make([]entrant, len(nodes))}
	for i, n := range nodes {
		r.nodes[i] = entrant{seed: xxhash.Sum64String(n.Name), node: int32(i)}
	}
	slices.SortFunc(r.nodes, func(a, b entrant) int {
		return cmp.Compare(nodes[a.node].Name, nodes[b.node].Name)
	})
	print := newPrint("go-redis Ring")
	for _, e := range r.nodes {
		print.text(nodes[e.node].Name)
	}
	r.fingerprint = print.sum()
	return r, nil
}

// entrant is a node that takes part in a rendezvous.
type entrant struct {
	seed uint64 // hash of its name
	node int32
}

// rendezvous is the ring of [GoRedisRing], sorted by name.
type rendezvous struct {
	nodes       []entrant
	fingerprint uint64
}

// Fingerprint implements [ring.Ring].
func (r *rendezvous) Fingerprint() uint64 { return r.fingerprint }

// View implements [ring.Ring].
func (r *rendezvous) View(live []bool) ring.View {
	checkLive(live, len(r.nodes))
	if live == nil {
		return entrants(r.nodes)
	}
	return entrants(slices.DeleteFunc(slices.Clone(r.nodes), func(e entrant) bool { return !live[e.node] }))
}

// entrants are the nodes that live.
type entrants []entrant

// Locate implements [ring.View].
func (e entrants) Locate(key string) int {
	h := xxhash.Sum64String(ring.HashTag(key))
	winner, best := int32(-1), uint64(0)
	for i := range e {
		if lot := drawLot(h ^ e[i].seed); lot > best || winner < 0 {
			winner, best = e[i].node, lot
		}
	}
	return int(winner)
}

// drawLot is the xorshift64* generator of S. Vigna.
func drawLot(x uint64) uint64 {
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	return x * 2685821657736338717
}
