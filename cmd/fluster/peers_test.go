package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// oddKeys are keys with hash tags, of all lengths and with any bytes but NUL.
func oddKeys() []string {
	keys := manyKeys(500)
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 1000 {
		key := make([]byte, 1+i%80)
		for j := range key {
			key[j] = byte(1 + r.IntN(255))
		}
		keys = append(keys, string(key), fmt.Sprintf("{user:%d}:cart", i), fmt.Sprintf("a{%d}{b}", i))
	}
	keys = append(keys, "{}", "{}a", "{{a}}", "}{a}", "{a", "a}")
	slices.Sort(keys)
	return slices.Compact(keys)
}

// whereOf returns what the tool tells, by key.
func whereOf(t *testing.T, keys []string, args ...string) map[string]string {
	t.Helper()
	o := fluster(t, strings.Join(keys, "\x00")+"\x00", append([]string{"where", "--null"}, args...)...)
	require.Zero(t, o.status, "%s", o.stderr)
	told := make(map[string]string)
	for line := range strings.SplitSeq(strings.TrimSuffix(o.stdout, "\x00"), "\x00") {
		end := strings.LastIndexByte(line, '\t')
		require.Positive(t, end)
		told[line[:end]] = line[end+1:]
	}
	return told
}

func TestKeysAreWhereGoRedisPutsThem(t *testing.T) {
	shards := map[string]string{"one": "127.0.0.1:7001", "two": "127.0.0.1:7002", "shard 3": "127.0.0.1:7003", "4": "127.0.0.1:7004"}
	names := make(map[string]string)
	var nodes []string
	for name, addr := range shards {
		names[addr] = name
		nodes = append(nodes, fmt.Sprintf("- {name: '%s', address: '%s'}", name, addr))
	}
	file := filepath.Join(t.TempDir(), "nodes.yml")
	require.NoError(t, os.WriteFile(file, []byte(strings.Join(nodes, "\n")), 0o666))
	peer := goredis.NewRing(&goredis.RingOptions{
		Addrs: shards, HeartbeatFn: func(_ context.Context, _ *goredis.Client) bool { return true },
	})
	defer func() { assert.NoError(t, peer.Close()) }()

	keys := oddKeys()
	told := whereOf(t, keys, "--nodes", file, "--placement", "go-redis")
	for _, key := range keys {
		shard, err := peer.GetShardClientForKey(key)
		require.NoError(t, err)
		assert.Equal(t, names[shard.Options().Addr], told[key], "%q", key)
	}
}
