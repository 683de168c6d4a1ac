package command_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
)

// dummies are arguments of which a command may make what it likes: words, numbers of
// keys, options.
var dummies = []any{"a", "1", 1, []byte("b"), "2", int64(2), 0.5, true, "STORE", "KEYS", "STREAMS", "BLOCK", nil}

// callOf returns a call of a command, or of a subcommand, with so many words.
func callOf(i *command.Info, words int, arg func(k int) any) (cmd string, args []any) {
	cmd, sub, ok := strings.Cut(i.Name, " ")
	if ok {
		args = append(args, sub)
	}
	for len(args) < words-1 {
		args = append(args, arg(len(args)))
	}
	return cmd, args
}

// lengths are how many words calls of a command may have: the least number, and some more
// if it takes more.
func lengths(i *command.Info) (words []int) {
	least := max(i.Arity, -i.Arity)
	words = append(words, least)
	for more := 1; i.Arity < 0 && more < 10; more++ {
		words = append(words, least+more)
	}
	return words
}

func TestWhatIsPlainHasOneKeyAndMayShareAConnection(t *testing.T) {
	plain := map[string]bool{}
	for _, i := range command.All() {
		for _, words := range lengths(i) {
			for d := range dummies {
				cmd, args := callOf(i, words, func(k int) any { return dummies[(k+d)%len(dummies)] })
				info, key, ok := command.Plain(cmd, args)
				if !ok {
					continue
				}
				call := fmt.Sprintf("%s %v", cmd, args)
				plain[cmd] = true
				known, err := command.Lookup(cmd, args)
				require.NoError(t, err, call)
				assert.Same(t, known, info, call)
				assert.Same(t, i, info, "%s is another command", call)
				keys, err := info.Keys(nil, args)
				require.NoError(t, err, call)
				assert.Equal(t, []int{0}, keys, call)
				assert.Equal(t, command.Text(args[0]), key, call)
				_, blocks := info.Blocks(args)
				assert.False(t, blocks, "%s blocks", call)
				assert.False(t, info.Stateful, call)
				assert.False(t, info.Movable, call)
				assert.False(t, info.Opaque(), "only a server finds the keys of %s", call)
				assert.Equal(t, command.ByKey, info.Route, call)
				_, _, combines := info.Fetch(args[0])
				assert.False(t, combines, call)
				assert.False(t, info.ReachesBeyond(args), call)
				assert.False(t, command.IsContainer(info), call)
			}
		}
	}
	assert.Greater(t, len(plain), 100, "nearly all commands that have one key are plain")
}

// The other way round: what has one key, however it is called, and needs nothing else to be
// found out about it, is not sent the long way by mistake.
func TestWhatHasOneKeyAlwaysIsPlain(t *testing.T) {
	for _, i := range command.All() {
		if i.Route != command.ByKey || i.Stateful || i.Blocking || i.Movable || strings.Contains(i.Name, " ") || command.IsContainer(i) {
			continue
		}
		one := !command.HasFinder(i)
		for _, words := range lengths(i) {
			cmd, args := callOf(i, words, func(int) any { return "1" })
			keys, err := lookup(t, cmd, args...).Keys(nil, args)
			if err != nil || len(keys) != 1 || keys[0] != 0 {
				one = false
			}
		}
		cmd, args := callOf(i, max(i.Arity, -i.Arity), func(int) any { return "1" })
		_, _, ok := command.Plain(cmd, args)
		if i.Split == command.NoSplit {
			assert.Equal(t, one, ok, "%s %v", cmd, args)
		} else {
			assert.False(t, ok, "%s may have several keys", cmd)
		}
	}
}

func TestWhichCallsArePlain(t *testing.T) {
	for cmd, calls := range map[string][][]any{
		"GET":         {{"k"}},
		"get":         {{"k"}},
		"gEt":         {{[]byte("k")}},
		"SET":         {{"k", "v"}, {"k", "v", "EX", 10, "NX"}},
		"GETSET":      {{"k", "v"}},
		"GETEX":       {{"k", "EX", 1}},
		"SETEX":       {{"k", 10, "v"}},
		"APPEND":      {{"k", "v"}},
		"STRLEN":      {{"k"}},
		"INCR":        {{"k"}},
		"INCRBY":      {{"k", 2}},
		"INCRBYFLOAT": {{"k", 0.5}},
		"DECR":        {{"k"}},
		"EXPIRE":      {{"k", 10}},
		"PTTL":        {{"k"}},
		"TYPE":        {{"k"}},
		"HSET":        {{"k", "f", "v"}, {"k", "f", "v", "g", "w"}},
		"HGET":        {{"k", "f"}},
		"HMGET":       {{"k", "f", "g"}},
		"HGETALL":     {{"k"}},
		"HINCRBY":     {{"k", "f", 1}},
		"LPUSH":       {{"k", "a"}, {"k", "a", "b", "c"}},
		"RPUSH":       {{"k", "a"}},
		"LPOP":        {{"k"}, {"k", 2}},
		"LRANGE":      {{"k", 0, -1}},
		"SADD":        {{"k", "m", "n"}},
		"SMEMBERS":    {{"k"}},
		"SISMEMBER":   {{"k", "m"}},
		"ZADD":        {{"k", 1, "m"}, {"k", "NX", "CH", 1.5, "m", 2, "n"}},
		"ZRANGE":      {{"k", 0, -1, "WITHSCORES"}},
		"ZSCORE":      {{"k", "m"}},
		"XADD":        {{"k", "*", "f", "v"}},
		"XRANGE":      {{"k", "-", "+"}},
		"PFADD":       {{"k", "a"}},
		"GEOADD":      {{"k", 13.3, 38.1, "m"}},
		"SETBIT":      {{"k", 7, 1}},
		"HSCAN":       {{"k", 0}},
		"DUMP":        {{"k"}},
		"GEOSEARCH":   {{"k", "FROMMEMBER", "m", "BYRADIUS", 1, "km"}},
	} {
		for _, args := range calls {
			info, key, ok := command.Plain(cmd, args)
			assert.True(t, ok, "%s %v", cmd, args)
			if ok {
				assert.Equal(t, "k", key, "%s %v", cmd, args)
				assert.Equal(t, strings.ToUpper(cmd), info.Name)
			}
		}
	}
	for name, call := range map[string][]any{
		"several keys":                 {"MGET", "a"},
		"several keys that it deletes": {"DEL", "a"},
		"keys and values":              {"MSET", "a", 1},
		"a destination":                {"COPY", "a", "b"},
		"two lists":                    {"LMOVE", "a", "b", "LEFT", "LEFT"},
		"a new name":                   {"RENAME", "a", "b"},
		"sets":                         {"SUNION", "a"},
		"one sketch of several":        {"PFCOUNT", "a"},
		"a range that it stores":       {"ZRANGESTORE", "a", "b", 0, 1},
		"a number of keys":             {"ZUNION", 1, "a"},
		"keys and values, counted":     {"MSETEX", 1, "a", 1},
		"it blocks":                    {"BLPOP", "a", 0},
		"it blocks for a score":        {"BZPOPMIN", "a", 0},
		"it blocks on two":             {"BLMOVE", "a", "b", "LEFT", "LEFT", 0},
		"a script":                     {"EVAL", "return 1", 1, "a"},
		"a script without keys":        {"EVAL", "return 1", 0},
		"a script by its hash":         {"EVALSHA", "e0e1f9fabfc9d4800c877a703b823ac0578ff8db", 1, "a"},
		"a function":                   {"FCALL", "f", 1, "a"},
		"patterns":                     {"SORT", "a"},
		"patterns and a destination":   {"SORT", "a", "STORE", "b"},
		"patterns that only read":      {"SORT_RO", "a"},
		"a radius":                     {"GEORADIUS", "a", 0, 0, 1, "km"},
		"a radius that it stores":      {"GEORADIUS", "a", 0, 0, 1, "km", "STORE", "b"},
		"a member's radius":            {"GEORADIUSBYMEMBER", "a", "m", 1, "km", "STORE", "b"},
		"streams":                      {"XREAD", "STREAMS", "a", "0"},
		"streams of a group":           {"XREADGROUP", "GROUP", "g", "c", "STREAMS", "a", ">"},
		"a subcommand":                 {"OBJECT", "ENCODING", "a"},
		"a subcommand of a stream":     {"XGROUP", "CREATE", "a", "g", "$"},
		"a subcommand as one word":     {"OBJECT ENCODING", "a"},
		"what is behind a container":   {"MEMORY", "USAGE", "a"},
		"a debugger's":                 {"DEBUG", "OBJECT", "a"},
		"a transaction":                {"MULTI"},
		"a watch":                      {"WATCH", "a"},
		"a channel":                    {"PUBLISH", "a", "m"},
		"a subscription":               {"SUBSCRIBE", "a"},
		"a database":                   {"SELECT", 1},
		"a password":                   {"AUTH", "a"},
		"another database":             {"MOVE", "a", 1},
		"another server":               {"MIGRATE", "h", 1, "a", 0, 1},
		"no key":                       {"PING"},
		"a word that is no key":        {"PING", "a"},
		"another that is none":         {"ECHO", "a"},
		"a cursor":                     {"SCAN", 0},
		"a pattern":                    {"KEYS", "a"},
		"what nobody knows":            {"MODULE.COMMAND", "a"},
		"nothing":                      {""},
		"nothing but a key":            {"", "a"},
		"a name with a space":          {"GET ", "a"},
		"a name that is too long":      {strings.Repeat("G", 100), "a"},
		"not only letters":             {"\x00GET", "a"},
		"no argument":                  {"GET"},
		"no value":                     {"SET", "a"},
		"no field":                     {"HSET", "a", "f"},
		"no number":                    {"ZADD", "a", 1},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, ok := command.Plain(call[0].(string), call[1:])
			assert.False(t, ok, "%v", call)
		})
	}
}

func TestTheKeyOfAPlainCallIsWhatIsWritten(t *testing.T) {
	for _, key := range []any{"k", "", []byte("bytes"), []byte(nil), 7, -7, int64(1) << 40, 0.1, 1e21, true, false, nil} {
		_, text, ok := command.Plain("GET", []any{key})
		require.True(t, ok, "%T", key)
		assert.Equal(t, fmt.Sprintf("*2\r\n$4\r\nECHO\r\n$%d\r\n%s\r\n", len(text), text), written(t, key), "%T", key)
	}
	key := []byte("bytes")
	_, text, _ := command.Plain("GET", []any{key})
	copy(key, "other")
	assert.Equal(t, "bytes", text, "the caller may use his bytes again")
}

// asked is an argument of a type that is asked what it is.
type asked struct{ times *int }

func (a asked) RedisArg() any  { *a.times++; return "k" }
func (a asked) String() string { *a.times++; return "k" }

// spoken is an argument that is printed.
type spoken struct{ times *int }

func (s spoken) String() string { *s.times++; return "k" }

// Methods of a caller's own types are called once for each call, and not by whoever only
// looks which way it goes.
func TestACallWhoseKeyHasATypeOfItsOwnIsNotPlainAndNotAsked(t *testing.T) {
	times := 0
	for name, key := range map[string]any{
		"an argument":              asked{&times},
		"a pointer to one":         &asked{&times},
		"a Stringer":               spoken{&times},
		"a Stringer's pointer":     &spoken{&times},
		"a word":                   word("k"),
		"an error":                 redis.Error("k"),
		"a number of another size": int32(7),
		"without a sign":           uint64(7),
		"a small fraction":         float32(0.5),
		"words":                    []string{"k"},
		"a map":                    map[string]int{"k": 1},
	} {
		_, _, ok := command.Plain("GET", []any{key})
		assert.False(t, ok, name)
	}
	assert.Zero(t, times, "their methods were called")
	_, _, ok := command.Plain("SET", []any{"k", asked{&times}})
	assert.True(t, ok, "only the key counts")
	assert.Zero(t, times)
}

func TestPlainDoesNotAllocate(t *testing.T) {
	for cmd, args := range map[string][]any{
		"GET":  {"user:42"},
		"set":  {"user:42", []byte("value")},
		"ZADD": {"user:42", 1.5, "m"},
		"MGET": {"user:42"},
		"PING": nil,
		"NONE": {"user:42"},
	} {
		assert.Zero(t, testing.AllocsPerRun(100, func() { command.Plain(cmd, args) }), cmd)
	}
}
