package compat_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redisfluster/fluster/internal/vectors"
	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

// A peer is a placement and how the tests know it.
type peer struct {
	name      string
	placement ring.Placement
	weights   bool  // a node may have another weight than one
	fixed     bool  // a node that is out keeps its keys
	spread    bool  // a node that is out moves its own keys and no others
	naive     naive // the placement spelled out
}

var peers = []peer{
	{name: "redis-fluster", placement: compat.RedisFluster{}, spread: true, naive: naiveFluster},
	{name: "red-cluster", placement: compat.RedCluster{}, fixed: true, naive: naiveRedCluster},
	{name: "go-redis", placement: compat.GoRedisRing{}, spread: true, naive: naiveGoRedis},
	{name: "twemproxy", placement: compat.Twemproxy{}, weights: true, fixed: true, naive: naiveTwemproxy("fnv1a_64", false)},
	{name: "twemproxy/eject", placement: compat.Twemproxy{Hash: "md5", AutoEject: true}, weights: true, naive: naiveTwemproxy("md5", true)},
	{name: "twemproxy/modula", placement: compat.Twemproxy{Distribution: "modula"}, weights: true, fixed: true, naive: naiveModula(false)},
	{name: "twemproxy/modula,eject", placement: compat.Twemproxy{Distribution: "modula", AutoEject: true}, weights: true, naive: naiveModula(true)},
	{name: "jedis", placement: compat.Jedis{}, weights: true, fixed: true, naive: naiveJedis(compat.Jedis{})},
	{name: "jedis/old", placement: compat.Jedis{OldLabels: true, Tags: true}, weights: true, fixed: true, naive: naiveJedis(compat.Jedis{OldLabels: true, Tags: true})},
	{name: "jedis/unnamed,md5", placement: compat.Jedis{Hash: "md5", Unnamed: true}, weights: true, fixed: true, naive: naiveJedis(compat.Jedis{Hash: "md5", Unnamed: true})},
	{name: "redis-rb", placement: compat.RedisRb{}, spread: true, naive: naiveRedisRb(6)},
	{name: "redis-rb/4", placement: compat.RedisRb{Generation: 4}, spread: true, naive: naiveRedisRb(4)},
	{name: "predis", placement: compat.Predis{}, weights: true, naive: naivePredis(false)},
	{name: "predis/ketama", placement: compat.Predis{Ketama: true}, weights: true, naive: naivePredis(true)},
	{name: "phpredis", placement: compat.PhpRedis{}, fixed: true, naive: naivePhpRedis(false)},
	{name: "phpredis/consistent", placement: compat.PhpRedis{Consistent: true}, fixed: true, naive: naivePhpRedis(true)},
	{name: "phpredis/sha256", placement: compat.PhpRedis{Algorithm: "sha256"}, fixed: true, naive: naivePhpRedisSHA256},
	{name: "libketama", placement: compat.Libketama{}, weights: true, naive: naiveLibketama},
}

func eachPeer(t *testing.T, test func(t *testing.T, p peer)) {
	for _, p := range peers {
		t.Run(p.name, func(t *testing.T) { test(t, p) })
	}
}

func build(tb require.TestingT, p ring.Placement, nodes []ring.Node) ring.Ring {
	r, err := p.Build(nodes)
	require.NoError(tb, err)
	return r
}

// nodesOf returns n nodes, without weights.
func nodesOf(n int) []ring.Node {
	nodes := make([]ring.Node, n)
	for i := range nodes {
		nodes[i].Name = fmt.Sprintf("10.0.%d.%d:6379", i/250, i%250+1)
	}
	return nodes
}

// without returns the live flags of n nodes of which those at out are out.
func without(n int, out ...int) []bool {
	live := slices.Repeat([]bool{true}, n)
	for _, i := range out {
		live[i] = false
	}
	return live
}

// someKeys returns n keys, always the same ones, tags and odd bytes among them.
func someKeys(n int) []string {
	r, keys := rand.New(rand.NewPCG(1, 2)), make([]string, n)
	for i := range keys {
		switch i % 4 {
		case 0:
			keys[i] = "user:" + strconv.Itoa(i)
		case 1:
			keys[i] = fmt.Sprintf("cart:{%d}:%d", i/8, i)
		case 2:
			raw := make([]byte, r.IntN(40))
			for j := range raw {
				raw[j] = byte(r.Uint32())
			}
			keys[i] = string(raw)
		case 3:
			keys[i] = strings.Repeat("{}x\n", r.IntN(5))
		}
	}
	return keys
}

func TestEveryCellOfEverySetIsReproduced(t *testing.T) {
	results, err := vectors.CheckAll("testdata/vectors")
	require.NoError(t, err)
	assert.Len(t, results, 18)
	for _, r := range results {
		t.Run(r.Name, func(t *testing.T) {
			require.NoError(t, r.Err)
			assert.Zero(t, r.Mismatches, "%v", r.First)
			assert.GreaterOrEqual(t, r.Cells, 1695*9/10*r.Columns)
		})
	}
}

func TestLocateAgreesWithThePlacementSpelledOut(t *testing.T) {
	for range 3 {
		rapid.Check(t, checkLocate)
	}
}

func FuzzLocate(f *testing.F) { f.Fuzz(rapid.MakeFuzz(checkLocate)) }

// checkLocate compares some placement with the same spelled out.
func checkLocate(t *rapid.T) {
	p := drawPeer(t)
	nodes := drawNodes(t, p)
	live := rapid.SliceOfN(rapid.Bool(), len(nodes), len(nodes)).Draw(t, "live")
	v := build(t, p.placement, nodes).View(live)
	for _, key := range rapid.SliceOfN(keyGenerator(), 1, 4).Draw(t, "keys") {
		want := -1
		if slices.Contains(live, true) {
			want = p.naive(nodes, live, key)
		}
		if got := v.Locate(key); got != want {
			t.Fatalf("%s: key %q is at %d, want %d", p.name, key, got, want)
		}
	}
}

func drawPeer(t *rapid.T) peer { return peers[rapid.IntRange(0, len(peers)-1).Draw(t, "peer")] }

func drawNodes(t *rapid.T, p peer) []ring.Node {
	weight := rapid.Just(0)
	if p.weights {
		weight = rapid.OneOf(rapid.IntRange(0, 3), rapid.IntRange(0, 20))
	}
	return rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) ring.Node {
		return ring.Node{
			Name:   rapid.OneOf(rapid.StringMatching(`10\.0\.0\.[1-9]:[1-9]`), rapid.StringN(1, 8, -1)).Draw(t, "name"),
			Weight: weight.Draw(t, "weight"),
		}
	}), 1, 6, func(n ring.Node) string { return n.Name }).Draw(t, "nodes")
}

func keyGenerator() *rapid.Generator[string] {
	return rapid.OneOf(
		rapid.String(), rapid.StringMatching(`user:[0-9]{1,5}`), rapid.StringMatching("[{}x\n\r\u2028\x00]{0,8}"),
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 40), func(b []byte) string { return string(b) }),
	)
}

func TestAKeyHasANodeOfTheListWhoeverLives(t *testing.T) {
	keys := someKeys(400)
	eachPeer(t, func(t *testing.T, p peer) {
		for _, n := range []int{1, 2, 3, 49, 130} {
			r, random := build(t, p.placement, nodesOf(n)), rand.New(rand.NewPCG(3, uint64(n)))
			for range 3 {
				live := make([]bool, n)
				for i := range live {
					live[i] = random.IntN(3) > 0
				}
				some := slices.Contains(live, true)
				v := r.View(live)
				for _, key := range keys {
					switch got := v.Locate(key); {
					case !some:
						require.Equal(t, -1, got, "no node lives, key %q", key)
					case got < 0 || got >= n:
						require.Fail(t, "not in the list", "%d for key %q", got, key)
					case !p.fixed:
						require.True(t, live[got], "%d is out, key %q", got, key)
					}
				}
			}
		}
	})
}

func TestWhatMovesWhenANodeIsOutIsAsThePeerHasIt(t *testing.T) {
	keys := someKeys(2000)
	eachPeer(t, func(t *testing.T, p peer) {
		const n, out = 10, 4
		r := build(t, p.placement, nodesOf(n))
		all, less := r.View(nil), r.View(without(n, out))
		orphans, needless := 0, 0
		for _, key := range keys {
			from, to := all.Locate(key), less.Locate(key)
			switch {
			case from == out:
				orphans++
				require.Equal(t, p.fixed, to == out, "key %q", key)
			case from != to:
				needless++
			}
		}
		require.NotZero(t, orphans, "the node had no key, so nothing was shown")
		if p.fixed || p.spread {
			assert.Zero(t, needless)
		}
		back := r.View(without(n))
		for _, key := range keys {
			require.Equal(t, all.Locate(key), back.Locate(key), "after the return")
		}
	})
}

func TestBuildRefusesWhatCannotBePlaced(t *testing.T) {
	tooMany := nodesOf(65537)
	eachPeer(t, func(t *testing.T, p peer) {
		for want, nodes := range map[string][]ring.Node{
			"compat: nodes: empty":                                nil,
			"compat: nodes[1].Name: empty":                        {{Name: "a"}, {}},
			`compat: nodes[2].Name: "a" is the name of nodes[0]`:  {{Name: "a"}, {Name: "b"}, {Name: "a"}},
			`compat: nodes[1].Weight: -1 of node "b" is not betw`: {{Name: "a"}, {Name: "b", Weight: -1}},
			"compat: nodes: 65537 are too many":                   tooMany,
		} {
			r, err := p.placement.Build(nodes)
			assert.Nil(t, r)
			assert.ErrorContains(t, err, want)
		}
		_, err := p.placement.Build([]ring.Node{{Name: "a", Weight: 1}, {Name: "b", Weight: 2}})
		if p.weights {
			assert.NoError(t, err)
		} else {
			assert.EqualError(t, err, `compat: nodes[1].Weight: 2 of node "b", but this placement has no weights`)
		}
	})
}

func TestWeightsThatWouldOverflowAreRefused(t *testing.T) {
	heavy := func(weight int) []ring.Node {
		return []ring.Node{{Name: "a", Weight: weight}, {Name: "b", Weight: weight}}
	}
	for name, tt := range map[string]struct {
		p        ring.Placement
		ok, more int
		want     string
	}{
		"twemproxy": {compat.Twemproxy{}, 1<<31 - 1, 1 << 31, "is not between 0 and 2147483647"},
		"jedis":     {compat.Jedis{}, 100, 1 << 24 / 160, "at most 104857 are possible"},
		"libketama": {compat.Libketama{}, 1 << 46, 1<<46 + 1, "is not between 0 and 70368744177664"},
		"predis":    {compat.Predis{}, 1 << 46, 1<<46 + 1, "is not between 0 and 70368744177664"},
	} {
		t.Run(name, func(t *testing.T) {
			r := build(t, tt.p, heavy(tt.ok))
			assert.Contains(t, []int{0, 1}, r.View(nil).Locate("x"))
			_, err := tt.p.Build(heavy(tt.more))
			assert.ErrorContains(t, err, tt.want)
		})
	}
	three := append(heavy(1<<31-1), ring.Node{Name: "c", Weight: 2})
	_, err := compat.Twemproxy{}.Build(three)
	assert.EqualError(t, err, "compat: nodes: their weights are 4294967296 in all, at most 4294967295 are possible")
}

func TestSettingsThatThePeerDoesNotHaveAreRefused(t *testing.T) {
	for want, p := range map[string]ring.Placement{
		`compat: Twemproxy.Hash: there is no "sha1"`:                            compat.Twemproxy{Hash: "sha1"},
		`compat: Twemproxy.Distribution: "random" is neither ketama nor modula`: compat.Twemproxy{Distribution: "random"},
		`compat: Twemproxy.HashTag: "{" is not two bytes`:                       compat.Twemproxy{HashTag: "{"},
		`compat: Jedis.Hash: "crc" is neither murmur nor md5`:                   compat.Jedis{Hash: "crc"},
		`compat: RedisRb.Generation: 3 is none of 4, 5 and 6`:                   compat.RedisRb{Generation: 3},
		`compat: PhpRedis.Algorithm: there is no "whirlpool"`:                   compat.PhpRedis{Algorithm: "whirlpool"},
	} {
		_, err := p.Build(nodesOf(2))
		assert.EqualError(t, err, want)
	}
}

func TestViewPanicsUnlessEachNodeHasAFlag(t *testing.T) {
	eachPeer(t, func(t *testing.T, p peer) {
		r := build(t, p.placement, nodesOf(3))
		assert.PanicsWithValue(t, "compat: View was told of 2 nodes, but the ring has 3.", func() { r.View(make([]bool, 2)) })
		assert.PanicsWithValue(t, "compat: View was told of 0 nodes, but the ring has 3.", func() { r.View([]bool{}) })
	})
}

func TestARingKeepsNothingOfItsCallers(t *testing.T) {
	keys := someKeys(200)
	eachPeer(t, func(t *testing.T, p peer) {
		nodes, live := nodesOf(5), without(5, 1)
		r := build(t, p.placement, nodes)
		before := places(r.View(live), keys)
		v := r.View(live)
		for i := range nodes {
			nodes[i], live[i] = ring.Node{Name: "changed"}, false
		}
		assert.Equal(t, before, places(v, keys))
		assert.Equal(t, before, places(r.View(without(5, 1)), keys))
	})
}

func places(v ring.View, keys []string) []int {
	p := make([]int, len(keys))
	for i, k := range keys {
		p[i] = v.Locate(k)
	}
	return p
}

func TestLocateDoesNotAllocate(t *testing.T) {
	keys := append(someKeys(40), strings.Repeat("long", 500), "{"+strings.Repeat("long", 500)+"}")
	eachPeer(t, func(t *testing.T, p peer) {
		r := build(t, p.placement, nodesOf(10))
		for _, v := range []ring.View{r.View(nil), r.View(without(10, 3, 4))} {
			assert.Zero(t, testing.AllocsPerRun(20, func() { locateAll(v, keys) }))
		}
	})
}

func locateAll(v ring.View, keys []string) (sum int) {
	for _, k := range keys {
		sum += v.Locate(k)
	}
	return sum
}
