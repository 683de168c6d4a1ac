package ring

import (
	"strings"

	"github.com/cespare/xxhash/v2"
)

// table holds the position of each slot's node. It is also the view under which every node
// lives. Of its two forms it has the one that takes no more memory than need be: the less
// of a processor's cache it takes, the more is left for what else a call needs.
type table struct {
	few  *[slots]uint8 // of up to 256 nodes
	many *[slots]uint16
}

// newTable returns the table with the given node for each slot, of so many nodes.
func newTable(bySlot *[slots]uint16, nodes int) *table {
	if nodes > 1<<8 {
		return &table{many: bySlot}
	}
	few := new([slots]uint8)
	for slot, node := range bySlot {
		few[slot] = uint8(node)
	}
	return &table{few: few}
}

// at returns the node of the slot that the top bits of h name.
func (t *table) at(h uint64) int {
	if t.few != nil {
		return int(t.few[h>>48])
	}
	return int(t.many[h>>48])
}

// Locate implements [View] for a ring whose nodes all live. It writes HashTag
// out, as does the other Locate: a call of it costs a tenth of the look-up.
func (t *table) Locate(key string) int {
	if open := strings.IndexByte(key, '{'); open >= 0 {
		key = tagAfter(key, open)
	}
	return t.at(xxhash.Sum64String(key))
}

// partial is the view of a ring some or all of whose nodes are out. It is
// immutable.
type partial struct {
	*table
	live   []bool
	living []candidate // those who live, sorted by name
	choose chooser
}

// Locate implements [View].
func (v *partial) Locate(key string) int {
	if open := strings.IndexByte(key, '{'); open >= 0 {
		key = tagAfter(key, open)
	}
	h := xxhash.Sum64String(key)
	if node := v.at(h); v.live[node] {
		return node
	}
	return v.instead(h)
}

// instead returns the node for a key of the hash h whose own node is out.
func (v *partial) instead(h uint64) int {
	for _, next := range [...]uint64{h << 16, h << 32, h << 48} {
		if node := v.at(next); v.live[node] {
			return node
		}
	}
	if winner := v.choose(h, v.living); winner >= 0 {
		return int(v.living[winner].node)
	}
	return -1
}
