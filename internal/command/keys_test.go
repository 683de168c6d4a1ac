package command_test

import (
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/redistest"
)

func lookup(t testing.TB, cmd string, args ...any) *command.Info {
	t.Helper()
	info, err := command.Lookup(cmd, args)
	require.NoError(t, err)
	return info
}

// These are the calls that no server of this version can vouch for.
func TestKeysOfLaterCommandsAndOptions(t *testing.T) {
	for name, tc := range map[string]struct {
		cmd  string
		args []any
		want []int
	}{
		"XREADGROUP with CLAIM":     {"XREADGROUP", []any{"GROUP", "g", "c", "CLAIM", "streams", "STREAMS", "a", "b", ">", ">"}, []int{6, 7}},
		"ZRANK with WITHSCORE":      {"ZRANK", []any{"a", "m", "WITHSCORE"}, []int{0}},
		"MSETEX":                    {"MSETEX", []any{2, "a", "1", "b", "2", "EX", 10}, []int{1, 3}},
		"HEXPIRE":                   {"HEXPIRE", []any{"a", 10, "FIELDS", 1, "f"}, []int{0}},
		"VSIM":                      {"VSIM", []any{"a", "ELE", "e"}, []int{0}},
		"BITOP with a new operator": {"BITOP", []any{"DIFF1", "a", "b", "c"}, []int{1, 2, 3}},
		"DEBUG OBJECT":              {"DEBUG", []any{"OBJECT", "a"}, []int{1}},
		"PUBLISH":                   {"PUBLISH", []any{"ch", "m"}, []int{0}},
		"SUBSCRIBE":                 {"SUBSCRIBE", []any{"a", "b"}, []int{0, 1}},
		"UNSUBSCRIBE of all":        {"UNSUBSCRIBE", nil, nil},
		"PSUBSCRIBE":                {"PSUBSCRIBE", []any{"a*"}, nil},
		"CLIENT KILL":               {"CLIENT", []any{"KILL", "ID", 1}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := lookup(t, tc.cmd, tc.args...).Keys(nil, tc.args)
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestCallsThatTheServerWouldRefuseAreRefusedInItsWords(t *testing.T) {
	s := redistest.StartUnix(t)
	for name, tc := range map[string]struct {
		cmd  string
		args []any
	}{
		"too few arguments":           {"GET", nil},
		"too many arguments":          {"RENAME", []any{"a", "b", "c"}},
		"in a subcommand":             {"OBJECT", []any{"ENCODING"}},
		"a key without a value":       {"MSET", []any{"a", 1, "b"}},
		"a number that is none":       {"EVAL", []any{"", "x", "a"}},
		"a fraction":                  {"EVAL", []any{"", 1.5, "a"}},
		"a negative number":           {"EVAL_RO", []any{"", -1, "a"}},
		"more keys than arguments":    {"EVAL", []any{"", 3, "a", "b"}},
		"far more":                    {"ZUNION", []any{int64(1) << 62, "a"}},
		"no keys at all":              {"ZUNION", []any{0, "a"}},
		"less than no keys":           {"ZINTERSTORE", []any{"a", -1, "b"}},
		"a bad number of sorted sets": {"ZDIFFSTORE", []any{"a", "x", "b"}},
		"no sets":                     {"SINTERCARD", []any{0, "a"}},
		"a bad number of sets":        {"SINTERCARD", []any{"x", "a"}},
		"too many sets":               {"SINTERCARD", []any{2, "a"}},
		"no lists":                    {"LMPOP", []any{0, "a", "LEFT"}},
		"a bad number of lists":       {"BLMPOP", []any{1, "x", "a", "LEFT"}},
		"too many lists":              {"LMPOP", []any{4, "a", "LEFT"}},
		"no STREAMS":                  {"XREAD", []any{"COUNT", 1, "a"}},
		"nothing after STREAMS":       {"XREAD", []any{"COUNT", 1, "STREAMS"}},
		"streams without IDs":         {"XREAD", []any{"STREAMS", "a", "b", "0"}},
		"XREAD with a group":          {"XREAD", []any{"GROUP", "g", "c", "STREAMS", "a", ">"}},
		"XREADGROUP without a group":  {"XREADGROUP", []any{"STREAMS", "a", "b", "c", ">", ">", ">"}},
		"STORE at the end":            {"SORT", []any{"a", "STORE"}},
		"STOREDIST at the end":        {"GEORADIUS", []any{"a", 0, 0, 1, "km", "STOREDIST"}},
		"two ways of naming keys":     {"MIGRATE", []any{"h", 1, "a", 0, 1, "KEYS", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, want := s.Try(tc.cmd, tc.args...)
			require.Error(t, want)
			_, err := lookup(t, tc.cmd, tc.args...).Keys(nil, tc.args)
			assert.Equal(t, want, err)
		})
	}
}

// What is looked at first here, a server looks at after something else.
func TestABadNumberOfKeysOfAFunctionIsRefused(t *testing.T) {
	for n, want := range map[any]redis.Error{
		"x": "ERR Bad number of keys provided",
		-1:  "ERR Number of keys can't be negative",
		2:   "ERR Number of keys can't be greater than number of args",
	} {
		args := []any{"f", n, "a"}
		_, err := lookup(t, "FCALL", args...).Keys(nil, args)
		assert.Equal(t, want, err)
	}
}

func TestKeysAppends(t *testing.T) {
	args := []any{"a", "b"}
	got, err := lookup(t, "DEL").Keys([]int{7}, args)
	require.NoError(t, err)
	assert.Equal(t, []int{7, 0, 1}, got)
}

func TestOfTwoDestinationsTheLastCounts(t *testing.T) {
	s := redistest.StartUnix(t)
	for name, tc := range map[string]struct {
		cmd  string
		args []any
	}{
		"SORT":                              {"SORT", []any{"list", "STORE", "first", "STORE", "last"}},
		"GEORADIUS":                         {"GEORADIUS", []any{"geo", 0, 0, 1, "km", "STOREDIST", "first", "STORE", "last"}},
		"GEORADIUSBYMEMBER the other way":   {"GEORADIUSBYMEMBER", []any{"geo", "m", 1, "km", "STORE", "first", "STOREDIST", "last"}},
		"GEORADIUS with a COUNT in between": {"GEORADIUS", []any{"geo", 0, 0, 1, "km", "STORE", "first", "COUNT", 1, "STORE", "last"}},
	} {
		t.Run(name, func(t *testing.T) {
			s.Do("FLUSHALL")
			s.Do("RPUSH", "list", 1, 2)
			s.Do("GEOADD", "geo", 0, 0, "m")
			s.Do(tc.cmd, tc.args...)
			require.Equal(t, int64(1), s.Do("EXISTS", "first", "last"))
			require.Equal(t, int64(1), s.Do("EXISTS", "last"))

			got, err := keysOf(lookup(t, tc.cmd), tc.args)
			require.NoError(t, err)
			assert.Equal(t, []string{tc.args[0].(string), "last"}, got)
		})
	}
}

func TestPatternsOfSORTReachBeyondItsKeys(t *testing.T) {
	for name, tc := range map[string]struct {
		args []any
		want bool
	}{
		"plain":              {[]any{"a"}, false},
		"BY a pattern":       {[]any{"a", "by", "w_*"}, true},
		"BY nothing":         {[]any{"a", "BY", "nosort"}, false},
		"GET a pattern":      {[]any{"a", "GET", []byte("o_*->f")}, true},
		"GET the elements":   {[]any{"a", "GET", "#"}, false},
		"one of several":     {[]any{"a", "GET", "#", "get", "o_*"}, true},
		"a key with a star":  {[]any{"by*", "STORE", "get*"}, false},
		"LIMIT is no option": {[]any{"a", "LIMIT", "BY", "x*"}, false},
		"cut off":            {[]any{"a", "BY"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, lookup(t, "SORT").ReachesBeyond(tc.args))
			assert.Equal(t, tc.want, lookup(t, "sort_ro").ReachesBeyond(tc.args))
			assert.False(t, lookup(t, "RPUSH").ReachesBeyond(tc.args))
		})
	}
}

func FuzzKeysAreArgumentsOfTheCall(f *testing.F) {
	f.Add("GET", "a", "", "", "", "", int64(0))
	f.Add("EVAL", "return 1", "2", "a", "b", "", int64(1))
	f.Add("XREADGROUP", "GROUP", "g", "c", "STREAMS", "a", int64(5))
	f.Add("SORT", "a", "BY", "x*", "STORE", "b", int64(-1))
	f.Add("MIGRATE", "h", "1", "", "0", "KEYS", int64(1))
	f.Add("ZUNIONSTORE", "a", "9223372036854775807", "b", "", "", int64(1)<<62)
	f.Add("OBJECT", "ENCODING", "a", "", "", "", int64(2))
	f.Fuzz(func(t *testing.T, cmd, a, b, c, d, e string, n int64) {
		args := []any{a, b, []byte(c), n, d, word(e), a, nil}
		for k := range args {
			args := args[:k]
			info, err := command.Lookup(cmd, args)
			if err != nil {
				continue
			}
			keys, err := info.Keys(nil, args)
			for _, key := range keys {
				if key < 0 || key >= len(args) {
					t.Fatalf("%s %q: no argument %d", cmd, args, key)
				}
			}
			if err == nil && info.Keyless() && len(keys) > 0 {
				t.Fatalf("%s %q: keys of a command without", cmd, args)
			}
			info.ReachesBeyond(args)
			if limit, _ := info.Blocks(args); limit < 0 {
				t.Fatalf("%s %q: blocks for %v", cmd, args, limit)
			}
		}
	})
}
