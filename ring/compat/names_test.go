package compat_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

func TestTheNodeThatALineOfTwemproxysStandsFor(t *testing.T) {
	for line, want := range map[string]struct {
		name   string
		weight int
		addr   string
	}{
		"10.0.0.1:6379:1":                {"10.0.0.1:6379", 1, "10.0.0.1:6379"},
		"10.0.0.1:6379:3 cache-a":        {"cache-a", 3, "10.0.0.1:6379"},
		"10.0.0.1:11211:1":               {"10.0.0.1", 1, "10.0.0.1:11211"},
		"10.0.0.1:11211:1 10.0.0.1:11":   {"10.0.0.1:11", 1, "10.0.0.1:11211"},
		"/var/run/redis.sock:2":          {"/var/run/redis.sock:", 2, "/var/run/redis.sock"},
		"/var/run/redis.sock:2 a":        {"a", 2, "/var/run/redis.sock"},
		"::1:6379:1":                     {"::1:6379", 1, "::1:6379"},
		"localhost:06379:2147483647":     {"localhost:06379", math.MaxInt32, "localhost:06379"},
		"/with space/redis.sock:1 named": {"named", 1, "/with space/redis.sock"},
	} {
		node, addr, err := compat.TwemproxyServer(line)
		require.NoError(t, err, line)
		assert.Equal(t, ring.Node{Name: want.name, Weight: want.weight}, node, line)
		assert.Equal(t, want.addr, addr, line)
	}
	for line, want := range map[string]string{
		"":                       "neither host:port:weight nor /path:weight",
		"10.0.0.1":               "neither host:port:weight nor /path:weight",
		"10.0.0.1:1":             "port is missing",
		"10.0.0.1:0:1":           "port is not a number",
		"10.0.0.1:x:1":           "port is not a number",
		"10.0.0.1:65536:1":       "port is not a number",
		"10.0.0.1:1:0":           "weight is not a number",
		"10.0.0.1:1:-1":          "weight is not a number",
		"10.0.0.1:1:2147483648":  "weight is not a number",
		"10.0.0.1:1:":            "weight is not a number",
		"10.0.0.1:1:1 ":          "name is empty",
		"10.0.0.1:1:1 two names": "weight is not a number",
	} {
		_, _, err := compat.TwemproxyServer(line)
		require.ErrorContains(t, err, want, line)
		assert.ErrorContains(t, err, "compat: ")
	}
}

func TestTheIDThatRedisRbGivesToANode(t *testing.T) {
	for url, want := range map[string][3]string{ // of generations 4, 5 and 6
		"redis://10.0.0.1:6379":        {"redis://10.0.0.1:6379/0", "redis://10.0.0.1:6379/0", "redis://10.0.0.1:6379"},
		"redis://10.0.0.1":             {"redis://10.0.0.1:6379/0", "redis://10.0.0.1:6379/0", "redis://10.0.0.1:6379"},
		"redis://me:secret@h:6380/":    {"redis://h:6380/0", "redis://h:6380/0", "redis://h:6380"},
		"redis://:secret@h:6380/0":     {"redis://h:6380/0", "redis://h:6380/0", "redis://h:6380"},
		"rediss://h:6380/12":           {"rediss://h:6380/12", "rediss://h:6380/12", "rediss://h:6380/12"},
		"redis://:secret@/3":           {"redis://127.0.0.1:6379/3", "redis://localhost:6379/3", "redis://localhost:6379/3"},
		"redis://[::1]:6380":           {"redis://::1:6380/0", "redis://::1:6380/0", "redis://[::1]:6380"},
		"unix:///run/redis.sock":       {"unix:///run/redis.sock/0", "/run/redis.sock/0", "unix:///run/redis.sock"},
		"unix:///run/redis.sock?db=15": {"unix:///run/redis.sock/15", "/run/redis.sock/15", "unix:///run/redis.sock?db=15"},
	} {
		for i, generation := range []int{4, 5, 6} {
			id, err := compat.RedisRb{Generation: generation}.NodeID(url)
			require.NoError(t, err)
			assert.Equal(t, want[i], id, "generation %d", generation)
		}
		id, err := compat.RedisRb{}.NodeID(url)
		require.NoError(t, err)
		assert.Equal(t, want[2], id)
	}
	for url, want := range map[string]string{
		"redis://:secret@h:port":     "malformed",
		"http://:secret@h":           "scheme",
		"redis://:secret@h/one":      "database is not a number",
		"redis://:secret@h/-1":       "database is not a number",
		"unix:///secret.sock?db=x":   "database is not a number",
		"secret.example.com:6379":    "",
		"redis://:secret@h:6379/1/2": "database is not a number",
	} {
		_, err := compat.RedisRb{}.NodeID(url)
		require.ErrorContains(t, err, want, url)
		assert.NotContains(t, err.Error(), "secret")
	}
}

func TestAJedisListMayMixShardsWithAndWithoutNames(t *testing.T) {
	keys := someKeys(500)
	unnamed := places(build(t, compat.Jedis{Unnamed: true}, nodesOf(3)).View(nil), keys)
	called := []ring.Node{{Name: "SHARD-0-NODE-"}, {Name: "SHARD-1-NODE-"}, {Name: "SHARD-2-NODE-"}}
	assert.Equal(t, unnamed, places(build(t, compat.Jedis{}, called).View(nil), keys))

	// At another position it would be a name like any other.
	moved := []ring.Node{{Name: "SHARD-1-NODE-"}, {Name: "SHARD-0-NODE-"}, {Name: "SHARD-2-NODE-"}}
	assert.NotEqual(t, unnamed, places(build(t, compat.Jedis{}, moved).View(nil), keys))
}

func TestTheSlotOfAKey(t *testing.T) {
	for key, want := range map[string]int{
		"":              0,
		"123456789":     0x31c3,
		"foo":           12182,
		"{foo}bar":      12182,
		"a{foo}{bar}":   12182,
		"foo{}{bar}":    8363,
		"foo{{bar}}zap": 4015,
	} {
		assert.Equal(t, want, compat.Slot(key), key)
	}
	assert.Zero(t, testing.AllocsPerRun(20, func() { compat.Slot("user:{42}") }))
	for _, key := range someKeys(1000) {
		assert.Less(t, compat.Slot(key), compat.Slots)
	}
}
