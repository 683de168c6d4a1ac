package command_test

import (
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestEveryCommandHasItsPlace(t *testing.T) {
	for _, i := range command.All() {
		if command.IsContainer(i) {
			continue
		}
		assert.Equal(t, i.Route == command.Rejected, i.Reason != "", "%s: reason %q", i.Name, i.Reason)
		assert.NotContains(t, i.Reason, "not known", "%s is not decided on", i.Name)
		assert.LessOrEqual(t, len(i.Name), 32, "%s is too long to be found", i.Name)
		switch i.Route {
		case command.ByKey, command.ByChannel:
			assert.False(t, i.Keyless(), "%s goes by a key that it has not", i.Name)
			assert.False(t, i.Stateful, i.Name)
		case command.FanOut:
			assert.True(t, i.Keyless(), "%s has keys, but goes everywhere", i.Name)
			assert.False(t, i.Blocking, i.Name)
		case command.OnConn:
			assert.True(t, i.Stateful, i.Name)
			assert.False(t, i.Repeatable, i.Name)
		}
		if i.Split != command.NoSplit {
			assert.Equal(t, command.ByKey, i.Route, i.Name)
			assert.False(t, i.Blocking, "%s cannot be split, it waits", i.Name)
		}
		if command.NeedsFinder(i) {
			assert.True(t, command.HasFinder(i), "nobody finds the keys of %s", i.Name)
		}
		assert.False(t, i.Repeatable && i.Access == command.Write, "%s writes", i.Name)
	}
}

func TestTablesNameCommandsThatExist(t *testing.T) {
	known := make(map[string]bool)
	for _, i := range command.All() {
		known[i.Name] = true
	}
	require.NotEmpty(t, known)
	for name, tables := range command.Named() {
		assert.True(t, known[name], "%s of %v is no command", name, tables)
	}
}

// What the server itself advises about many nodes, where it differs from what is
// done, with the reason.
var otherwise = map[string]string{
	"FUNCTION KILL": "it would end what runs by chance elsewhere",
	"SCRIPT KILL":   "it would end what runs by chance elsewhere",
	"SCAN":          "it takes a cursor for each node",
	"WAIT":          "it is about one connection",
	"MSETNX":        "it is one promise about all keys",
	"SLOWLOG LEN":   "the logs are looked at node by node",
	"LATENCY RESET": "each node counts what it has reset",
	"FUNCTION LOAD": "each node answers with the same name",
	"SCRIPT LOAD":   "each node answers with the same hash",
	"PING":          "each node answers with the same word",
}

func TestRoutesAndMergesFollowTheServersAdvice(t *testing.T) {
	s := redistest.StartUnix(t)
	if !asDescribed(s) {
		t.Skipf("the table was made from redis-server %s, which advised it", command.DescribedBy)
	}
	merges := map[string]command.Merge{
		"agg_sum": command.Sum, "agg_min": command.Earliest, "agg_logical_and": command.And,
		"all_succeeded": command.AllOK, "special": command.PerNode,
	}
	advised := 0
	for _, c := range flatten(describe(t, s)) {
		name := strings.ToUpper(strings.Join(c.words, " "))
		if c.request == "" || otherwise[name] != "" {
			continue
		}
		advised++
		cmd, args := c.call()
		info := lookup(t, cmd, args...)
		switch c.request {
		case "all_shards", "all_nodes":
			assert.Equal(t, command.FanOut, info.Route, name)
			if c.response != "" {
				assert.Equal(t, merges[c.response], info.Merge, name)
			}
		case "multi_shard":
			want := map[string]command.Split{"": command.Values, "agg_sum": command.Count, "all_succeeded": command.Pairs}
			assert.Equal(t, want[c.response], info.Split, name)
		}
	}
	assert.Greater(t, advised, 20)
}

func TestRejectionReasonsReadOnAfterAColon(t *testing.T) {
	for _, i := range command.All() {
		if i.Route != command.Rejected || i.Reason == "" {
			continue
		}
		assert.NotEqual(t, ".", i.Reason[len(i.Reason)-1:], i.Name)
		assert.Equal(t, strings.ToLower(i.Reason[:1]), i.Reason[:1], i.Name)
	}
}

func TestWhatACommandIsFor(t *testing.T) {
	type is struct {
		access                     command.Access
		route                      command.Route
		blocking, stateful, repeat bool
	}
	for name, want := range map[string]is{
		"GET":             {access: command.Read, route: command.ByKey, repeat: true},
		"INCR":            {access: command.Write, route: command.ByKey},
		"GETEX":           {access: command.Write, route: command.ByKey},
		"EVAL":            {access: command.Write, route: command.ByKey},
		"EVAL_RO":         {access: command.Read, route: command.ByKey, repeat: true},
		"PFCOUNT":         {access: command.Read, route: command.ByKey, repeat: true},
		"BLPOP":           {access: command.Write, route: command.ByKey, blocking: true},
		"XREAD":           {access: command.Read, route: command.ByKey, blocking: true, repeat: true},
		"XREADGROUP":      {access: command.Write, route: command.ByKey, blocking: true},
		"PUBLISH":         {route: command.ByChannel},
		"WATCH":           {route: command.OnConn, stateful: true},
		"MULTI":           {route: command.OnConn, stateful: true},
		"SUBSCRIBE":       {route: command.OnConn, stateful: true},
		"PING":            {route: command.FanOut, repeat: true},
		"DBSIZE":          {access: command.Read, route: command.FanOut, repeat: true},
		"FLUSHALL":        {access: command.Write, route: command.FanOut},
		"CONFIG SET":      {route: command.FanOut},
		"CONFIG GET":      {route: command.FanOut, repeat: true},
		"CLIENT SETNAME":  {route: command.Rejected, stateful: true},
		"SELECT":          {route: command.Rejected, stateful: true},
		"MONITOR":         {route: command.Rejected, stateful: true},
		"MIGRATE":         {access: command.Write, route: command.Rejected},
		"SCAN":            {access: command.Read, route: command.Rejected},
		"OBJECT ENCODING": {access: command.Read, route: command.ByKey, repeat: true},
	} {
		t.Run(name, func(t *testing.T) {
			words := redis.Args{}.AddFlat(strings.Split(name, " "))
			i := lookup(t, words[0].(string), words[1:]...)
			assert.Equal(t, want, is{i.Access, i.Route, i.Blocking, i.Stateful, i.Repeatable})
		})
	}
}
