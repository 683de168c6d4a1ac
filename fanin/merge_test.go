package fanin_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
)

// mergedReads are all of them, on the keys that fillAll writes.
var mergedReads = map[string]func(context.Context, *fluster.FlusterCluster) (any, error){
	"sum": func(ctx context.Context, c *fluster.FlusterCluster) (any, error) {
		return fanin.Sum[int64](ctx, c, "n")
	},
	"sums": func(ctx context.Context, c *fluster.FlusterCluster) (any, error) {
		return fanin.Sums[float64](ctx, c, "n", "f")
	},
	"union": func(ctx context.Context, c *fluster.FlusterCluster) (any, error) {
		return fanin.Union(ctx, c, "set")
	},
	"concat": func(ctx context.Context, c *fluster.FlusterCluster) (any, error) {
		return fanin.Concat(ctx, c, "list")
	},
	"scores": func(ctx context.Context, c *fluster.FlusterCluster) (any, error) {
		return fanin.Scores(ctx, c, "z", fanin.ScoreRange{})
	},
}

// fillAll writes the parts of node i.
func (s *site) fillAll(i int) {
	server := s.servers[i]
	server.Do("SET", "n", i+1)
	server.Do("SET", "f", "0.5")
	server.Do("SADD", "set", letter(i))
	server.Do("RPUSH", "list", letter(i))
	server.Do("ZADD", "z", -i, letter(i))
}

// withoutB is what they give while node b's part cannot be read.
var withoutB = map[string]any{
	"sum":    int64(1 + 3),
	"sums":   map[string]float64{"n": 4, "f": 1},
	"union":  []string{"a", "c"},
	"concat": []string{"a", "c"},
	"scores": []fanin.Scored{{Member: "a", Score: 0}, {Member: "c", Score: -2}},
}

func TestAMergedReadGivesWhatTheOtherNodesHaveWhenOneFails(t *testing.T) {
	for name, read := range mergedReads {
		t.Run(name, func(t *testing.T) {
			s := openSite(t, 3, "")
			for i := range s.servers {
				s.fillAll(i)
			}
			s.servers[1].Kill() // the cluster does not know yet
			got, err := read(t.Context(), s.FlusterCluster)
			if err != nil { // unless a probe was faster
				assert.Equal(t, []string{"b"}, failedAt(t, err))
			}
			assert.Equal(t, withoutB[name], got)
		})
	}
}

func TestAFrozenNodeHoldsUpAMergedReadOnlyUntilItsContextEnds(t *testing.T) {
	s := openSite(t, 3, "&read_timeout=1m")
	for i := range s.servers {
		s.fillAll(i)
	}
	s.servers[1].Stop()
	defer s.servers[1].Cont()
	for name, read := range mergedReads {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		got, err := read(ctx, s.FlusterCluster)
		cancel()
		if err != nil { // unless it was penalized meanwhile
			assert.Equal(t, []string{"b"}, failedAt(t, err), name)
		}
		assert.Equal(t, withoutB[name], got, name)
	}
}

func TestAMergedReadDoesNothingWhenItsContextIsOver(t *testing.T) {
	s := openSite(t, 2, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, read := range mergedReads {
		_, err := read(ctx, s.FlusterCluster)
		assert.ErrorIs(t, err, context.Canceled, name)
	}
	assert.Zero(t, s.servers[0].Executed("get")+s.servers[0].Executed("smembers"))
}

// All down is ErrClusterEmpty, and closed is ErrClosed.
func TestAMergedReadOfNoNodesSaysSo(t *testing.T) {
	s := openSite(t, 2, "")
	s.kill(t, 0)
	s.kill(t, 1)
	for name, read := range mergedReads {
		got, err := read(t.Context(), s.FlusterCluster)
		assert.ErrorIs(t, err, fluster.ErrClusterEmpty, name)
		assert.Empty(t, got, name)
	}
	require.NoError(t, s.Close())
	for name, read := range mergedReads {
		_, err := read(t.Context(), s.FlusterCluster)
		assert.ErrorIs(t, err, fluster.ErrClosed, name)
	}
}

// Since the key is of another type at each node, none of them has a part.
func TestAKeyOfAnotherTypeIsAnErrorOfItsNode(t *testing.T) {
	s := openSite(t, 3, "")
	for i := range s.servers {
		s.fillAll(i)
	}
	for _, key := range []string{"n", "f", "set", "list", "z"} {
		s.servers[1].Do("DEL", key)
		s.servers[1].Do("HSET", key, "field", 1)
	}
	for name, read := range mergedReads {
		got, err := read(t.Context(), s.FlusterCluster)
		assert.Equal(t, []string{"b"}, failedAt(t, err), name)
		assert.ErrorContains(t, err, "WRONGTYPE", name)
		assert.Equal(t, withoutB[name], got, name)
	}
}

// A node that comes back empty is harmless.
func TestANodeThatComesBackEmptyIsHarmlessForMergedReads(t *testing.T) {
	s := openSite(t, 3, "")
	for i := range s.servers {
		s.fillAll(i)
	}
	s.kill(t, 1)
	for name, read := range mergedReads {
		got, err := read(t.Context(), s.FlusterCluster)
		require.NoError(t, err, name)
		assert.Equal(t, withoutB[name], got, name)
	}
	s.restart(t, 1)
	for name, read := range mergedReads {
		got, err := read(t.Context(), s.FlusterCluster)
		require.NoError(t, err, name)
		assert.Equal(t, withoutB[name], got, name)
	}
}
