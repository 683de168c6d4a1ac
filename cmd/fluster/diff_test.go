package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	flustercluster "github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestGoldenDiff(t *testing.T) {
	four := "testdata/four.json"
	golden(t, "diff.golden", succeed(t, "", "diff", "--from", three, "--to", four, "--keys", "20000"))
	golden(t, "diff_down.golden", succeed(t, "", "diff", "--nodes", four, "--to-down", "cache3", "--keys", "10000"))
	golden(t, "diff.json.golden", succeed(t, "", "diff", "--from", three, "--to", four, "--keys", "1000", "--json"))
	golden(t, "diff_many.golden", succeed(t, "", "diff", "--from", manyNodes(30), "--to", manyNodes(31), "--keys", "20000"))
}

// manyNodes returns n nodes.
func manyNodes(n int) string {
	urls := make([]string, n)
	for i := range urls {
		urls[i] = fmt.Sprintf("redis://10.0.0.%d:6379?name=n%02d", i, i)
	}
	return strings.Join(urls, ",")
}

// diffOf runs diff and returns its figures.
func diffOf(t *testing.T, stdin string, args ...string) movementReport {
	t.Helper()
	var r movementReport
	require.NoError(t, json.Unmarshal([]byte(succeed(t, stdin, append([]string{"diff", "--json"}, args...)...)), &r))
	return r
}

// byNames returns the flows of a report by the names of both nodes.
func (r movementReport) byNames() map[[2]string]int {
	flows := make(map[[2]string]int)
	for _, f := range r.Flows {
		flows[[2]string{nameOr(f.From), nameOr(f.To)}] = f.Keys
	}
	return flows
}

func TestWithoutAChangeNothingMoves(t *testing.T) {
	for _, args := range [][]string{
		{"--nodes", three},
		{"--nodes", three, "--from", "balanced", "--to", "balanced"},
		{"--from", three, "--to-nodes", three},
		{"--nodes", three, "--from-down", "cache1", "--to-down", "cache1"},
	} {
		r := diffOf(t, "", append(args, "--keys", "1000")...)
		assert.Zero(t, r.Moved)
		assert.Zero(t, r.LeastShare)
		assert.Equal(t, 1000, r.Keys)
		for _, f := range r.Flows {
			assert.False(t, f.Moves)
			assert.Equal(t, f.From, f.To)
		}
	}
}

func TestNodesAreMatchedByNameOrByAddress(t *testing.T) {
	before := "redis://10.0.0.1?name=a,redis://10.0.0.2?name=b"
	renamed := "redis://10.0.0.2?name=b2,redis://10.0.0.1?name=a2"
	o := fluster(t, "", "diff", "--from", before, "--to", renamed, "--keys", "1000")
	assert.Zero(t, o.status)
	assert.Contains(t, o.stdout, "1,000 of 1,000 keys move: 100.00 %")
	assert.Contains(t, o.stderr, "--match address")

	r := diffOf(t, "", "--from", before, "--to", renamed, "--keys", "1000", "--match", "address")
	assert.Less(t, r.Moved, 1000)
	for _, f := range r.Flows {
		assert.Equal(t, *f.From+"2" != *f.To, f.Moves)
	}

	o = fluster(t, "", "diff", "--from", before, "--to", "redis://10.0.0.1/1,redis://10.0.0.1/2", "--keys", "9", "--match", "address")
	assert.Equal(t, 1, o.status)
	assert.Contains(t, o.stderr, "10.0.0.1/1 and 10.0.0.1/2 have the same address")
}

func TestKeysOfAllNodesThatAreDownHaveNoneAfter(t *testing.T) {
	r := diffOf(t, "", "--nodes", three, "--to-down", "cache1,cache2,cache3", "--keys", "1000")
	assert.Equal(t, 1000, r.Homeless)
	assert.Equal(t, 1000, r.Moved)
	for _, f := range r.Flows {
		assert.Nil(t, f.To)
	}
	assert.Contains(t, succeed(t, "", "diff", "--nodes", three, "--to-down", "cache1,cache2,cache3", "--keys", "10"), "(none)")
}

func TestTheLeastThatMustMove(t *testing.T) {
	r := diffOf(t, "", "--from", three, "--to", "testdata/four.json", "--keys", "100000")
	assert.InDelta(t, 0.2, r.LeastShare, 1e-8, "one of five parts, for the new node")
	assert.GreaterOrEqual(t, r.MovedShare, r.LeastShare-0.01)
}

// The keys of a real fleet move to where the forecast has them.
func TestTheForecastIsWhatReallyMoves(t *testing.T) {
	const keys = 2000
	servers := make(map[string]*redistest.Server)
	url := func(name, weight string) string {
		if servers[name] == nil {
			servers[name] = redistest.Start(t)
		}
		return "redis://" + servers[name].Addr() + "?name=" + name + "&weight=" + weight
	}
	before := []string{url("a", "1"), url("b", "1"), url("c", "2")}
	after := []string{url("a", "1"), url("c", "1"), url("d", "3"), url("e", "1")}
	fill(t, before, manyKeys(keys))

	c := openCluster(t, after)
	moved := make(map[[2]string]int)
	var stdin strings.Builder
	for name, server := range servers {
		for _, key := range keysOn(t, server) {
			node, err := c.Locate(key)
			require.NoError(t, err)
			moved[[2]string{name, node.Name}]++
			stdin.WriteString(key + "\n")
		}
	}
	forecast := diffOf(t, stdin.String(), "--from", strings.Join(before, ","), "--to", strings.Join(after, ","))
	assert.Equal(t, moved, forecast.byNames())
	assert.Equal(t, keys, forecast.Keys)
}

func openCluster(t *testing.T, urls []string) *flustercluster.FlusterCluster {
	t.Helper()
	c, err := flustercluster.Open(urls...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, c.Close()) })
	require.NoError(t, c.WaitReady(t.Context()))
	return c
}

// fill sets keys on the nodes that they belong to.
func fill(t *testing.T, urls, keys []string) {
	t.Helper()
	conn := openCluster(t, urls).Get()
	defer conn.Close()
	for _, key := range keys {
		require.NoError(t, conn.Send("SET", key, "value"))
	}
	_, err := conn.Do("")
	require.NoError(t, err)
}

// keysOn returns all keys of a server.
func keysOn(t *testing.T, server *redistest.Server) []string {
	t.Helper()
	conn, err := redis.Dial("tcp", server.Addr())
	require.NoError(t, err)
	defer conn.Close()
	keys, err := redis.Strings(conn.Do("KEYS", "*"))
	require.NoError(t, err)
	return keys
}
