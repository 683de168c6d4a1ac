package compat

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/redisfluster/fluster/ring"
)

// Twemproxy is the placement of twemproxy (nutcracker) 0.5 on x86-64. Its fields
// are the settings of a pool in twemproxy's file, and its zero value has twemproxy's
// defaults.
//
// The Name of a node is the name that its line of the file gives it. For a server
// without one it is host:port as written, but only the host if the port is 11211,
// and the path with a colon behind it for a socket: [TwemproxyServer] makes a node
// of a line. The order of the list does not count: twemproxy sorts its servers by
// their names, the shorter before the longer, which decides with modula and where two
// servers share a point of the ring.
//
// Weights go up to 2^31-1, and to 2^32-1 in all. With ketama, what remains of a
// weight after rounding is a multiple of four points out of some 160 for each server,
// so that a server a few hundred times lighter than the others gets no keys at all.
//
// How evenly keys are shared depends on the hash: fnv1a_64, the default, puts keys
// that differ only at the end next to each other, so that with ketama a server may
// get several times its share.
//
// Source: twemproxy's notes/recommendation.md, and src/hashkit for the arithmetic.
type Twemproxy struct {
	// Hash is the hash function: fnv1a_64, fnv1_64, fnv1_32, fnv1a_32,
	// one_at_a_time, md5, crc16, crc32, crc32a, hsieh, murmur or jenkins. If empty,
	// it is fnv1a_64.
	Hash string

	// Distribution is ketama or modula. If empty, it is ketama. The third of
	// twemproxy's, random, places no key.
	Distribution string

	// HashTag is two bytes, such as "{}". The part of a key between the first of one
	// and the first of the other after it is what is hashed, unless it is empty. They
	// may be the same. If empty, keys have no tags.
	HashTag string

	// AutoEject is auto_eject_hosts: servers that are out are left aside, and all
	// keys are shared out anew among those who live. With ketama little more moves
	// than the keys of those that are out; with modula nearly everything does. If
	// false, nothing moves, and calls for the keys of a server that is out fail.
	AutoEject bool
}

var _ ring.Placement = Twemproxy{}

const (
	defaultTwemproxyHash = "fnv1a_64"
	ketamaDistribution   = "ketama"
	modulaDistribution   = "modula"
)

// Build implements [ring.Placement]. Its errors name the field.
func (t Twemproxy) Build(nodes []ring.Node) (ring.Ring, error) {
	t.setDefaults()
	lay, err := t.layout()
	if err != nil {
		return nil, err
	}
	if err := check(nodes, maxWeight); err != nil {
		return nil, err
	}
	if total := totalWeight(nodes); total > math.MaxUint32 {
		return nil, fmt.Errorf("compat: nodes: their weights are %d in all, at most %d are possible", total, uint32(math.MaxUint32))
	}
	all := lay(members(nodes, nil))
	sum := t.fingerprint(nodes, all)
	if !t.AutoEject {
		return &fixed{view: all, nodes: len(nodes), fingerprint: sum}, nil
	}
	return &relaid{nodes: slices.Clone(nodes), all: all, lay: lay, fingerprint: sum}, nil
}

// setDefaults fills in what is not set.
func (t *Twemproxy) setDefaults() {
	if t.Hash == "" {
		t.Hash = defaultTwemproxyHash
	}
	if t.Distribution == "" {
		t.Distribution = ketamaDistribution
	}
}

// layout returns what lays out a list of servers.
func (t Twemproxy) layout() (func([]member) ring.View, error) {
	hash := twemproxyHashes[t.Hash]
	if hash == nil {
		return nil, fmt.Errorf("compat: Twemproxy.Hash: there is no %q", t.Hash)
	}
	part := wholeKey
	switch len(t.HashTag) {
	case 0:
	case 2:
		part = between(t.HashTag[0], t.HashTag[1])
	default:
		return nil, fmt.Errorf("compat: Twemproxy.HashTag: %q is not two bytes", t.HashTag)
	}
	// Whatever the function, twemproxy does not call it for an empty key.
	place := func(part string) uint64 {
		if part == "" {
			return 0
		}
		return uint64(hash(part))
	}
	switch t.Distribution {
	case ketamaDistribution:
		return func(m []member) ring.View {
			return &onCircle{part, place, ketamaCircle(inProxyOrder(m), twemproxyHashCount)}
		}, nil
	case modulaDistribution:
		return func(m []member) ring.View { return newModula(part, place, inProxyOrder(m)) }, nil
	}
	return nil, fmt.Errorf("compat: Twemproxy.Distribution: %q is neither %s nor %s", t.Distribution, ketamaDistribution, modulaDistribution)
}

// inProxyOrder sorts servers as twemproxy does when it has read its file.
func inProxyOrder(servers []member) []member {
	slices.SortFunc(servers, func(a, b member) int {
		return cmp.Or(cmp.Compare(len(a.Name), len(b.Name)), cmp.Compare(a.Name, b.Name))
	})
	return servers
}

// between is the tagger for tags between two bytes.
func between(first, second byte) tagger {
	return func(key string) string {
		open := strings.IndexByte(key, first)
		if open < 0 {
			return key
		}
		tail := key[open+1:]
		if end := strings.IndexByte(tail, second); end > 0 {
			return tail[:end]
		}
		return key
	}
}

func totalWeight(nodes []ring.Node) (total uint64) {
	for _, n := range nodes {
		total += weight(n)
	}
	return total
}

// weight returns a node's weight, which is 1 if it has none.
func weight(n ring.Node) uint64 { return uint64(max(n.Weight, 1)) }

// twemproxyHashCount returns how many hashes a server gets, of which each is four
// points: its share of 40 for each server, rounded at every step to what a float of
// C holds. The conversions keep the compiler from fusing steps, which would round
// less often.
func twemproxyHashCount(weight, total uint64, servers int) int {
	share := float32(weight) / float32(total)
	t := float32(share * 160)
	t = float32(t / 4)
	t = float32(t * float32(servers))
	return int(float32(float64(t) + 1e-10))
}

// modula is the view of a list in which each server stands as often as its weight
// says; the hash modulo the list's length is the place in it.
type modula struct {
	part  tagger
	hash  hasher
	total uint64
	bands *circle // the last place of each server
}

func newModula(part tagger, hash hasher, members []member) *modula {
	v := &modula{part: part, hash: hash}
	bands := make([]point, len(members), len(members)+1)
	for i, m := range members {
		v.total += weight(m.Node)
		bands[i] = point{v.total - 1, m.position}
	}
	v.bands = newCircle(bands, bitsFor(v.total-1), 0)
	return v
}

// Locate implements [ring.View].
func (v *modula) Locate(key string) int {
	return v.bands.node(v.hash(v.part(key)) % v.total)
}

// fingerprint sums up what decides the layout, under any set of servers that live.
func (t Twemproxy) fingerprint(nodes []ring.Node, all ring.View) uint64 {
	f := newFingerprint("twemproxy", t.Hash, t.Distribution, t.HashTag, fmt.Sprint(t.AutoEject))
	v, ketama := all.(*onCircle)
	if !ketama {
		sorted := make([]ring.Node, 0, len(nodes))
		for _, m := range inProxyOrder(members(nodes, nil)) {
			sorted = append(sorted, m.Node)
		}
		return f.names(sorted).weights(sorted, 1).sum()
	}
	if t.AutoEject {
		f.sortedWeights(nodes, exactFloat32)
	}
	return f.places(v.circle.points, nodes).sum()
}
