package ring

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cespare/xxhash/v2"
)

const (
	slots     = 1 << 16 // as many as 16 bits of a hash can tell apart
	maxNodes  = 1 << 12 // leaves 16 slots to each of so many equal nodes
	maxWeight = 1 << 20

	// A node may hold a 32nd more slots than its share, but no more than 20.
	// The tighter the quota, the evener the shares and the more keys move when
	// a node joins. Of few nodes no more than chance keeps the shares near
	// even, so there a tight one costs little.
	slackShare = 32
	slackSlots = 20
)

// Balanced is the default [Placement]: near-exact shares at a cost per key
// that does not grow with the number of nodes. Its zero value is ready for use.
//
// Where a key goes. The key, or its [HashTag] if it has one, is hashed with
// xxHash64 (seed 0). The hash's top 16 bits are a slot, and each of the 65,536
// slots has a node. If that node is out, the hash's next 16 bits name another
// slot, and so on for its four times 16 bits; if all four nodes are out, the
// nodes that live hold a rendezvous for the hash. With nodes a, b and c,
//
//	xxHash64("user:42") = 0xdc1fea7da8d2d1c2
//	slot 0xdc1f is a's      the key goes to a
//	slot 0xea7d is b's      or, while a is out, to b
//	slot 0xa8d2 is c's      or, while a and b are out, to c
//	slot 0xd1c2 is b's      or, while a and c are out, to b as before
//
// No table depends on who lives. So a node that goes out moves its own keys
// and no others, spread over all who live in proportion to their shares; a
// second one moves only what it held by then; and a node's return restores
// what was.
//
// How the slots are given. Slot by slot in ascending order, the nodes hold a
// rendezvous: every node draws a lot from a hash of the slot and its name, and
// the best lot takes the slot. A node that has reached its quota (its share
// and a little slack: a 32nd of it, at most 20 slots) stands back. For
// 100 equal nodes that makes the largest share 1.03 times the mean, and a
// 101st node that joins moves some 1.1 times the keys that it gets. Names and
// weights decide; the order of the list does not. Of the weights only their
// ratios matter, and a node's share of the keys comes in steps of a slot.
//
// All of it is integer arithmetic, so that every process on every platform
// places alike.
//
// Build accepts up to 4,096 nodes and weights up to 1,048,576. Names and keys
// may be any bytes. It takes some 15 ms for 100 nodes and holds 64 KiB for
// each ring of up to 256 nodes, 128 KiB for a larger one; views share that.
//
// Sources: rendezvous hashing, D. Thaler and C. Ravishankar, "Using Name-Based
// Mappings to Increase Hit Rates" (1998); its weighted form, C. Schindelhauer
// and G. Schomaker, "Weighted Distributed Hash Tables" (2005); the quota,
// V. Mirrokni, M. Thorup and M. Zadimoghaddam, "Consistent Hashing with
// Bounded Loads" (2018); xxHash, Y. Collet; hash tags, the Redis Cluster
// specification.
type Balanced struct{}

var _ Placement = Balanced{}

// Build implements [Placement]. Its errors begin with "ring: " and name the
// field and its place in the list. It does no I/O.
func (Balanced) Build(nodes []Node) (Ring, error) {
	if err := check(nodes); err != nil {
		return nil, err
	}
	r := &balanced{nodes: candidates(nodes), choose: chooseEqual}
	if slices.ContainsFunc(r.nodes, func(c candidate) bool { return c.weight != 1 }) {
		r.choose = chooseWeighted
	}
	bySlot := r.bySlot()
	r.table = newTable(bySlot, len(nodes))
	r.fingerprint = r.sum(nodes, bySlot)
	return r, nil
}

// check returns what is wrong with nodes, if anything is.
func check(nodes []Node) error {
	if len(nodes) == 0 {
		return errors.New("ring: nodes: empty")
	}
	if len(nodes) > maxNodes {
		return fmt.Errorf("ring: nodes: %d are too many, at most %d are possible", len(nodes), maxNodes)
	}
	seen := make(map[string]int, len(nodes))
	for i, n := range nodes {
		if n.Name == "" {
			return fmt.Errorf("ring: nodes[%d].Name: empty", i)
		}
		if first, ok := seen[n.Name]; ok {
			return fmt.Errorf("ring: nodes[%d].Name: %q is the name of nodes[%d] too", i, n.Name, first)
		}
		seen[n.Name] = i
		if n.Weight < 0 || n.Weight > maxWeight {
			return fmt.Errorf("ring: nodes[%d].Weight: %d of node %q is not between 0 and %d", i, n.Weight, n.Name, maxWeight)
		}
	}
	return nil
}

// candidates returns nodes as candidates, sorted by name. Their weights are
// divided by their greatest common divisor, so that lists with the same ratios
// are the same list.
func candidates(nodes []Node) []candidate {
	common := 0
	for _, n := range nodes {
		common = gcd(common, max(n.Weight, 1))
	}
	sorted := make([]candidate, len(nodes))
	for i, n := range nodes {
		sorted[i] = candidate{
			seed:   xxhash.Sum64String(n.Name),
			weight: uint64(max(n.Weight, 1) / common),
			node:   uint16(i),
		}
	}
	slices.SortFunc(sorted, func(a, b candidate) int {
		return strings.Compare(nodes[a.node].Name, nodes[b.node].Name)
	})
	return sorted
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// balanced is the ring of [Balanced]. It is immutable once built.
type balanced struct {
	table       *table
	nodes       []candidate // sorted by name
	choose      chooser
	fingerprint uint64
}

// bySlot gives every slot a node.
func (r *balanced) bySlot() *[slots]uint16 {
	bySlot := new([slots]uint16)
	open, room := slices.Clone(r.nodes), quotas(r.nodes)
	for slot := range bySlot {
		h := xxhash.Sum64([]byte{byte(slot), byte(slot >> 8)})
		i := r.choose(h, open)
		bySlot[slot] = open[i].node
		if room[i]--; room[i] == 0 {
			open, room = slices.Delete(open, i, i+1), slices.Delete(room, i, i+1)
		}
	}
	return bySlot
}

// quotas returns how many slots each node may hold: its share and its slack,
// rounded up, so that together they are never too few.
func quotas(nodes []candidate) []int {
	var total uint64
	for _, n := range nodes {
		total += n.weight
	}
	quotas := make([]int, len(nodes))
	for i, n := range nodes {
		share := slots * n.weight // in units of 1/total
		slack := min(share/slackShare, slackSlots*total)
		quotas[i] = int((share + slack + total - 1) / total)
	}
	return quotas
}

// sum hashes all that decides placement, in the order of names: the rule
// itself, the names and weights, and the table.
func (r *balanced) sum(nodes []Node, bySlot *[slots]uint16) uint64 {
	data := make([]byte, 0, 2*slots+32*len(nodes))
	data = append(data, "fluster ring.Balanced 1\n"...)
	rank := make([]uint16, len(nodes))
	for i, c := range r.nodes {
		name := nodes[c.node].Name
		data = binary.AppendUvarint(data, uint64(len(name)))
		data = append(data, name...)
		data = binary.AppendUvarint(data, c.weight)
		rank[c.node] = uint16(i)
	}
	for _, node := range bySlot {
		data = binary.LittleEndian.AppendUint16(data, rank[node])
	}
	return xxhash.Sum64(data)
}

// Fingerprint implements [Ring].
func (r *balanced) Fingerprint() uint64 { return r.fingerprint }

// View implements [Ring]. It takes time for each node, none for each slot.
func (r *balanced) View(live []bool) View {
	if live != nil && len(live) != len(r.nodes) {
		panic(fmt.Sprintf("ring: View was told of %d nodes, but the ring has %d.", len(live), len(r.nodes)))
	}
	if !slices.Contains(live, false) {
		return r.table
	}
	v := &partial{
		table:  r.table,
		live:   slices.Clone(live),
		living: make([]candidate, 0, len(live)),
		choose: r.choose,
	}
	for _, n := range r.nodes {
		if live[n.node] {
			v.living = append(v.living, n)
		}
	}
	return v
}
