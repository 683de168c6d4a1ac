package fluster_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/redistest"
)

// tabled is a command that goes by its keys, of which calls are made up by chance:
// also of those for which there is no template.
type tabled struct {
	words    []string // its name, and its subcommand's
	arity    int
	firstKey int // 0 if it has no fixed place
}

// byChance lists the commands of a server that go by their keys, but for those
// whose replies are chance, a server's own affair, or soon different, and those
// that wait.
func byChance(t testing.TB, s *redistest.Server) (list []tabled) {
	entries, err := redis.Values(s.Do("COMMAND"), nil)
	require.NoError(t, err)
	for len(entries) > 0 {
		fields, err := redis.Values(entries[0], nil)
		require.NoError(t, err)
		subs, err := redis.Values(fields[9], nil)
		require.NoError(t, err)
		entries = append(entries[1:], subs...)
		words := strings.Split(strings.ToUpper(string(fields[0].([]byte))), "|")
		info, err := command.Lookup(words[0], redis.Args{}.AddFlat(words[1:]))
		if err == nil && info.Route == command.ByKey && !info.Blocking && len(subs) == 0 && !isChance(info.Name) {
			list = append(list, tabled{words, int(fields[1].(int64)), int(fields[3].(int64))})
		}
	}
	require.Greater(t, len(list), 100)
	return list
}

// isChance tells commands that would not do the same twice with just any
// arguments: they take times, or choose at random.
func isChance(name string) bool {
	return strings.Contains(name, "EXPIRE") || strings.Contains(name, "RAND") || strings.HasSuffix(name, "SCAN") || slices.Contains([]string{
		"SET", "SETEX", "PSETEX", "GETEX", "HGETEX", "HSETEX", "MSETEX", "RESTORE", "SPOP", "SORT", "SORT_RO", "XCLAIM",
		"XAUTOCLAIM", "XPENDING", "XINFO CONSUMERS", "XINFO STREAM", "MEMORY USAGE", "OBJECT IDLETIME", "DEBUG OBJECT",
	}, name)
}

// vocabulary is what calls are made of beside keys.
var vocabulary = []any{
	"0", 1, "2", int64(3), "-1", 1.5, "", "a", "b", "1-1", "(1", "+inf", "99999999999999999999", nil, "LEFT", "MIN", "AND", "KM", "MATCH",
	"STORE", "COUNT", "LIMIT", "WITHSCORES", "WEIGHTS", "NX", "BYSCORE", "REV", "STREAMS", "GROUP", "return 1",
}

// chance makes up a call of a command in the table.
func (c *caller) chance() (cmd string, args []any) {
	made := c.table[c.IntN(len(c.table))]
	n := max(made.arity, -made.arity)
	if made.arity < 0 || c.IntN(10) == 0 {
		n += c.IntN(4)
	}
	if c.IntN(10) == 0 {
		n--
	}
	words := redis.Args{}.AddFlat(made.words)
	for len(words) < n {
		word := vocabulary[c.IntN(len(vocabulary))]
		if len(words) == made.firstKey || c.IntN(3) == 0 {
			word = c.value(c.types[c.IntN(len(c.types))], "k")
		}
		words = append(words, word)
	}
	return made.words[0], words[1:]
}
