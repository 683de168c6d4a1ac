package compat_test

import (
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

// byTheList says for which peers the order of the list decides.
var byTheList = []string{"redis-fluster", "red-cluster", "jedis/unnamed,md5", "phpredis", "phpredis/sha256"}

func TestTheOrderOfTheListDecidesForSomePeersOnly(t *testing.T) {
	keys := someKeys(1000)
	eachPeer(t, func(t *testing.T, p peer) {
		nodes := nodesOf(30)
		shuffled := slices.Clone(nodes)
		rand.New(rand.NewPCG(7, 7)).Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		a, b := build(t, p.placement, nodes), build(t, p.placement, shuffled)
		decides := slices.Contains(byTheList, p.name)
		assert.Equal(t, decides, a.Fingerprint() != b.Fingerprint(), "fingerprints")
		assert.Equal(t, decides, !slices.Equal(names(nodes, a.View(nil), keys), names(shuffled, b.View(nil), keys)), "places")
	})
}

// names returns the names of the nodes where keys go.
func names(nodes []ring.Node, v ring.View, keys []string) []string {
	list := make([]string, len(keys))
	for i, k := range keys {
		list[i] = nodes[v.Locate(k)].Name
	}
	return list
}

func TestRingsWithOneFingerprintPlaceAlike(t *testing.T) {
	keys := someKeys(60)
	rapid.Check(t, func(t *rapid.T) {
		p := drawPeer(t)
		nodes := drawNodes(t, p)
		other := slices.Clone(nodes)
		if scale := rapid.IntRange(1, 3).Draw(t, "scale"); p.weights {
			for i := range other {
				other[i].Weight *= scale
			}
		}
		other = rapid.Permutation(other).Draw(t, "other")
		a, b := build(t, p.placement, nodes), build(t, p.placement, other)
		if a.Fingerprint() != b.Fingerprint() {
			return
		}
		out := rapid.SampledFrom(nodes).Draw(t, "out").Name
		if len(nodes) == 1 {
			out = ""
		}
		require.Equal(t, names(nodes, a.View(all(nodes, out)), keys), names(other, b.View(all(other, out)), keys))
	})
}

// all returns the flags under which all nodes live but the one called out.
func all(nodes []ring.Node, out string) []bool {
	live := make([]bool, len(nodes))
	for i, n := range nodes {
		live[i] = n.Name != out
	}
	return live
}

func TestWhatPlacesOtherwiseHasAnotherFingerprint(t *testing.T) {
	seen := map[uint64]string{}
	note := func(what string, p ring.Placement, nodes []ring.Node) {
		f := build(t, p, nodes).Fingerprint()
		assert.Empty(t, seen[f], "%s has the fingerprint of another", what)
		seen[f] = what
	}
	for _, p := range peers {
		note(p.name, p.placement, nodesOf(3))
		note(p.name+", four nodes", p.placement, nodesOf(4))
		renamed := nodesOf(3)
		renamed[1].Name = "other"
		note(p.name+", another name", p.placement, renamed)
		if p.weights {
			heavy := nodesOf(3)
			heavy[1].Weight = 7
			note(p.name+", another weight", p.placement, heavy)
		}
	}
	note("another hash", compat.Twemproxy{Hash: "crc16"}, nodesOf(3))
	note("another tag", compat.Twemproxy{HashTag: "{}"}, nodesOf(3))
	note("tags", compat.Jedis{Tags: true}, nodesOf(3))
}

func TestOnlyTheRatiosOfWeightsCountWherePeersDivide(t *testing.T) {
	for name, p := range map[string]ring.Placement{
		"twemproxy": compat.Twemproxy{AutoEject: true}, "libketama": compat.Libketama{},
		"predis": compat.Predis{}, "predis/ketama": compat.Predis{Ketama: true},
	} {
		t.Run(name, func(t *testing.T) {
			mark := func(weights ...int) uint64 {
				nodes := nodesOf(len(weights))
				for i, w := range weights {
					nodes[i].Weight = w
				}
				return build(t, p, nodes).Fingerprint()
			}
			assert.Equal(t, mark(1, 2, 3), mark(100, 200, 300))
			assert.NotEqual(t, mark(1, 2, 3), mark(100, 200, 400))
		})
	}
}

// Predis gives a weight of 100 to a node without one.
func TestANodeWithoutAWeightWeighsAHundredForPredis(t *testing.T) {
	keys := someKeys(1000)
	mixed := []ring.Node{{Name: "a"}, {Name: "b", Weight: 50}}
	said := []ring.Node{{Name: "a", Weight: 100}, {Name: "b", Weight: 50}}
	a, b := build(t, compat.Predis{}, mixed), build(t, compat.Predis{}, said)
	assert.Equal(t, places(b.View(nil), keys), places(a.View(nil), keys))
	assert.Equal(t, b.Fingerprint(), a.Fingerprint())
}

// With a thousand light servers before a heavy one, all light ones are in one bucket.
func TestManyBandsInOneBucketAreToldApart(t *testing.T) {
	nodes := nodesOf(301)
	nodes[300] = ring.Node{Name: "the heavy one, which is last", Weight: 32468}
	v := build(t, compat.Twemproxy{Hash: "crc32", Distribution: "modula"}, nodes).View(nil)
	sorted := slices.Clone(nodes)
	slices.SortStableFunc(sorted, func(a, b ring.Node) int {
		if len(a.Name) != len(b.Name) {
			return len(a.Name) - len(b.Name)
		}
		return slices.Compare([]byte(a.Name), []byte(b.Name))
	})
	light := 0
	for i := range 100_000 {
		key := fmt.Sprintf("user:%d", i)
		h := int(crc32.ChecksumIEEE([]byte(key)) >> 16 & 0x7fff)
		want := sorted[min(h, 300)].Name
		require.Equal(t, want, nodes[v.Locate(key)].Name, "key %q", key)
		if h < 300 {
			light++
		}
	}
	assert.Greater(t, light, 300)
}

// Ids with one CRC-32 and one length share all points in the oldest generation.
func TestRedisRbNodesThatShareAllTheirPoints(t *testing.T) {
	a, twin := collidingNames(t)
	keys := someKeys(300)
	rb := compat.RedisRb{Generation: 4}

	r := build(t, rb, []ring.Node{{Name: a}, {Name: twin}, {Name: "other"}})
	assert.NotContains(t, places(r.View(nil), keys), 0, "the last one has the points")
	assert.Contains(t, places(r.View(nil), keys), 1)
	for _, out := range []int{0, 1} {
		assert.Equal(t, slices.Repeat([]int{2}, len(keys)), places(r.View(without(3, out)), keys), "the points went with nodes[%d]", out)
	}

	alone := build(t, rb, []ring.Node{{Name: a}, {Name: twin}})
	assert.Equal(t, slices.Repeat([]int{0}, len(keys)), places(alone.View(without(2, 1)), keys), "no point is left")
	assert.Equal(t, slices.Repeat([]int{1}, len(keys)), places(alone.View(without(2, 0)), keys))
}

func collidingNames(t *testing.T) (a, b string) {
	seen := map[uint32]string{}
	for i := range 2_000_000 {
		name := fmt.Sprintf("%08x", uint32(i)*2654435761)
		sum := crc32.ChecksumIEEE([]byte(name))
		if other, ok := seen[sum]; ok {
			return other, name
		}
		seen[sum] = name
	}
	require.Fail(t, "no two names with one CRC-32")
	return "", ""
}
