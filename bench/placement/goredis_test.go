package placement_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

func TestKeysAreWhereGoRedisHasThem(t *testing.T) {
	r := newRand(t)
	for range 40 {
		var nodes []ring.Node
		var live []bool
		position, shards := make(map[string]int), make(map[string]string)
		for i := range 1 + r.IntN(30) {
			addr := fmt.Sprintf("127.0.0.1:%d", i+1) // nobody calls there
			nodes = append(nodes, ring.Node{Name: fmt.Sprintf("%s%d", randomName(r), i)})
			live = append(live, i == 0 || r.IntN(4) > 0)
			position[addr] = i
			if live[i] { // go-redis places alike whether a shard is removed or down
				shards[nodes[i].Name] = addr
			}
		}
		theirs := redis.NewRing(&redis.RingOptions{
			Addrs:       shards,
			HeartbeatFn: func(context.Context, *redis.Client) bool { return true },
		})
		built, err := compat.GoRedisRing{}.Build(nodes)
		require.NoError(t, err)
		ours := built.View(live)
		for _, key := range randomKeys(r, 200) {
			client, err := theirs.GetShardClientForKey(key)
			require.NoError(t, err)
			require.Equal(t, position[client.Options().Addr], ours.Locate(key), "key %q, shards %q", key, shards)
		}
		require.NoError(t, theirs.Close())
	}
}
