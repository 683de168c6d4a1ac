package nodelist_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/cmd/fluster/internal/nodelist"
)

// brief is most of a node.
type brief struct {
	name, addr string
	weight     int
}

type nodes = []brief

func briefly(list nodelist.List) nodes {
	var all nodes
	for _, n := range list.Nodes {
		all = append(all, brief{n.Name, n.Addr, n.Weight})
	}
	return all
}

func TestListsOfNodes(t *testing.T) {
	for name, tc := range map[string]struct {
		text string
		want nodes
	}{
		"maps":                 {"- {name: a, address: 'h:1', weight: 3}\n- {name: b}", nodes{{"a", "h:1", 3}, {"b", "", 0}}},
		"under a field":        {"nodes:\n  - name: a\n    url: redis://h:1?weight=2", nodes{{"a", "h:1", 2}}},
		"URLs and addresses":   {"- redis://:pw@h\n- unix:///s?name=u\n- h:2\n- /s2", nodes{{"h", "h:6379", 0}, {"u", "/s", 0}, {"h:2", "h:2", 0}, {"/s2", "/s2", 0}}},
		"JSON":                 {`{"nodes":[{"name":"a","weight":2},"redis://h/3"]}`, nodes{{"a", "", 2}, {"h/3", "h:6379", 0}}},
		"JSON with tabs":       {"[\n\t{\n\t\t\"name\": \"a\"\n\t}\n]", nodes{{"a", "", 0}}},
		"a weight beside both": {"- {url: 'redis://h?weight=2&name=x', weight: 5, name: y}", nodes{{"y", "h:6379", 5}}},
		"strings as written":   {"- {name: 007, weight: '8'}\n- {name: yes}\n- {name: 1.0}", nodes{{"007", "", 8}, {"yes", "", 0}, {"1.0", "", 0}}},
		"an alias":             {"- {name: a, weight: &w 4}\n- {name: b, weight: *w}", nodes{{"a", "", 4}, {"b", "", 4}}},
		"names of any script":  {"- name: é 節点", nodes{{"é 節点", "", 0}}},
		"a path with a space":  {"- /a b", nodes{{"/a b", "/a b", 0}}},
		"a comment":            {"# all of them\n- a # the first", nodes{{"a", "a", 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			list, err := nodelist.Parse("f.yml", []byte(tc.text), "")
			require.NoError(t, err)
			assert.Equal(t, tc.want, briefly(list))
			assert.Equal(t, "f.yml", list.Source)
			assert.Empty(t, list.Placement)
		})
	}
	list, err := nodelist.Parse("f.yml", []byte("placement: go-redis\nnodes: [a]"), "")
	require.NoError(t, err)
	assert.Equal(t, "go-redis", list.Placement)
}

func TestConfigurationsOfTwemproxy(t *testing.T) {
	const two = `
alpha:
  listen: 127.0.0.1:22121
  hash: fnv1a_64
  hash_tag: "{}"
  distribution: modula
  auto_eject_hosts: true
  redis: true
  redis_auth: secret
  servers:
   - 127.0.0.1:6379:1
   - 127.0.0.1:6380:2 named
   - 127.0.0.1:11211:1
   - /var/s.sock:7
beta:
  servers: ["10.0.0.1:6379:1"]
`
	list, err := nodelist.Parse("nc.yml", []byte(two), "alpha")
	require.NoError(t, err)
	assert.Equal(t, nodes{
		{"127.0.0.1:6379", "127.0.0.1:6379", 1},
		{"named", "127.0.0.1:6380", 2},
		{"127.0.0.1", "127.0.0.1:11211", 1},
		{"/var/s.sock:", "/var/s.sock", 7},
	}, briefly(list))
	assert.Equal(t, "nc.yml, pool alpha", list.Source)
	assert.Equal(t, "twemproxy:hash=fnv1a_64,distribution=modula,tag={},eject", list.Placement)

	list, err = nodelist.Parse("nc.yml", []byte(two), "beta")
	require.NoError(t, err)
	assert.Equal(t, "twemproxy:hash=fnv1a_64,distribution=ketama", list.Placement, "the defaults of twemproxy")

	_, err = nodelist.Parse("nc.yml", []byte(two), "")
	assert.EqualError(t, err, "nc.yml: which of its pools? There are alpha, beta")
	_, err = nodelist.Parse("nc.yml", []byte(two), "gamma")
	assert.EqualError(t, err, `nc.yml: it has no pool "gamma"; there are alpha, beta`)
	_, err = nodelist.Parse("nc.yml", []byte("alpha: {servers: [h:1:1]}"), "")
	assert.NoError(t, err, "a single pool need not be named")
}

func TestFlawsNameFileLineAndField(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "f: the file is empty",
		"# nothing":                             "f: the file is empty",
		"nodes:\n- name: a\n  weight: x":        "f:3: nodes[0].weight: is not a whole number from 1 to 1048576",
		"- weight: 0":                           "f:1: nodes[0].weight: is not a whole number from 1 to 1048576",
		"- {name: a, weight: 1.5}":              "f:1: nodes[0].weight: is not a whole number from 1 to 1048576",
		"- {name: a, weight: 1048577}":          "f:1: nodes[0].weight: is not a whole number from 1 to 1048576",
		"- name: a\n- name: b\n  wieght: 2":     "f:3: nodes[1].wieght: unknown field; there are address, name, url, weight",
		"nodes: [a]\nnode: [b]":                 "f:2: node: unknown field; there are nodes, placement",
		"- {name: a, name: b}":                  "f:1: nodes[0].name: is given twice",
		"- name: a\n- name: b\n- name: a":       `f:3: nodes[2]: "a" is the name of f:1: nodes[0] too`,
		"- name: ''":                            "f:1: nodes[0].name: is empty",
		"- name:":                               "f:1: nodes[0].name: is not a string",
		"- name: [a]":                           "f:1: nodes[0].name: is not a string",
		"- {name: \"a\\tb\"}":                   "f:1: nodes[0].name: has a control character or is not UTF-8",
		"- weight: 2":                           "f:1: nodes[0]: has no name, address or url",
		"- {address: h, url: 'redis://h'}":      "f:1: nodes[0]: has both an address and a url",
		"- url: redis://h:x":                    "f:1: nodes[0].url: it cannot be parsed (are all special characters of the password percent-encoded?)",
		"- url: http://h":                       "f:1: nodes[0].url: its scheme must be redis, rediss, valkey, valkeys or unix",
		"- address: redis://h":                  "f:1: nodes[0].address: is not host:port or the path of a socket (a URL goes into url)",
		"- a:1\n - b:2":                         "f:1: nodes[0]: is not host:port or the path of a socket (a URL goes into url)",
		"- name: redis://:pw@h":                 "f:1: nodes[0].name: is a URL that may hold a password (that goes into url)",
		"-\n  - a":                              "f:2: nodes[0]: is neither a map nor a URL nor an address",
		"nodes: a":                              "f:1: nodes: is not a list of nodes",
		"placement: balanced":                   "f:1: nodes: is missing, or is not a list",
		"nodes: []":                             "f:1: nodes: is empty",
		"just text":                             "f:1: nodes: is not a list of nodes",
		"a: b: c":                               "f:1: this is neither YAML nor JSON: mapping values are not allowed in this context",
		"[a":                                    "f:1: this is neither YAML nor JSON: did not find expected ',' or ']'",
		"- *secret":                             "f: this is neither YAML nor JSON",
		"[a]\n---\n[b]":                         "f:2: the file holds more than one document",
		"p:\n  servers: []":                     "f:2: p.servers: is not a list of servers",
		"p:\n  listen: x":                       "f:2: p.servers: is missing",
		"p:\n  servers:\n  - h:1:1\n  - h:1":    "f:4: p.servers[1]: the server's port is missing",
		"p:\n  servers:\n  - u:pw@h:1:1":        "f:3: p.servers[0]: its address is not host:port",
		"p:\n  servers:\n  - [h]":               "f:3: p.servers[0]: is not a server's line",
		"p:\n  servers:\n  - h:1:1\n  - h:1:1":  `f:4: p.servers[1]: "h:1" is the name of f:3: p.servers[0] too`,
		"p:\n  hash_tag: '{'\n  servers: [a]":   "f:2: p.hash_tag: is not two characters, such as {}",
		"p:\n  hash: 'md5,x'\n  servers: [a]":   "f:2: p.hash: is not a name that twemproxy knows",
		"p:\n  auto_eject_hosts: 1":             "f:2: p.auto_eject_hosts: is neither true nor false",
		"p:\n  server: [h:1:1]":                 "f:2: p.server: unknown field; there are auto_eject_hosts",
		"p: {servers: [h:1:1]}\np: {listen: x}": "f:2: p: is given twice",
	} {
		_, err := nodelist.Parse("f", []byte(text), "")
		if assert.Error(t, err, "%q", text) {
			assert.Contains(t, err.Error(), want, "%q", text)
		}
	}
	_, err := nodelist.Parse("f", []byte("[a]"), "p")
	assert.EqualError(t, err, "f: it has no pools: only a file of twemproxy's does")
}

func TestURLs(t *testing.T) {
	list, err := nodelist.Read("redis://:a,b@h:1,rediss://x?name=tls,unix:///s", "")
	require.NoError(t, err)
	assert.Equal(t, nodes{{"h:1", "h:1", 0}, {"tls", "x:6379", 0}, {"/s", "/s", 0}}, briefly(list))
	for urls, want := range map[string]string{
		"redis://a,redis://b:x": "URL 2: it cannot be parsed",
		"redis://a,redis://a":   `URL 2: "a" is the name of URL 1 too`,
		"http://a":              "URL 1: its scheme must be",
		"redis://a?wait=1":      `URL 1: it has an unknown option "wait"`,
	} {
		_, err := nodelist.Read(urls, "")
		assert.ErrorContains(t, err, want, "%q", urls)
	}
}

func TestANodeTellsWhereItIsWithoutItsSecrets(t *testing.T) {
	for item, want := range map[string]nodelist.Node{
		"redis://u:pw@h:1/2?weight=3": {Name: "h:1/2", Addr: "h:1", URL: "redis://h:1/2", Weight: 3},
		"valkeys://pw@h?db=4&name=n":  {Name: "n", Addr: "h:6379", URL: "rediss://h?db=4", Named: true},
		"unix://:pw@/s?db=1":          {Name: "/s/1", Addr: "/s", URL: "unix:///s?db=1"},
		"h:1":                         {Name: "h:1", Addr: "h:1", URL: "redis://h:1"},
		"/s":                          {Name: "/s", Addr: "/s", URL: "unix:///s"},
		"{name: n, address: 'h:1'}":   {Name: "n", Addr: "h:1", URL: "redis://h:1", Named: true},
		"{name: n}":                   {Name: "n", Named: true},
	} {
		list, err := nodelist.Parse("f", []byte("- "+item), "")
		require.NoError(t, err)
		assert.Equal(t, []nodelist.Node{want}, list.Nodes)
	}
}

func TestFiles(t *testing.T) {
	file := filepath.Join(t.TempDir(), "n.yml")
	_, err := nodelist.Read(file, "")
	assert.EqualError(t, err, file+": no such file or directory")
	_, err = nodelist.Read("h:6379", "")
	assert.EqualError(t, err, "h:6379: no such file or directory (a URL is written redis://host:6379)")
	_, err = nodelist.Read("user:pw@h:6379", "")
	assert.EqualError(t, err, "neither a file nor URLs such as redis://host:6379: no such file or directory")
	require.NoError(t, os.WriteFile(file, []byte("[a]"), 0o666))
	list, err := nodelist.Read(file, "")
	require.NoError(t, err)
	assert.Equal(t, file, list.Source)
}

// FuzzParse throws text at the reader of files. Whatever it accepts is a list that
// can be placed on and printed, and whatever it refuses it refuses by name.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"- redis://:pw@h:1\n- {name: a, weight: 2}", "nodes: [a, {url: 'redis://h'}]\nplacement: balanced",
		"p:\n  hash: md5\n  hash_tag: '{}'\n  servers: ['h:1:1 n', '/s:2']", "p: {servers: [h:11211:1]}\nq: {}",
		"- &a {name: x}\n- *a", "a: &a [*a]", `[{"name":"a","weight":1}]`, "- !!binary aGk=\n- !!null x", "? [a]\n: b",
		"- {name: 'redis://:pw@h'}", "--- a\n--- b", "<<: {nodes: [a]}",
	} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "p")
	}
	atFile := regexp.MustCompile(`^f(:\d+)?: `)
	f.Fuzz(func(t *testing.T, text []byte, pool string) {
		list, err := nodelist.Parse("f", text, pool)
		if err != nil {
			assert.Regexp(t, atFile, err.Error())
			return
		}
		require.NotEmpty(t, list.Nodes)
		seen := make(map[string]bool)
		for _, n := range list.Nodes {
			assert.NotEmpty(t, n.Name)
			assert.False(t, seen[n.Name], "%q twice", n.Name)
			seen[n.Name] = true
			assert.GreaterOrEqual(t, n.Weight, 0)
			for _, s := range []string{n.Name, n.Addr, n.URL} {
				assert.True(t, utf8.ValidString(s))
				assert.False(t, strings.ContainsFunc(s, unicode.IsControl), "%q", s)
				assert.False(t, strings.Contains(s, "://") && strings.Contains(s, "@"), "%q", s)
			}
		}
	})
}

// FuzzSecret writes a password wherever there is room for one: no answer and no
// error may show it.
func FuzzSecret(f *testing.F) {
	f.Add("- redis://:", "@h:1")
	f.Add("p: {redis_auth: ", ", servers: [h:1:1]}")
	f.Add("- {url: \"redis://", "@h/x\"}")
	f.Add("- {name: a, weight: redis://", "@h}")
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "c4nary-pa55word"
		if !strings.HasSuffix(before, "://") && !strings.HasSuffix(before, "://:") && !strings.HasSuffix(before, "redis_auth: ") {
			return
		}
		if !strings.HasPrefix(after, "@") && !strings.HasSuffix(before, "redis_auth: ") {
			return
		}
		list, err := nodelist.Parse("f", []byte(before+secret+after), "")
		if err != nil {
			assert.NotContains(t, err.Error(), secret)
		}
		for _, n := range list.Nodes {
			assert.NotContains(t, n.Name+n.Addr+n.URL, secret)
		}
		assert.NotContains(t, list.Placement+list.Source, secret)
	})
}
