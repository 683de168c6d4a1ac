package command_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/redistest"
)

// served is a command or subcommand as a real server describes it.
type served struct {
	words    []string // its name, and its subcommand's
	arity    int
	flags    []string
	firstKey int
	specs    int
	subs     []served

	request, response string // what it advises for many nodes
}

// describe asks a server for all of its commands.
func describe(t *testing.T, s *redistest.Server) []served {
	t.Helper()
	entries, err := redis.Values(s.Do("COMMAND"), nil)
	require.NoError(t, err)
	return readServed(t, entries)
}

func readServed(t *testing.T, entries []any) []served {
	t.Helper()
	list := make([]served, len(entries))
	for i, e := range entries {
		f, err := redis.Values(e, nil)
		require.NoError(t, err)
		name, err := redis.String(f[0], nil)
		require.NoError(t, err)
		flags, err := redis.Strings(f[2], nil)
		require.NoError(t, err)
		specs, err := redis.Values(f[8], nil)
		require.NoError(t, err)
		subs, err := redis.Values(f[9], nil)
		require.NoError(t, err)
		tips, err := redis.Strings(f[7], nil)
		require.NoError(t, err)
		list[i] = served{
			words:    strings.Split(name, "|"),
			arity:    int(f[1].(int64)),
			flags:    flags,
			firstKey: int(f[3].(int64)),
			specs:    len(specs),
			subs:     readServed(t, subs),
			request:  tip(tips, "request_policy:"),
			response: tip(tips, "response_policy:"),
		}
	}
	return list
}

// tip returns what follows a prefix in a list, "" if nothing does.
func tip(tips []string, prefix string) string {
	for _, t := range tips {
		if text, ok := strings.CutPrefix(t, prefix); ok {
			return text
		}
	}
	return ""
}

// call is a command with its arguments.
func (c served) call(args ...any) (cmd string, all []any) {
	for _, w := range c.words[1:] {
		all = append(all, w)
	}
	return c.words[0], append(all, args...)
}

// flatten lists commands with their subcommands.
func flatten(list []served) []served {
	var all []served
	for _, c := range list {
		all = append(append(all, c), flatten(c.subs)...)
	}
	return all
}

func TestEveryCommandOfTheServerIsKnownAsItDescribesIt(t *testing.T) {
	s := redistest.StartUnix(t)
	top := describe(t, s)
	count, err := redis.Int(s.Do("COMMAND", "COUNT"), nil)
	require.NoError(t, err)
	require.Len(t, top, count)
	exact := asDescribed(s)

	for _, c := range flatten(top) {
		if len(c.subs) > 0 && c.words[0] != "command" {
			continue // a container is no command by itself
		}
		name := strings.ToUpper(strings.Join(c.words, " "))
		cmd, args := c.call()
		info, err := command.Lookup(cmd, args)
		if err != nil && !exact {
			continue
		}
		if !assert.NoError(t, err, name) {
			continue
		}
		assert.Equal(t, name, info.Name)
		assert.NotEmpty(t, info.Since, name)
		if !exact {
			continue // another server may say it otherwise
		}
		assert.True(t, info.Verified, name)
		assert.Equal(t, c.arity, info.Arity, "arity of %s", name)
		assert.Equal(t, slices.Contains(c.flags, "write"), info.Access == command.Write && !ofScripts(name), "writes of %s", name)
		assert.Equal(t, slices.Contains(c.flags, "readonly"), info.Access == command.Read, "reads of %s", name)
		assert.Equal(t, slices.Contains(c.flags, "blocking"), info.Blocking, "blocking of %s", name)
		assert.Equal(t, slices.Contains(c.flags, "movablekeys"), info.Movable, "movable of %s", name)
		if byChannel(info) {
			continue // a channel is no key to the server
		}
		assert.Equal(t, c.specs == 0, info.Keyless(), "keys of %s", name)
		if c.firstKey > 0 {
			keys, err := info.Keys(nil, slices.Repeat([]any{1}, max(info.Arity, -info.Arity)-1))
			if assert.NoError(t, err, name) {
				assert.Equal(t, c.firstKey-1, keys[0], "first key of %s", name)
			}
		}
	}
}

// asDescribed tells a server of the version that the table was made from. Others
// may have more commands, and say other things of the same ones.
func asDescribed(s *redistest.Server) bool {
	return s.Info("server")["redis_version"] == command.DescribedBy
}

// ofScripts are the commands of which the server does not say what they do.
func ofScripts(name string) bool {
	return slices.Contains([]string{"EVAL", "EVALSHA", "FCALL"}, name)
}

func byChannel(i *command.Info) bool {
	return i.Route == command.ByChannel || strings.HasSuffix(i.Name, "SUBSCRIBE")
}

// words is what the generated calls are made of: keys, numbers right and wrong,
// and the words that stand before keys, or in the way of them.
var words = []string{
	"a", "b", "c", "d", "0", "1", "2", "3", "4", "-1", "9", "1.5", "+1", "01", " 1", "", "9999999999999999999",
	"STREAMS", "STORE", "STOREDIST", "KEYS", "COUNT", "BLOCK", "GROUP", "NOACK",
	"LIMIT", "BY", "GET", "ALPHA", "WEIGHTS", "AGGREGATE", "AUTH", "AUTH2", "REPLACE", "WITHSCORES", "ANY", "ASC",
}

// randomArgs makes up the arguments after the subcommand, if there is one.
func randomArgs(r *rand.Rand, cmd string, arity, subs int) []any {
	n := max(arity, -arity) - 1 - subs
	if arity < 0 || r.IntN(20) == 0 {
		n += r.IntN(8)
	}
	if r.IntN(20) == 0 {
		n = r.IntN(n + 1)
	}
	args := make([]any, n)
	for i := range args {
		w := words[r.IntN(len(words))]
		if r.IntN(2) == 0 {
			w = words[r.IntN(9)] // rather a key or a small number
		}
		if r.IntN(3) == 0 {
			w = strings.ToLower(w)
		}
		args[i] = w
		if r.IntN(3) == 0 {
			args[i] = []byte(w)
		}
	}
	if strings.HasPrefix(cmd, "xread") && r.IntN(2) == 0 {
		args = append(streamOptions(r, cmd), args...)
	}
	if strings.HasPrefix(cmd, "eval") && n > 0 && !strings.HasPrefix(cmd, "evalsha") {
		args[0] = "return 1"
	}
	return args
}

// streamOptions is what would hardly ever come about by chance.
func streamOptions(r *rand.Rand, cmd string) []any {
	options := []any{"GROUP", words[r.IntN(len(words))], "streams"}
	if cmd == "xread" {
		options = nil
	}
	if r.IntN(2) == 0 {
		options = append(options, "COUNT", "2")
	}
	if r.IntN(2) == 0 {
		return append(options, "STREAMS")
	}
	return append(options, "STREAMS", words[r.IntN(4)], "0")
}

func TestKeysAreWhereTheServerFindsThem(t *testing.T) {
	const calls = 300 // of each command
	s := redistest.StartUnix(t)
	conn := s.Pool(redistest.PoolOptions{Read: -1}).Get()
	defer conn.Close()
	exact := asDescribed(s)
	for _, c := range flatten(describe(t, s)) {
		cmd, sub := c.call()
		info, err := command.Lookup(cmd, sub)
		if err != nil && !exact || c.specs == 0 || byChannel(info) {
			continue
		}
		t.Run(strings.Join(c.words, " "), func(t *testing.T) {
			require.NotNil(t, info)
			r := rand.New(rand.NewPCG(6, 2))
			sent := make([][]any, calls)
			for i := range sent {
				_, sent[i] = c.call(randomArgs(r, cmd, c.arity, len(sub))...)
				require.NoError(t, conn.Send("COMMAND", append([]any{"GETKEYS", cmd}, sent[i]...)...))
			}
			require.NoError(t, conn.Flush())
			replies := make([]any, calls)
			for i := range replies {
				var err error
				replies[i], err = conn.Receive()
				if refused := new(redis.Error); err != nil && !errors.As(err, refused) {
					t.Fatal(err)
				}
			}
			assert.Positive(t, compareKeys(t, conn, info, sent, replies), "no call has keys")
		})
	}
}

// compareKeys compares the keys of calls with those that the server found, and
// returns in how many there were some. The server's search is less strict than
// its commands are: what is refused here must be refused there when it is run.
func compareKeys(t *testing.T, conn redis.Conn, info *command.Info, sent [][]any, replies []any) (withKeys int) {
	t.Helper()
	cmd, _, _ := strings.Cut(info.Name, " ")
	for i, args := range sent {
		want, _ := redis.Strings(replies[i], nil) // an error is no keys
		if len(want) == 0 {
			want = nil
		}
		if strings.HasPrefix(cmd, "GEORADIUS") && stores(args) > 1 {
			continue // the server's search finds all, the command takes the last
		}
		if info.Arity >= 0 && len(args)+1 > info.Arity {
			continue // a later server may take more
		}
		got, err := keysOf(info, args)
		switch {
		case err == nil && len(want) == 0 && len(got) > 0:
			_, refused := conn.Do(cmd, args...)
			assert.NoError(t, refused, "%q has keys that the server does not find", args)
		case err == nil:
			assert.Equal(t, want, got, "%q", args)
			withKeys += min(len(got), 1)
		default:
			_, refused := conn.Do(cmd, args...)
			assert.Error(t, refused, "%q: %v", args, err)
		}
	}
	return withKeys
}

func keysOf(info *command.Info, args []any) ([]string, error) {
	positions, err := info.Keys(nil, args)
	if err != nil {
		return nil, err
	}
	var keys []string
	for _, k := range positions {
		keys = append(keys, command.Text(args[k]))
	}
	return keys, nil
}

// stores counts the words after which a destination stands.
func stores(args []any) (n int) {
	for _, a := range args {
		if w := strings.ToUpper(command.Text(a)); w == "STORE" || w == "STOREDIST" {
			n++
		}
	}
	return n
}

// These are calls that do not come about by chance, and that the server takes.
func TestWordsThatOnlyLookLikeOptionsAreNone(t *testing.T) {
	s := redistest.StartUnix(t)
	for name, tc := range map[string]struct {
		cmd  string
		args []any
	}{
		"a pattern named STORE":  {"SORT", []any{"a", "BY", "STORE", "GET", "store", "STORE", "b"}},
		"many keys":              {"MIGRATE", []any{"h", 1, "", 0, 1, "COPY", "REPLACE", "KEYS", "a", "b"}},
		"a password named KEYS":  {"MIGRATE", []any{"h", 1, "", 0, 1, "AUTH", "KEYS", "KEYS", "a", "b"}},
		"a user named KEYS":      {"MIGRATE", []any{"h", 1, "", 0, 1, "AUTH2", "KEYS", "p", "KEYS", "a", "b"}},
		"a host named KEYS":      {"MIGRATE", []any{"keys", 1, "a", 0, 1, "AUTH2", "u", "p"}},
		"all options of streams": {"XREADGROUP", []any{"GROUP", "g", "c", "COUNT", 1, "BLOCK", 1, "NOACK", "STREAMS", "a", "b", ">", ">"}},
		"a stream named STREAMS": {"XREAD", []any{"STREAMS", "STREAMS", "BLOCK", "0", "0"}},
		"a key named WEIGHTS":    {"ZINTERSTORE", []any{"AGGREGATE", 2, "WEIGHTS", "LIMIT", "WEIGHTS", 1, 2}},
		"a key that is a number": {"EVAL", []any{"return 1", 2, 1, 0, 3}},
		"a place named STORE":    {"GEORADIUSBYMEMBER", []any{"a", "STORE", 1, "m", "STOREDIST", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			want, err := redis.Strings(s.Do("COMMAND", append([]any{"GETKEYS", tc.cmd}, tc.args...)...), nil)
			require.NoError(t, err)
			got, err := keysOf(lookup(t, tc.cmd), tc.args)
			require.NoError(t, err)
			assert.Equal(t, want, got)
		})
	}
}

// What a server says of its own commands is enough to find their keys, or to know
// that it has to be asked.
func TestWhatIsLearnedOfACommandIsTrue(t *testing.T) {
	s := redistest.StartUnix(t)
	entries, err := redis.Values(s.Do("COMMAND"), nil)
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(7, 3))
	fixed, opaque := 0, 0
	for _, entry := range entries {
		learned, err := command.Learn(entry)
		require.NoError(t, err)
		if learned.Opaque() {
			opaque++
			continue
		}
		if learned.Route == command.Rejected || learned.Movable { // the table finds the latter's
			continue
		}
		fixed++
		for range 50 {
			args := randomArgs(r, learned.Name, learned.Arity, 0)
			want, wantErr := redis.Strings(s.Try("COMMAND", append([]any{"GETKEYS", learned.Name}, args...)...))
			at, err := learned.Keys(nil, args)
			if wantErr != nil || err != nil {
				continue
			}
			var got []string
			for _, i := range at {
				got = append(got, command.Text(args[i]))
			}
			require.Equal(t, want, got, "%s %q", learned.Name, args)
		}
	}
	t.Logf("%d commands with keys at fixed places, %d to ask about", fixed, opaque)
	assert.Greater(t, fixed, 100)
	assert.Greater(t, opaque, 20)
}
