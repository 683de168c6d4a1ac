package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const three = "testdata/three.yml"

func TestHelpOfTheToolAndOfEveryCommandHasExamples(t *testing.T) {
	top := succeed(t, "", "--help")
	assert.Equal(t, top, succeed(t, ""), "without arguments, too")
	assert.Contains(t, top, "Exit status:")
	for _, command := range []string{"where", "spread", "diff", "placements"} {
		assert.Contains(t, top, "  "+command+" ")
		for _, flag := range []string{"--help", "-h"} {
			help := succeed(t, "", command, flag)
			assert.Contains(t, help, "Usage: fluster "+command)
			assert.Contains(t, help, "Examples:\n")
			assert.Contains(t, help, "    fluster "+command)
			assert.Contains(t, help, "--json")
		}
	}
}

func TestTheVersionNamesTheCompiler(t *testing.T) {
	assert.Regexp(t, `^fluster .*go1\.`, succeed(t, "", "--version"))
}

func TestExitStatuses(t *testing.T) {
	for name, tc := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"all went well":                  {[]string{"where", "--nodes", three, "a"}, 0, ""},
		"no live node":                   {[]string{"where", "--nodes", three, "--down", "cache1,cache2,cache3", "a"}, 1, "no live node: 1 key without any"},
		"no live node to spread over":    {[]string{"spread", "--nodes=" + three, "--down=cache1,cache2", "--down=cache3", "--keys=10"}, 1, "no live node: 10 keys"},
		"a file that is not there":       {[]string{"where", "--nodes", "testdata/absent.yml", "a"}, 1, "testdata/absent.yml: no such file"},
		"a file that is no list":         {[]string{"where", "--nodes", "app.go", "a"}, 1, "app.go"},
		"a key that is not in hex":       {[]string{"where", "--nodes", three, "--hex", "6b", "6x"}, 1, "key 2 is not in hexadecimal digits"},
		"no keys to count":               {[]string{"spread", "--nodes", three}, 1, "there are no keys to count"},
		"no keys to move":                {[]string{"diff", "--nodes", three}, 1, "there are no keys to count"},
		"a picture that has no place":    {[]string{"spread", "--nodes", three, "--keys", "9", "--svg", "absent/x.svg"}, 1, "absent/x.svg"},
		"an unknown command":             {[]string{"wher"}, 2, `did you mean "where"?`},
		"an unknown flag":                {[]string{"where", "--nodez", three}, 2, `did you mean "--nodes"?`},
		"a flag without its value":       {[]string{"where", "--nodes"}, 2, "--nodes"},
		"no nodes":                       {[]string{"where", "a"}, 2, "--nodes"},
		"no nodes on one side":           {[]string{"diff", "--from", three}, 2, "--to-nodes"},
		"an unknown placement":           {[]string{"where", "--nodes", three, "--placement", "balancd", "a"}, 2, "balancd"},
		"an unknown node that is down":   {[]string{"where", "--nodes", three, "--down", "cache4", "a"}, 2, `"cache4" that could be down; there are cache1, cache2, cache3`},
		"keys where there are none":      {[]string{"spread", "--nodes", three, "--keys", "5", "--", "a"}, 2, "unexpected argument a"},
		"a number that is none":          {[]string{"spread", "--nodes", three, "--keys", "many"}, 2, "--keys"},
		"no keys asked for":              {[]string{"spread", "--nodes", three, "--keys", "0"}, 2, "--keys"},
		"a pattern for nothing":          {[]string{"spread", "--nodes", three, "--pattern", "x%d"}, 2, "--pattern needs --keys"},
		"a pattern without a number":     {[]string{"spread", "--nodes", three, "--keys", "5", "--pattern", "x"}, 2, "--pattern"},
		"a pattern for something else":   {[]string{"spread", "--nodes", three, "--keys", "5", "--pattern", "%s:%d"}, 2, "--pattern"},
		"the same thing twice":           {[]string{"diff", "--from", three, "--from-nodes", three, "--to", three}, 2, "--from and --from-nodes"},
		"neither a file nor a placement": {[]string{"diff", "--nodes", three, "--from", "balancd"}, 1, "--from: nodes: balancd: no such file or directory (nor is there a placement"},
		"an unknown side":                {[]string{"diff", "--nodes", three, "--to-down", "x", "--keys", "5"}, 2, `--to: there is no node "x"`},
		"a pool of URLs":                 {[]string{"where", "--nodes", "redis://a", "--pool", "p", "k"}, 1, "pool"},
	} {
		t.Run(name, func(t *testing.T) {
			o := fluster(t, "", tc.args...)
			assert.Equal(t, tc.status, o.status, "%s", o.stderr)
			assert.Contains(t, o.stderr, tc.says)
			if tc.says == "" {
				assert.Empty(t, o.stderr)
			}
			for line := range strings.Lines(o.stderr) {
				assert.True(t, strings.HasPrefix(line, "fluster: "), "%s", line)
			}
			if tc.status == statusUsage {
				assert.Empty(t, o.stdout)
			}
		})
	}
}

func TestNoPasswordIsEverPrinted(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(path, []byte(text), 0o666))
		return path
	}
	url := "redis://user:" + canary + "@10.0.0.1:6379"
	for name, args := range map[string][]string{
		"URLs":                       {"where", "--nodes", url + "," + "rediss://" + canary + "@10.0.0.2", "a"},
		"JSON":                       {"where", "--nodes", url, "--json", "a"},
		"a spread":                   {"spread", "--nodes", url, "--keys", "5", "--json"},
		"a comparison":               {"diff", "--from", url, "--to", url, "--keys", "5", "--json"},
		"an unknown option":          {"where", "--nodes", url + "?" + canary + "=1", "a"},
		"a bad port":                 {"where", "--nodes", url + "x", "a"},
		"a password not encoded":     {"where", "--nodes", "redis://:" + canary + "/#@h", "a"},
		"a comma in the password":    {"where", "--nodes", "redis://:a," + canary + "@h", "a"},
		"a URL with a mistyped head": {"where", "--nodes", "redis:/user:" + canary + "@h", "a"},
		"a URL in a flag's place":    {"spread", "--nodes", three, url},
		"a URL for a number":         {"spread", "--nodes", three, "--keys", url},
		"a URL for an unknown flag":  {"where", "--node=" + url, "a"},
		"a URL for a boolean":        {"where", "--json=" + url, "a"},
		"a URL for a choice":         {"diff", "--match", url},
		"a URL for a placement":      {"where", "--nodes", three, "--placement", url, "a"},
		"a URL for a node":           {"where", "--nodes", three, "--down", url, "a"},
		"a URL for a pattern":        {"spread", "--nodes", three, "--keys", "5", "--pattern", url},
		"a URL for a pool":           {"where", "--nodes", "testdata/twemproxy.yml", "--pool", url, "a"},
		"a URL for a picture":        {"spread", "--nodes", three, "--keys", "5", "--svg", url},
		"a URL for a command":        {url},
		"a file of a list":           {"where", "--nodes", file("list", "- "+url+"\n- "+url+"?name=b"), "a"},
		"a bad URL in a file":        {"where", "--nodes", file("bad", "- "+url+"/x"), "a"},
		"a URL as an address":        {"where", "--nodes", file("address", "- address: "+url), "a"},
		"a URL as a name":            {"where", "--nodes", file("name", "- name: "+url), "a"},
		"a URL as a weight":          {"where", "--nodes", file("weight", "- {name: a, weight: \""+url+"\"}"), "a"},
		"a URL as a field":           {"where", "--nodes", file("field", "- {\""+url+"\": a}"), "a"},
		"a URL as a placement there": {"where", "--nodes", file("placement", "{nodes: [a], placement: \""+url+"\"}"), "a"},
		"a URL as a pool":            {"where", "--nodes", file("pool", "\""+url+"\": {servers: [a:1:1]}"), "a"},
		"a URL as a server":          {"where", "--nodes", file("server", "p: {servers: [\""+url+"\"]}"), "a"},
		"a URL as a server's name":   {"where", "--nodes", file("servername", "p: {servers: [\"h:1:1 "+url+"\"]}"), "a"},
		"a URL as a hash":            {"where", "--nodes", file("hash", "p: {hash: \""+url+"\", servers: [h:1:1]}"), "a"},
		"a password as an alias":     {"where", "--nodes", file("alias", "p: *"+canary), "a"},
		"text that is no YAML":       {"where", "--nodes", file("text", "\"\x01"+url+"\n\t- : ["), "a"},
		"an unknown pool":            {"where", "--nodes", "testdata/twemproxy.yml", "a"},
	} {
		t.Run(name, func(t *testing.T) {
			o := fluster(t, "", args...)
			assert.NotEmpty(t, o.stdout+o.stderr)
		})
	}
}

func TestTheEnvironmentStandsInForFlags(t *testing.T) {
	env := map[string]string{"FLUSTER_NODES": three, "FLUSTER_PLACEMENT": "balanced"}
	want := succeed(t, "", "where", "--nodes", three, "--placement", "balanced", "a", "b", "c")
	assert.Equal(t, outcome{stdout: want}, flusterIn(t, env, "", "where", "a", "b", "c"))

	env["FLUSTER_NODES"] = "testdata/absent.yml"
	assert.Equal(t, outcome{stdout: want}, flusterIn(t, env, "", "where", "--nodes", three, "a", "b", "c"), "a flag comes first")
	assert.Equal(t, 1, flusterIn(t, env, "", "where", "a").status)
}

func TestFlagsTakeTheirValuesEitherWay(t *testing.T) {
	want := succeed(t, "", "where", "--nodes", three, "--down", "cache1", "a", "b")
	assert.Equal(t, want, succeed(t, "", "where", "a", "b", "--nodes="+three, "--down=cache1"))
	assert.Equal(t, "-a\tcache", succeed(t, "", "where", "--nodes", three, "--", "-a")[:8])
}
