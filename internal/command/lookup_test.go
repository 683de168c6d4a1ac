package command_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
)

func TestCaseDoesNotMatterInNames(t *testing.T) {
	for _, cmd := range []string{"GET", "get", "Get", "gEt"} {
		info, err := command.Lookup(cmd, []any{"k"})
		require.NoError(t, err)
		assert.Equal(t, "GET", info.Name)
	}
	for _, sub := range []any{"get", "Get", []byte("gET"), word("get")} {
		info, err := command.Lookup("config", []any{sub, "*"})
		require.NoError(t, err)
		assert.Equal(t, "CONFIG GET", info.Name)
	}
}

// word is an argument of a type that redigo prints.
type word string

func TestLookupOfTheUnknownSaysWhatIsKnown(t *testing.T) {
	for name, tc := range map[string]struct {
		cmd  string
		args []any
		want string
	}{
		"a command":                 {"GETT", []any{"k"}, `fluster: unknown command "GETT"`},
		"no name":                   {"", nil, `fluster: unknown command ""`},
		"two words in one":          {"CONFIG GET", []any{"*"}, `fluster: unknown command "CONFIG GET"`},
		"not letters":               {"G\x00T", nil, `fluster: unknown command "G\x00T"`},
		"zeros before letters":      {"\x00GET", nil, `fluster: unknown command "\x00GET"`},
		"a long name":               {strings.Repeat("X", 100), nil, `fluster: unknown command "` + strings.Repeat("X", 64) + `"...`},
		"a subcommand":              {"config", []any{"drop"}, `fluster: unknown subcommand "drop" of CONFIG, which has GET, HELP, RESETSTAT, REWRITE, SET`},
		"a missing subcommand":      {"config", nil, `ERR wrong number of arguments for 'config' command`},
		"a subcommand of a command": {"command", []any{"x"}, `fluster: unknown subcommand "x" of COMMAND, which has COUNT, DOCS, GETKEYS, GETKEYSANDFLAGS, HELP, INFO, LIST`},
	} {
		t.Run(name, func(t *testing.T) {
			info, err := command.Lookup(tc.cmd, tc.args)
			assert.EqualError(t, err, tc.want)
			assert.Nil(t, info)
		})
	}
}

func TestAContainerThatIsRejectedAsAWholeIsSoWithAnySubcommand(t *testing.T) {
	for _, args := range [][]any{nil, {"INFO"}, {"of a later version"}} {
		info, err := command.Lookup("cluster", args)
		require.NoError(t, err)
		assert.Equal(t, command.Rejected, info.Route)
		assert.Equal(t, "the nodes are independent servers, not a Redis Cluster", info.Reason)
	}
}

func TestACommandWithSubcommandsMayBeOneItself(t *testing.T) {
	info, err := command.Lookup("COMMAND", nil)
	require.NoError(t, err)
	assert.Equal(t, "COMMAND", info.Name)
	assert.Equal(t, command.FanOut, info.Route)
}

func TestLookupAndKeysDoNotAllocate(t *testing.T) {
	for name, args := range map[string][]any{
		"GET":      {"user:42"},
		"get":      {[]byte("user:42")},
		"gEt":      {"user:42"},
		"MGET":     {"a", "b", "c"},
		"eval":     {"return 1", 2, "a", "b", "x"},
		"EVALSHA":  {"e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "2", "a", "b"},
		"object":   {"encoding", "a"},
		"XINFO":    {[]byte("STREAM"), "a"},
		"XREAD":    {"COUNT", 2, "STREAMS", "a", "0"},
		"SORT":     {"a", "STORE", []byte("b")},
		"ZUNION":   {[]byte("2"), "a", "b"},
		"zadd":     {"a", 1.5, "m"},
		"FLUSHALL": {},
	} {
		keys := make([]int, 0, 8)
		allocs := testing.AllocsPerRun(100, func() {
			info, err := command.Lookup(name, args)
			if err == nil {
				keys, err = info.Keys(keys[:0], args)
			}
			if err != nil {
				t.Fatal(err)
			}
		})
		assert.Zero(t, allocs, name)
	}
}
