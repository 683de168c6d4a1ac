package main

import (
	"context"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// brief are the arguments of a run that shows nothing but that it works.
func brief(more ...string) []string {
	return append([]string{
		"-rounds", "1", "-time", "5ms", "-goroutines", "1,4", "-nodes", "3,5", "-growth-nodes", "2",
		"-routing-keys", "1000", "-command-keys", "1500", "-condition-goroutines", "4",
	}, more...)
}

// The servers are filled with the keys of the last step.
func TestKeysBecomeMoreFromStepToStep(t *testing.T) {
	s, err := parseSettings([]string{"-command-keys", "5000"}, io.Discard)
	require.NoError(t, err)
	loads := make(map[[2]int]int)
	most := 0
	for _, step := range keySteps(s) {
		assert.GreaterOrEqual(t, step.keys, most)
		most = step.keys
		loads[[2]int{step.keys, step.callers}]++
	}
	n := len(growthOperations)
	assert.Equal(t, map[[2]int]int{{500, 64}: n, {500, 512}: n, {5000, 64}: n, {5000, 512}: n}, loads)
}

func TestARunWritesAllTables(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var out, log strings.Builder
	require.NoError(t, run(t.Context(), brief(), &out, &log))
	titles := []string{
		"Key to node", "The cluster against the others", "The stale check's share", "Around the command",
		"The cluster against the others under these conditions", "As nodes become more", "As keys become more",
	}
	for _, op := range operations {
		titles = append(titles, op.title)
	}
	for _, c := range conditions {
		for _, id := range c.operations {
			titles = append(titles, operationOf(id).title+c.text)
		}
	}
	for _, title := range titles {
		assert.Contains(t, out.String(), "## "+title+"\n")
	}
	for _, k := range kinds {
		if k.id == proxyID && !proxyInstalled() {
			assert.Contains(t, out.String(), "Left out: "+k.name)
			continue
		}
		table := section(out.String(), operationOf(mgetID).title)
		rows := regexp.MustCompile(`(?m)^\| `+regexp.QuoteMeta(k.name)+` +\|`).FindAllString(table, -1)
		assert.Len(t, rows, 2, "%s has a row for each number of goroutines", k.name)
	}
	assert.Contains(t, out.String(), "github.com/redis/rueidis v1.")
	assert.Contains(t, log.String(), "GET, 64 B; 4 goroutines, 3 nodes, 1500 keys")
	assert.Contains(t, log.String(), "left")
}

// section returns what stands under a title.
func section(text, title string) string {
	_, rest, _ := strings.Cut(text, "## "+title+"\n")
	own, _, _ := strings.Cut(rest, "\n## ")
	return own
}

func TestAPartRunsByItself(t *testing.T) {
	t.Setenv("PATH", t.TempDir()) // without redis-server
	var out strings.Builder
	require.NoError(t, run(t.Context(), brief("-only", routing), &out, io.Discard))
	assert.Contains(t, out.String(), "Key to node")
	assert.NotContains(t, out.String(), "GET, 64 B")
	assert.NotContains(t, out.String(), "Left out")
}

func TestARunThatIsCancelledEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, brief("-rounds", "1000000"), io.Discard, io.Discard), context.Canceled)
}

func TestSettingsAreRefusedByName(t *testing.T) {
	tests := map[string][]string{
		"-rounds":      {"-rounds", "0"},
		"-time":        {"-time", "0s"},
		"-only":        {"-only", "everything"},
		"-operations":  {"-operations", "get-64,incr"},
		"-clients":     {"-clients", "jedis"},
		"-goroutines":  {"-goroutines", "8,0"},
		"-nodes":       {"-nodes", "few"},
		"-conditions":  {"-conditions", "rain"},
		"condition-go": {"-condition-goroutines", "0"},
		"routing-keys": {"-routing-keys", "0"},
		`"more"`:       {"more"},
	}
	for name, args := range tests {
		_, err := parseSettings(args, io.Discard)
		assert.ErrorContains(t, err, name)
	}
}

func TestAListReplacesTheDefault(t *testing.T) {
	s, err := parseSettings([]string{"-goroutines", "2,16"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, []int{2, 16}, s.goroutines)
	assert.Equal(t, []int{3, 10, 100, 1000}, s.nodes)
}

func TestAQuickRunLeavesWhatWasSetByHand(t *testing.T) {
	s, err := parseSettings([]string{"-goroutines", "2", "-quick"}, io.Discard)
	require.NoError(t, err)
	assert.Equal(t, []int{2}, s.goroutines)
	assert.Equal(t, 3, s.rounds)
}

func TestKeysAreTheSameInEveryRunAndOfTheSizesPromised(t *testing.T) {
	keys := randomKeys(10_000)
	assert.Equal(t, keys, randomKeys(10_000))
	sizes, seen := make(map[int]bool), make(map[string]bool)
	for _, key := range keys {
		sizes[len(key)], seen[key] = true, true
	}
	assert.Len(t, seen, len(keys), "no key comes twice")
	assert.Len(t, sizes, maxKey-minKey+1)
	assert.True(t, sizes[minKey] && sizes[maxKey])
}

func TestTheSlotTableSharesKeysEvenly(t *testing.T) {
	table := newSlotTable(3)
	counts := make([]int, 3)
	for _, key := range randomKeys(30_000) {
		counts[table.at(key)]++
	}
	for _, n := range counts {
		assert.InDelta(t, 10_000, n, 500)
	}
}
