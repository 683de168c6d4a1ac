package fanin_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redisfluster/fluster/fanin"
)

func TestListsAreJoinedInTheOrderOfTheNodes(t *testing.T) {
	s := openSite(t, 3, "")
	s.servers[2].Do("RPUSH", "list", "5", "6")
	s.servers[0].Do("RPUSH", "list", "1", "2", "2")
	got, err := fanin.Concat(t.Context(), s.FlusterCluster, "list")
	require.NoError(t, err)
	assert.Equal(t, []string{"1", "2", "2", "5", "6"}, got)
	none, err := fanin.Concat(t.Context(), s.FlusterCluster, "no list")
	require.NoError(t, err)
	assert.Empty(t, none)
}

func TestUnionIsTheSetOfOneServer(t *testing.T) {
	s := openSite(t, 4, "")
	one := s.servers[3]
	rapid.Check(t, func(rt *rapid.T) {
		for _, server := range s.servers {
			server.Do("FLUSHALL")
		}
		for range rapid.IntRange(0, 30).Draw(rt, "members") {
			member := fmt.Sprint("m", rapid.IntRange(0, 15).Draw(rt, "member"), "\x00\r\n\xff")
			s.servers[rapid.IntRange(0, 2).Draw(rt, "node")].Do("SADD", "set", member)
			one.Do("SADD", "all", member)
		}
		want, err := redis.Strings(one.Do("SMEMBERS", "all"), nil)
		require.NoError(rt, err)
		got, err := fanin.Union(t.Context(), s.FlusterCluster, "set")
		require.NoError(rt, err)
		slices.Sort(want)
		slices.Sort(got)
		require.Equal(rt, len(want), len(got))
		require.True(rt, slices.Equal(want, got), "%q, not %q", got, want)
	})
}
