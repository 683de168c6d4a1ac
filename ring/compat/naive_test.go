package compat_test

import (
	"cmp"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"

	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

// A naive is a placement spelled out with no thought of speed: no index, regular
// expressions for tags, big numbers for floats of C. Some node lives.
type naive func(nodes []ring.Node, live []bool, key string) int

// A dot is a point of a circle.
type dot struct {
	at   uint64
	node int
}

// after returns the node of the first dot at h or later; before, of the last dot at
// h or earlier. Of dots at one place, the first in the list counts.
func after(dots []dot, h uint64) int { return around(dots, h, func(d dot) uint64 { return d.at - h }) }

func before(dots []dot, h uint64) int { return around(dots, h, func(d dot) uint64 { return h - d.at }) }

func around(dots []dot, h uint64, way func(dot) uint64) int {
	return slices.MinFunc(dots, func(a, b dot) int { return cmp.Compare(way(a), way(b)) }).node
}

func wide(sum uint32) uint64 { return uint64(sum) << 32 }

func md5Dots(label string, hashes, node int) (dots []dot) {
	for k := range hashes {
		sum := md5.Sum(fmt.Appendf(nil, "%s-%d", label, k))
		for i := range 4 {
			dots = append(dots, dot{wide(binary.LittleEndian.Uint32(sum[4*i:])), node})
		}
	}
	return dots
}

func md5Word(s string) uint64 {
	sum := md5.Sum([]byte(s))
	return wide(binary.LittleEndian.Uint32(sum[:]))
}

func heft(n ring.Node) int { return max(n.Weight, 1) }

func positions(live []bool) (list []int) {
	for i, l := range live {
		if l {
			list = append(list, i)
		}
	}
	return list
}

func everybody(nodes []ring.Node) []bool { return without(len(nodes)) }

var braces = regexp.MustCompile(`(?s)^[^{]*\{([^}]+)\}`)

func braceTag(key string) string { return firstGroup(braces, key) }

func firstGroup(re *regexp.Regexp, key string) string {
	if m := re.FindStringSubmatch(key); m != nil {
		return m[1]
	}
	return key
}

// naiveMurmur3 is written from the description of MurmurHash3_x86_32.
func naiveMurmur3(key string) int32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	rotate := func(x uint32, by int) uint32 { return x<<by | x>>(32-by) }
	h, padded := uint32(0), []byte(key)
	for len(padded)%4 != 0 {
		padded = append(padded, 0)
	}
	for i := 0; i < len(padded); i += 4 {
		k := rotate(binary.LittleEndian.Uint32(padded[i:])*c1, 15) * c2
		h ^= k
		if i+4 <= len(key) {
			h = rotate(h, 13)*5 + 0xe6546b64
		}
	}
	h ^= uint32(len(key))
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return int32(h ^ h>>16)
}

func naiveFluster(nodes []ring.Node, live []bool, key string) int {
	h := big.NewInt(int64(naiveMurmur3(key)))
	mod := func(n int) int { return int(new(big.Int).Mod(h, big.NewInt(int64(n))).Int64()) }
	if home := mod(len(nodes)); live[home] {
		return home
	}
	active := positions(live)
	return active[mod(len(active))]
}

func naiveRedCluster(nodes []ring.Node, _ []bool, key string) int {
	return int(crc32.ChecksumIEEE([]byte(key)) % uint32(len(nodes)))
}

func naiveGoRedis(nodes []ring.Node, live []bool, key string) int {
	winner, best := -1, new(big.Int)
	for _, i := range positions(live) {
		x := xxhash.Sum64String(braceTag(key)) ^ xxhash.Sum64String(nodes[i].Name)
		x ^= x / (1 << 12)
		x ^= x * (1 << 25)
		x ^= x / (1 << 27)
		lot := new(big.Int).Mul(new(big.Int).SetUint64(x), big.NewInt(2685821657736338717))
		lot.Mod(lot, new(big.Int).Lsh(big.NewInt(1), 64))
		if winner < 0 || lot.Cmp(best) > 0 {
			winner, best = i, lot
		}
	}
	return winner
}

// float rounds x to a float of C.
func float(x *big.Float) *big.Float {
	return new(big.Float).SetPrec(24).SetMode(big.ToNearestEven).Set(x)
}

// double rounds x to a double of C.
func double(x *big.Float) *big.Float {
	return new(big.Float).SetPrec(53).SetMode(big.ToNearestEven).Set(x)
}

func exact(x float64) *big.Float { return new(big.Float).SetPrec(300).SetFloat64(x) }

func floorOf(x *big.Float) int {
	n, _ := x.Int64() // cuts off, and x is not negative
	return int(n)
}

func quotient(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(300).Quo(a, b) }

func product(a, b *big.Float) *big.Float { return new(big.Float).SetPrec(300).Mul(a, b) }

func floatShare(weight, total int) *big.Float {
	return float(quotient(float(exact(float64(weight))), float(exact(float64(total)))))
}

func twemproxyHashes(weight, total, n int) int {
	t := float(product(floatShare(weight, total), exact(160)))
	t = float(product(t, exact(0.25)))
	t = float(product(t, exact(float64(n))))
	return floorOf(float(double(new(big.Float).SetPrec(300).Add(t, exact(1e-10)))))
}

func libketamaHashes(weight, total, n int) int {
	t := double(product(floatShare(weight, total), exact(40)))
	return floorOf(float(double(product(t, exact(float64(n))))))
}

func predisShare(weight, total, n, factor int) *big.Float {
	share := double(quotient(exact(float64(weight)), exact(float64(total))))
	return double(product(double(product(share, exact(float64(n)))), exact(float64(factor))))
}

// lay returns the dots of the nodes that live, given how many hashes each has.
func lay(nodes []ring.Node, live []bool, weight func(ring.Node) int, hashes func(weight, total, n int) int) (dots []dot) {
	members, total := positions(live), 0
	for _, i := range members {
		total += weight(nodes[i])
	}
	for _, i := range members {
		dots = append(dots, md5Dots(nodes[i].Name, hashes(weight(nodes[i]), total, len(members)), i)...)
	}
	return dots
}

// inOrder turns a placement to which the order of the list matters into one that
// sorts the list first: shorter names before longer ones.
func inOrder(place naive) naive {
	return func(nodes []ring.Node, live []bool, key string) int {
		order := slices.SortedFunc(slices.Values(positions(everybody(nodes))), func(a, b int) int {
			return strings.Compare(fmt.Sprintf("%9d %s", len(nodes[a].Name), nodes[a].Name), fmt.Sprintf("%9d %s", len(nodes[b].Name), nodes[b].Name))
		})
		var sorted []ring.Node
		var theirs []bool
		for _, i := range order {
			sorted, theirs = append(sorted, nodes[i]), append(theirs, live[i])
		}
		return order[place(sorted, theirs, key)]
	}
}

func naiveTwemproxy(hash string, eject bool) naive {
	return inOrder(func(nodes []ring.Node, live []bool, key string) int {
		if !eject {
			live = everybody(nodes)
		}
		h := uint64(0)
		switch {
		case key == "":
		case hash == "md5":
			h = md5Word(key)
		default:
			h = wide(naiveFNV1a64(key))
		}
		return after(lay(nodes, live, heft, twemproxyHashes), h)
	})
}

// naiveFNV1a64 computes with numbers of any size and cuts at the end of each step.
func naiveFNV1a64(key string) uint32 {
	limit := new(big.Int).Lsh(big.NewInt(1), 32)
	h := big.NewInt(0x84222325)
	for _, b := range []byte(key) {
		extended := int64(b)
		if b >= 0x80 {
			extended |= 0xffffff00
		}
		h.Xor(h, big.NewInt(extended)).Mul(h, big.NewInt(0x1b3)).Mod(h, limit)
	}
	return uint32(h.Uint64())
}

func naiveModula(eject bool) naive {
	return inOrder(func(nodes []ring.Node, live []bool, key string) int {
		if !eject {
			live = everybody(nodes)
		}
		var list []int
		for _, i := range positions(live) {
			list = append(list, slices.Repeat([]int{i}, heft(nodes[i]))...)
		}
		if key == "" {
			return list[0]
		}
		return list[naiveFNV1a64(key)%uint32(len(list))]
	})
}

// In Go, a dot matches all but \n; Java leaves out more.
var (
	javaTag = regexp.MustCompile("\\{([^\n\r\u0085\u2028\u2029]+?)\\}")
	rubyTag = regexp.MustCompile(`(?m)^\{(.+?)\}`)
)

func naiveJedis(j compat.Jedis) naive {
	hash := func(s string) uint64 { return naiveMurmur64(s) }
	if j.Hash == "md5" {
		hash = md5Word
	}
	return func(nodes []ring.Node, _ []bool, key string) int {
		if j.Tags && utf8.ValidString(key) {
			key = firstGroup(javaTag, key)
		}
		var dots []dot
		for i, n := range nodes {
			label := n.Name + "*"
			switch {
			case j.Unnamed:
				label = fmt.Sprintf("SHARD-%d-NODE-", i)
			case j.OldLabels:
				label += fmt.Sprint(heft(n))
			}
			for k := range 160 * heft(n) {
				dots = append(dots, dot{hash(label + fmt.Sprint(k)), i})
			}
		}
		slices.Reverse(dots) // the last shard wins
		return after(dots, hash(key))
	}
}

// naiveMurmur64 pads the rest of the key with zeros.
func naiveMurmur64(key string) uint64 {
	const m = 0xc6a4a7935bd1e995
	h, b := 0x1234abcd^uint64(len(key))*m, []byte(key)
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b[:8]) * m
		k ^= k >> 47
		k *= m
		h ^= k
		h *= m
	}
	if len(b) > 0 {
		h ^= binary.LittleEndian.Uint64(append(slices.Clone(b), make([]byte, 8)...))
		h *= m
	}
	h ^= h >> 47
	h *= m
	return h ^ h>>47
}

func naiveRedisRb(generation int) naive {
	return func(nodes []ring.Node, live []bool, key string) int {
		taken := map[uint64]int{}
		at := func(n ring.Node, k int) uint64 {
			label := fmt.Appendf(nil, "%s:%d", n.Name, k)
			if generation == 4 {
				return wide(crc32.ChecksumIEEE(label))
			}
			sum := md5.Sum(label)
			return wide(binary.BigEndian.Uint32(sum[:]))
		}
		each := func(lives bool, do func(at uint64, i int)) {
			for i, n := range nodes {
				for k := range 160 {
					if live[i] == lives {
						do(at(n, k), i)
					}
				}
			}
		}
		each(true, func(at uint64, i int) { taken[at] = i })
		each(false, func(at uint64, _ int) { delete(taken, at) })
		var dots []dot
		for at, i := range taken {
			dots = append(dots, dot{at, i})
		}
		return before(dots, wide(crc32.ChecksumIEEE([]byte(rubyTagOf(key)))))
	}
}

// rubyTagOf hides bytes that are not UTF-8, of which a dot of Go's makes runes, as it
// does for those that are.
func rubyTagOf(key string) string {
	at := rubyTag.FindStringSubmatchIndex(key)
	if at == nil {
		return key
	}
	return key[at[2]:at[3]]
}

func naivePredis(ketama bool) naive {
	weight := func(n ring.Node) int {
		if n.Weight == 0 {
			return 100
		}
		return n.Weight
	}
	return func(nodes []ring.Node, live []bool, key string) int {
		if ketama {
			dots := lay(nodes, live, weight, func(w, total, n int) int { return floorOf(predisShare(w, total, n, 40)) })
			slices.Reverse(dots)
			return after(dots, md5Word(braceTag(key)))
		}
		members, total := positions(live), 0
		for _, i := range members {
			total += weight(nodes[i])
		}
		var dots []dot
		for _, i := range members {
			share, _ := predisShare(weight(nodes[i]), total, len(members), 128).Float64()
			for k := range naiveRound(share) {
				dots = append(dots, dot{wide(crc32.ChecksumIEEE(fmt.Appendf(nil, "%s:%d", nodes[i].Name, k))), i})
			}
		}
		slices.Reverse(dots)
		return before(dots, wide(crc32.ChecksumIEEE([]byte(braceTag(key)))))
	}
}

// naiveRound rounds by the decimal digits.
func naiveRound(x float64) int {
	if x >= 1 {
		var short float64
		if _, err := fmt.Sscan(fmt.Sprintf("%.15g", x), &short); err != nil {
			panic(err)
		}
		x = short
	}
	return int(math.Floor(x + 0.5))
}

func naivePhpTag(key string) string {
	text, _, _ := strings.Cut(key, "\x00")
	_, rest, open := strings.Cut(text, "{")
	tag, _, closed := strings.Cut(rest, "}")
	if open && closed {
		return tag
	}
	return key
}

func naivePhpRedis(consistent bool) naive {
	return func(nodes []ring.Node, _ []bool, key string) int {
		sum := crc32.ChecksumIEEE([]byte(naivePhpTag(key)))
		if consistent {
			dots := lay(nodes, everybody(nodes), heft, func(int, int, int) int { return 40 })
			return after(dots, wide(^sum))
		}
		return naiveStretch(uint64(sum), len(nodes))
	}
}

func naiveStretch(sum uint64, n int) int {
	at := new(big.Int).Mul(big.NewInt(int64(sum)), big.NewInt(int64(n)))
	return min(int(at.Div(at, big.NewInt(1<<32-1)).Int64()), n-1)
}

func naivePhpRedisSHA256(nodes []ring.Node, _ []bool, key string) int {
	sum := sha256.Sum256([]byte(naivePhpTag(key)))
	r := binary.LittleEndian.Uint64(sum[:8]) % (1<<32 - 1)
	return naiveStretch((1<<32-1)-r, len(nodes))
}

func naiveLibketama(nodes []ring.Node, live []bool, key string) int {
	return after(lay(nodes, live, heft, libketamaHashes), md5Word(key))
}
