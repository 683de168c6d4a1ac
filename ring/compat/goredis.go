package compat

import (
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
// A look-up takes time for each node that lives, some 2 ns.
type GoRedisRing struct{}

var _ ring.Placement = GoRedisRing{}

// Build implements [ring.Placement].
func (GoRedisRing) Build(nodes []ring.Node) (ring.Ring, error) {
	if err := check(nodes, weightless); err != nil {
		return nil, err
	}
	r := &rendezvous{}
	sum := newFingerprint("go-redis Ring")
	for _, node := range byName(nodes) {
		r.add(xxhash.Sum64String(nodes[node].Name), node)
		sum.text(nodes[node].Name)
	}
	r.fingerprint = sum.sum()
	return r, nil
}

// entrants take part in a rendezvous, in the order of their names.
type entrants struct {
	seeds []uint64 // hashes of their names
	nodes []int32  // their positions
}

func (e *entrants) add(seed uint64, node int32) {
	e.seeds = append(e.seeds, seed)
	e.nodes = append(e.nodes, node)
}

// rendezvous is the ring of [GoRedisRing].
type rendezvous struct {
	entrants

	fingerprint uint64
}

// Fingerprint implements [ring.Ring].
func (r *rendezvous) Fingerprint() uint64 { return r.fingerprint }

// View implements [ring.Ring].
func (r *rendezvous) View(live []bool) ring.View {
	checkLive(live, len(r.nodes))
	if live == nil {
		return &r.entrants
	}
	v := &entrants{}
	for i, node := range r.nodes {
		if live[node] {
			v.add(r.seeds[i], node)
		}
	}
	return v
}

// Locate implements [ring.View].
func (e *entrants) Locate(key string) int {
	if len(e.seeds) == 0 {
		return -1
	}
	h := xxhash.Sum64String(ring.HashTag(key))
	winner, best := 0, drawLot(h^e.seeds[0])
	for i := 1; i < len(e.seeds); i++ {
		if lot := drawLot(h ^ e.seeds[i]); lot > best {
			winner, best = i, lot
		}
	}
	return int(e.nodes[winner])
}

// drawLot is the xorshift64* generator of S. Vigna.
func drawLot(x uint64) uint64 {
	x ^= x >> 12
	x ^= x << 25
	x ^= x >> 27
	return x * 2685821657736338717
}
