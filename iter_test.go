package fluster_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
)

// walk takes n steps of a walk and returns the nodes' names.
func walk(t *testing.T, c *fluster.FlusterCluster, n int) []string {
	t.Helper()
	var names []string
	for node, err := range c.Iter(t.Context()) {
		require.NoError(t, err)
		names = append(names, node.Name)
		if len(names) == n {
			break
		}
	}
	return names
}

func TestIterVisitsEachLiveNodeOnceARound(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	names := walk(t, f.FlusterCluster, 16)
	require.Len(t, names, 16)
	for i := range 16 - 3 {
		assert.ElementsMatch(t, []string{"a", "b", "c"}, names[i:i+3])
	}
}

func TestWalksAreIndependentAndBeginAtDifferentNodes(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	first := make(map[string]int)
	for range 30 {
		first[walk(t, f.FlusterCluster, 1)[0]]++
	}
	assert.Equal(t, map[string]int{"a": 10, "b": 10, "c": 10}, first)

	outer := 0
	for _, err := range f.Iter(t.Context()) {
		require.NoError(t, err)
		outer++
		walk(t, f.FlusterCluster, 5) // does not take steps of the outer walk
		if outer == 6 {
			break
		}
	}
	assert.Equal(t, 6, outer)
}

func TestIterSkipsAPenalizedNodeAndTakesItUpAgain(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	step, stepsOfB := 0, []int(nil)
	for node, err := range f.Iter(t.Context()) {
		require.NoError(t, err)
		step++
		if node.Name == "b" {
			stepsOfB = append(stepsOfB, step)
		}
		switch step {
		case 7:
			f.servers[1].Kill()
			waitDown(t, f.FlusterCluster, "b")
		case 20:
			f.servers[1].Restart()
			waitLive(t, f.FlusterCluster, "b")
		}
		if step == 26 {
			break
		}
	}
	for _, s := range stepsOfB {
		assert.True(t, s <= 7 || s > 20, "b was visited at step %d", s)
	}
	assert.Contains(t, []int{21, 22, 23}, firstAfter(stepsOfB, 20), "b is back within one round")
}

func firstAfter(steps []int, after int) int {
	for _, s := range steps {
		if s > after {
			return s
		}
	}
	return -1
}

func TestIterEndsWithOneErrorWhenTheLastNodeDies(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	steps, errs := 0, 0
	for _, err := range f.Iter(t.Context()) {
		if err != nil {
			require.ErrorIs(t, err, fluster.ErrClusterEmpty)
			errs++
			continue // the walk must end by itself
		}
		require.Zero(t, errs)
		steps++
		if steps <= 3 {
			f.servers[steps-1].Kill()
			waitDown(t, f.FlusterCluster, nodeName(steps-1))
		}
	}
	assert.Equal(t, 1, errs)
	assert.Equal(t, 3, steps)
}

func TestWalksEndWithTheirContext(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	for name, begin := range map[string]func(context.Context) func(func(fluster.Node, error) bool){
		"Iter":   func(ctx context.Context) func(func(fluster.Node, error) bool) { return f.Iter(ctx) },
		"Rounds": func(ctx context.Context) func(func(fluster.Node, error) bool) { return f.Rounds(ctx, 1000) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			steps := 0
			for _, err := range begin(ctx) {
				require.NoError(t, err)
				steps++
				if steps == 4 {
					cancel()
				}
			}
			assert.Equal(t, 4, steps)
		})
	}
}

func TestRoundsVisitEachLiveNodeOnceAPass(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	for _, tt := range []struct{ rounds, want int }{{4, 12}, {1, 3}, {0, 0}, {-1, 0}} {
		visits := make(map[string]int)
		total := 0
		for node, err := range f.Rounds(t.Context(), tt.rounds) {
			require.NoError(t, err)
			visits[node.Name]++
			total++
		}
		assert.Equal(t, tt.want, total, "%d rounds", tt.rounds)
		for name, n := range visits {
			assert.Equal(t, tt.rounds, n, "visits of %s", name)
		}
	}
}

func TestRoundsEndAlthoughTheNodeTheyBeganAtDies(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	var visited []string
	for node, err := range f.Rounds(t.Context(), 3) {
		require.NoError(t, err)
		visited = append(visited, node.Name)
		if len(visited) == 1 {
			f.servers[int(node.Name[0]-'a')].Kill()
			waitDown(t, f.FlusterCluster, node.Name)
		}
	}
	assert.Len(t, visited, 3+2+2)
	assert.NotContains(t, visited[1:], visited[0])
}

func TestRoundsSkipANodePenalizedDuringThePass(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	var visited []string
	for node, err := range f.Rounds(t.Context(), 1) {
		require.NoError(t, err)
		visited = append(visited, node.Name)
		if len(visited) == 1 {
			next := (int(node.Name[0]-'a') + 1) % 3
			f.servers[next].Kill()
			waitDown(t, f.FlusterCluster, nodeName(next))
		}
	}
	assert.Len(t, visited, 2)
}

func TestRoundsSayWhenNoNodeLives(t *testing.T) {
	f := startFleet(t, 2, unhurried, fluster.Config{})
	killAll(t, f)
	errs := 0
	for _, err := range f.Rounds(t.Context(), 5) {
		require.ErrorIs(t, err, fluster.ErrClusterEmpty)
		errs++
	}
	assert.Equal(t, 1, errs)
}

func TestWorkersDrainEveryNodesQueue(t *testing.T) {
	f := startFleet(t, 3, unhurried, fluster.Config{})
	pushed := make(map[string]bool)
	for i, s := range f.servers {
		for j := range 100 {
			item := fmt.Sprintf("%s:%d", nodeName(i), j)
			s.Do("RPUSH", "queue", item)
			pushed[item] = true
		}
	}
	for node, err := range f.Iter(t.Context()) {
		require.NoError(t, err)
		conn := node.Pool.Get()
		item, err := redis.String(conn.Do("LPOP", "queue"))
		require.NoError(t, conn.Close())
		require.NoError(t, err, "a walk that goes round finds no queue empty before the others")
		require.True(t, pushed[item])
		delete(pushed, item)
		if len(pushed) == 0 {
			break
		}
	}
}
