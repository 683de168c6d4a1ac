package ring_test

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/cespare/xxhash/v2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redisfluster/fluster/ring"
)

// A reference is the placement spelled out: names for positions, a map for a
// table, big numbers for bit tricks, and no short cut.
type reference struct {
	nodes []refNode // sorted by name
	table map[uint64]string
}

type refNode struct {
	name   string
	weight int64
}

func newReference(nodes []ring.Node) *reference {
	ref := &reference{table: map[uint64]string{}}
	total := int64(0)
	for _, n := range nodes {
		weight := max(int64(n.Weight), 1)
		ref.nodes = append(ref.nodes, refNode{n.Name, weight})
		total += weight
	}
	slices.SortFunc(ref.nodes, func(a, b refNode) int { return strings.Compare(a.name, b.name) })

	held := map[string]int64{}
	for slot := range uint64(1 << 16) {
		hash := xxhash.Sum64([]byte{byte(slot % 256), byte(slot / 256)})
		winner := refRendezvous(hash, ref.nodes, func(n refNode) bool {
			return float64(held[n.name]) < quota(n.weight, total)
		})
		ref.table[slot] = winner
		held[winner]++
	}
	return ref
}

func quota(weight, total int64) float64 {
	share := 65536 * float64(weight) / float64(total)
	return share + min(share/32, 20)
}

// refRendezvous returns the name of the best of the nodes that may take part.
func refRendezvous(hash uint64, nodes []refNode, may func(refNode) bool) string {
	best, winner := new(big.Int), ""
	for _, n := range nodes {
		if !may(n) {
			continue
		}
		cost := refCost(refLot(hash, n.name))
		cost.Div(cost, big.NewInt(n.weight))
		if winner == "" || cost.Cmp(best) < 0 {
			best, winner = cost, n.name
		}
	}
	return winner
}

var (
	twoTo55 = new(big.Int).Lsh(big.NewInt(1), 55)
	twoTo64 = new(big.Int).Lsh(big.NewInt(1), 64)
)

// refLot is the upper half of a product of 128 bits, XOR the lower.
func refLot(hash uint64, name string) *big.Int {
	a := new(big.Int).SetUint64(hash ^ 0x9e3779b97f4a7c15)
	b := new(big.Int).SetUint64(xxhash.Sum64String(name) ^ 0xd1b54a32d192ed03)
	hi, lo := a.Mul(a, b).DivMod(a, twoTo64, new(big.Int))
	return hi.Xor(hi, lo)
}

// refCost is -log2(1 - lot/2^64) in units of 2^-57, on straight lines between
// 256 points to each power of two.
func refCost(lot *big.Int) *big.Int {
	rest := new(big.Int).Sub(twoTo64, lot)
	rest.Sub(rest, big.NewInt(1)) // in units of 2^-64
	if rest.Sign() == 0 {
		return rest.Lsh(big.NewInt(65), 57)
	}
	zeros := 64 - rest.BitLen()
	rest.Lsh(rest, uint(zeros)) // is now 2^63 (a half) or more, and less than 2^64 (one)
	step, fraction := rest.DivMod(rest, twoTo55, new(big.Int))

	from, to := refLogs()[step.Int64()-256], refLogs()[step.Int64()-255]
	fall := new(big.Int).Sub(from, to)
	fall.Mul(fall, fraction).Rsh(fall, 55)
	whole := new(big.Int).Lsh(big.NewInt(int64(zeros)), 57)
	return whole.Add(whole, fall.Sub(from, fall))
}

// refLogs is 1 - log2(1 + i/256), rounded up to 32 binary places, in units of
// 2^-57. No value is so near to a place that a float64 might get it wrong.
var refLogs = sync.OnceValue(func() (logs []*big.Int) {
	for i := range 257 {
		places := math.Ceil((1 - math.Log2(1+float64(i)/256)) * (1 << 32))
		logs = append(logs, new(big.Int).Lsh(big.NewInt(int64(places)), 25))
	}
	return logs
})

// locate returns the name of key's node among those that live, or "".
func (ref *reference) locate(key string, live map[string]bool) string {
	hash := xxhash.Sum64String(slowHashTag(key))
	for _, slot := range []uint64{hash >> 48, hash >> 32 & 0xffff, hash >> 16 & 0xffff, hash & 0xffff} {
		if live[ref.table[slot]] {
			return ref.table[slot]
		}
	}
	return refRendezvous(hash, ref.nodes, func(n refNode) bool { return live[n.name] })
}

// A pair is one list of nodes, laid out both ways.
type pair struct {
	nodes []ring.Node
	ring  ring.Ring
	ref   *reference
}

var pairs = sync.OnceValue(func() (all []pair) {
	twin, other := collidingNames() // which draw the same lots: the first by name wins
	for _, nodes := range [][]ring.Node{
		{{Name: "only"}},
		{{Name: "b"}, {Name: "a"}},
		{{Name: "redis-3"}, {Name: "redis-1", Weight: 2}, {Name: "redis-2", Weight: 3}},
		{{Name: "10.0.0.2:6379", Weight: 1000}, {Name: "10.0.0.1:6379"}, {Name: "é"}, {Name: "\xff\x00", Weight: 7}},
		{{Name: other}, {Name: "c"}, {Name: twin}, {Name: "d"}},
		{{Name: other, Weight: 2}, {Name: "c", Weight: 1}, {Name: twin, Weight: 2}},
		equalNodes(6),
	} {
		r, err := ring.Balanced{}.Build(nodes)
		if err != nil {
			panic(err)
		}
		all = append(all, pair{nodes, r, newReference(nodes)})
	}
	return all
})

// check compares the two for key while the nodes whose bits are set live.
func (p pair) check(t require.TestingT, key string, bits uint64) {
	flags, live := make([]bool, len(p.nodes)), map[string]bool{}
	for i, n := range p.nodes {
		flags[i] = bits>>i&1 == 1
		live[n.Name] = flags[i]
	}
	got := name(p.nodes, p.ring.View(flags).Locate(key))
	require.Equal(t, p.ref.locate(key, live), got, "key %q, live %v", key, live)
}

func TestEverySlotAgreesWithTheReference(t *testing.T) {
	for i, p := range pairs() {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			v := p.ring.View(nil)
			for slot, key := range slotKeys() {
				if want, got := p.ref.table[uint64(slot)], name(p.nodes, v.Locate(key)); want != got {
					t.Fatalf("slot %d: %q, want %q", slot, got, want)
				}
			}
		})
	}
}

func TestLocateAgreesWithTheReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.OneOf(rapid.String(), rapid.StringMatching(`[{}x]{0,8}`)).Draw(t, "key")
		bits := rapid.Uint64Range(0, 63).Draw(t, "live")
		for _, p := range pairs() {
			p.check(t, key, bits)
		}
	})
}

// Random keys rarely miss all living nodes on their four tries; with one of
// six alive, half of them do.
func TestTheLastResortAgreesWithTheReference(t *testing.T) {
	for _, p := range pairs() {
		for _, key := range randomKeys(100) {
			for i := range p.nodes {
				p.check(t, key, 1<<i)
				p.check(t, key, 3<<i)
			}
		}
	}
}

func FuzzLocate(f *testing.F) {
	f.Add("user:42", uint64(63))
	f.Add("{user:42}:cart", uint64(5))
	f.Add("", uint64(0))
	f.Add("\xff{}{a}", uint64(32))
	all := pairs() // which takes longer than fuzzing lets one input take
	f.Fuzz(func(t *testing.T, key string, bits uint64) {
		for _, p := range all {
			p.check(t, key, bits)
		}
	})
}
