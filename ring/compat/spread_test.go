package compat_test

import (
	"slices"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

// largest returns the largest share of keys, in units of the mean.
func largest(t *testing.T, p ring.Placement, nodes int, keys []string) float64 {
	v, counts := build(t, p, nodesOf(nodes)).View(nil), make([]int, nodes)
	for _, key := range keys {
		counts[v.Locate(key)]++
	}
	return float64(slices.Max(counts)) * float64(nodes) / float64(len(keys))
}

// The figures of the package's documentation.
func TestKeysAreSharedAsWellAsThePackageSays(t *testing.T) {
	keys := make([]string, 100_000)
	for i := range keys {
		keys[i] = "user:" + strconv.Itoa(i)
	}
	for name, tt := range map[string]struct {
		p             ring.Placement
		five, hundred float64
	}{
		"the default":         {ring.Balanced{}, 1.01, 1.11},
		"redis-fluster":       {compat.RedisFluster{}, 1.00, 1.09},
		"red-cluster":         {compat.RedCluster{}, 1.00, 1.06},
		"go-redis":            {compat.GoRedisRing{}, 1.00, 1.07},
		"twemproxy":           {compat.Twemproxy{}, 1.07, 1.49},
		"twemproxy/fnv1_64":   {compat.Twemproxy{Hash: "fnv1_64"}, 1.35, 3.30},
		"twemproxy/crc32":     {compat.Twemproxy{Hash: "crc32"}, 5, 100},
		"twemproxy/modula":    {compat.Twemproxy{Distribution: "modula"}, 1.29, 1.31},
		"jedis":               {compat.Jedis{}, 1.10, 1.25},
		"redis-rb":            {compat.RedisRb{}, 1.09, 1.23},
		"redis-rb/4":          {compat.RedisRb{Generation: 4}, 1.45, 2.51},
		"predis":              {compat.Predis{}, 1.52, 2.32},
		"predis/ketama":       {compat.Predis{Ketama: true}, 1.05, 1.23},
		"phpredis":            {compat.PhpRedis{}, 1.00, 1.02},
		"phpredis/consistent": {compat.PhpRedis{Consistent: true}, 1.05, 1.20},
		"libketama":           {compat.Libketama{}, 1.05, 1.23},
	} {
		t.Run(name, func(t *testing.T) {
			assert.InDelta(t, tt.five, largest(t, tt.p, 5, keys), 0.006)
			assert.InDelta(t, tt.hundred, largest(t, tt.p, 100, keys), 0.006)
		})
	}
}
