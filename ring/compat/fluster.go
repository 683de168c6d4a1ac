package compat

import (
	"slices"

	"github.com/twmb/murmur3"

	"github.com/redisfluster/fluster/ring"
)

// RedisFluster is the placement of redis-fluster, a client for Python (0.1.1), its
// fail-over included. Its zero value is ready for use.
//
// The key's MurmurHash3 (32 bits, seed 0) as a signed number, modulo the number of
// nodes as Python has it (never negative), is the position in the list. The order
// of the list decides; Names can be anything. There are no tags and no weights:
// Build refuses a weight other than one. Python strings are hashed as UTF-8.
//
// If that node is out, the same hash, modulo the number of nodes that live, is a
// position among these. So keys of nodes that live stay, but a second failure also
// moves keys of the first node whose stand-in still lives: with five nodes, about
// a third of what moves need not have.
type RedisFluster struct{}

var _ ring.Placement = RedisFluster{}

// Build implements [ring.Placement].
func (RedisFluster) Build(nodes []ring.Node) (ring.Ring, error) {
	if err := check(nodes, weightless); err != nil {
		return nil, err
	}
	r := &flusterRing{fingerprint: newFingerprint("redis-fluster").names(nodes).sum()}
	for i := range nodes {
		r.all = append(r.all, int32(i))
	}
	return r, nil
}

// flusterRing is the ring of [RedisFluster].
type flusterRing struct {
	all         []int32 // the positions of all nodes
	fingerprint uint64
}

// Fingerprint implements [ring.Ring].
func (r *flusterRing) Fingerprint() uint64 { return r.fingerprint }

// View implements [ring.Ring].
func (r *flusterRing) View(live []bool) ring.View {
	checkLive(live, len(r.all))
	if !slices.Contains(live, false) {
		return byMurmur3(len(r.all))
	}
	v := &flusterView{homes: slices.Clone(r.all)}
	for i, lives := range live {
		if lives {
			v.active = append(v.active, int32(i))
		} else {
			v.homes[i] = -1
		}
	}
	return v
}

// byMurmur3 is the view under which all of so many nodes live.
type byMurmur3 int

// Locate implements [ring.View].
func (n byMurmur3) Locate(key string) int {
	return floorMod(murmur3.StringSum32(key), int(n))
}

// flusterView is the view under which some nodes are out.
type flusterView struct {
	homes  []int32 // the nodes' positions; -1 for those that are out
	active []int32 // those that live
}

// Locate implements [ring.View].
func (v *flusterView) Locate(key string) int {
	h := murmur3.StringSum32(key)
	if home := v.homes[floorMod(h, len(v.homes))]; home >= 0 {
		return int(home)
	}
	if len(v.active) == 0 {
		return -1
	}
	return int(v.active[floorMod(h, len(v.active))])
}

// floorMod is Python's h % n, h being a signed number and n at most [maxNodes].
func floorMod(h uint32, n int) int {
	m := int32(h) % int32(n)
	if m < 0 {
		m += int32(n)
	}
	return int(m)
}
