package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// nodeFile writes a list of nodes.
func nodeFile(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "nodes.yml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o666))
	return file
}

func TestNodesWithoutNamesHaveThoseOfThePlacementsClient(t *testing.T) {
	keys := manyKeys(2000)
	for placement, tc := range map[string]struct {
		unnamed []string // what the list says
		names   []string // what the client calls them
	}{
		"redis-rb":       {[]string{"redis://:" + canary + "@10.0.0.1", "rediss://b:7000/3", "unix:///s?db=2"}, []string{"redis://10.0.0.1:6379", "rediss://b:7000/3", "unix:///s?db=2"}},
		"redis-rb:4":     {[]string{"10.0.0.1:6379", "valkey://b"}, []string{"redis://10.0.0.1:6379/0", "redis://b:6379/0"}},
		"twemproxy":      {[]string{"a:6379", "b:11211", "/s"}, []string{"a:6379", "b", "/s:"}},
		"go-redis":       {[]string{"a:6379", "b:11211", "/s"}, []string{"a:6379", "b:11211", "/s"}},
		"predis:ketama":  {[]string{"a:6379", "redis://b:6380"}, []string{"a:6379", "b:6380"}},
		"jedis:unnamed":  {[]string{"a:6379", "b:6380"}, []string{"x", "y"}},
		"redis-fluster":  {[]string{"a:6379", "b:6380"}, []string{"x", "y"}},
		"phpredis":       {[]string{"a:6379", "b:6380"}, []string{"x", "y"}},
		"balanced":       {[]string{"redis://a:1/2", "b:6380"}, []string{"a:1/2", "b:6380"}},
		"libketama":      {[]string{"a:6379", "b:6380"}, []string{"a:6379", "b:6380"}},
		"red-cluster":    {[]string{"a:6379", "b:6380"}, []string{"x", "y"}},
		"jedis:hash=md5": {[]string{"a:6379", "b:6380"}, []string{"a:6379", "b:6380"}},
	} {
		t.Run(placement, func(t *testing.T) {
			var named []string
			for _, name := range tc.names {
				named = append(named, "- name: '"+name+"'")
			}
			unnamed := whereOf(t, keys, "--placement", placement, "--nodes", nodeFile(t, "- "+strings.Join(tc.unnamed, "\n- ")))
			want := whereOf(t, keys, "--placement", placement, "--nodes", nodeFile(t, strings.Join(named, "\n")))
			shown := make(map[string]string)
			for key, name := range unnamed {
				if was, ok := shown[name]; ok {
					require.Equal(t, was, want[key])
				}
				shown[name] = want[key]
			}
			assert.Len(t, shown, len(tc.names), "one node for one node, under the names that the list has")
		})
	}
	o := fluster(t, "", "where", "--placement", "redis-rb", "--nodes", "redis://a,redis://b", "key")
	assert.Equal(t, "fluster: nodes without names have those that redis-rb gives them, such as redis://a:6379\n", o.stderr)
	assert.Contains(t, []string{"key\ta\n", "key\tb\n"}, o.stdout)
	o = fluster(t, "", "where", "--placement", "redis-rb:5", "--nodes", nodeFile(t, "- h:x"), "key")
	assert.Equal(t, 1, o.status)
	assert.Contains(t, o.stderr, "has no name by redis-rb:5")
}

// A weight that Predis is not given is 100, not 1.
func TestNodesWithoutWeightsHaveThoseOfThePlacementsClient(t *testing.T) {
	e := spreadOf(t, "", "--placement", "predis", "--keys", "10000", "--nodes", nodeFile(t, "- a:1\n- {name: 'b:1', weight: 50}\n"))
	assert.Equal(t, 100, e.Nodes[0].Weight)
	assert.InDelta(t, 2.0/3, e.Nodes[0].Share, 0.1)
	e = spreadOf(t, "", "--keys", "10000", "--nodes", nodeFile(t, "- a:1\n- {name: 'b:1', weight: 50}\n"))
	assert.InDelta(t, 1.0/51, e.Nodes[0].Fair, 1e-8)
}

func TestAFileMayNameItsPlacement(t *testing.T) {
	file := nodeFile(t, "placement: go-redis\nnodes: [a, b, c]")
	o := fluster(t, "", "where", "--nodes", file, "k1", "k2", "k3")
	assert.Equal(t, "fluster: placement go-redis, as "+file+" says\n", o.stderr)
	assert.Equal(t, o.stdout, succeed(t, "", "where", "--nodes", file, "--placement", "go-redis", "k1", "k2", "k3"))

	o = fluster(t, "", "where", "--nodes", nodeFile(t, "placement: go-redsi\nnodes: [a, b, c]"), "k1")
	assert.Equal(t, 1, o.status, "a file is no command line")
	assert.Contains(t, o.stderr, "go-redsi")
	o = fluster(t, "", "where", "--nodes", nodeFile(t, "p: {distribution: random, servers: ['h:1:1']}"), "k1")
	assert.Equal(t, 1, o.status)
	assert.Contains(t, o.stderr, "random")
}

func TestTheConfigurationOfTwemproxySaysThePlacement(t *testing.T) {
	keys := []string{"{user:1}:cart", "{user:1}:name", "{user:1}:mail", "{user:1}:addr"}
	o := fluster(t, strings.Join(keys, "\n"), "where", "--nodes", "testdata/twemproxy.yml", "--pool", "sessions")
	assert.Zero(t, o.status)
	assert.Equal(t, "fluster: placement twemproxy:hash=md5,distribution=ketama,tag={},eject, as testdata/twemproxy.yml, pool sessions says\n", o.stderr)
	assert.Equal(t, 4, strings.Count(o.stdout, strings.TrimPrefix(strings.SplitN(o.stdout, "\n", 2)[0], keys[0])), "one tag, one node")

	o = fluster(t, "a\nb", "where", "--nodes", "testdata/twemproxy.yml", "--pool", "pages", "--down", "10.0.0.1,/var/run/redis.sock:")
	assert.Equal(t, outcome{1, "a\t\nb\t\n", o.stderr}, o)
	o = fluster(t, strings.Join(manyKeys(100), "\n"), "where", "--nodes", "testdata/twemproxy.yml", "--down", "10.0.0.1", "--pool", "pages")
	assert.Equal(t, 1, o.status)
	assert.Contains(t, o.stderr, "keys with nodes that are down, whose keys this placement gives to nobody else")
}

func TestAllPlacementsAreListed(t *testing.T) {
	out := succeed(t, "", "placements")
	for _, name := range []string{"balanced", "go-redis", "twemproxy", "jedis", "redis-rb", "predis", "phpredis", "libketama", "redis-fluster", "red-cluster"} {
		assert.Regexp(t, `(?m)^`+name+`(:|$)`, out)
		assert.Contains(t, succeed(t, "", "placements", "--json"), `"name": "`+name+`"`)
	}
}
