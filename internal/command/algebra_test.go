package command_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

// The sets of the tests are of different sizes each, since the server adds
// scores up from the smallest set on, and leaves open which of two of a size
// comes first. That counts for fractions and infinities.
const (
	sortedSets = 8 // z0 with no members, z1 with one...
	plainSets  = 8 // s8 with 8 members, s9 with 9...
)

var (
	scores  = []any{"inf", "-inf", 0, "-0", 1, 1, 2, -3, 0.1, 0.2, -0.7, 1e300, 1e-300, "9007199254740993", 3.0000000000000004}
	weights = []any{0, 1, 1, 2, -1, 0.1, "inf", "-inf", 1e300, "1e-3"}
)

// fill makes the sets that the calls of algebra are about.
func fill(r *rand.Rand, conn redis.Conn) error {
	_, err := conn.Do("FLUSHALL")
	for n := 1; n < sortedSets && err == nil; n++ {
		args := redis.Args{fmt.Sprint("z", n)}
		for _, m := range r.Perm(12)[:n] {
			args = args.Add(scores[r.IntN(len(scores))], fmt.Sprint("m", m))
		}
		_, err = conn.Do("ZADD", args...)
	}
	for n := sortedSets; n < sortedSets+plainSets && err == nil; n++ {
		args := redis.Args{fmt.Sprint("s", n)}
		for _, m := range r.Perm(24)[:n] {
			args = args.Add(fmt.Sprint("m", m))
		}
		_, err = conn.Do("SADD", args...)
	}
	return err
}

// sources chooses keys without repetition.
func sources(r *rand.Rand, sorted bool) (keys []any) {
	for _, n := range r.Perm(sortedSets + plainSets)[:1+r.IntN(4)] {
		switch {
		case n >= sortedSets:
			keys = append(keys, fmt.Sprint("s", n))
		case sorted:
			keys = append(keys, fmt.Sprint("z", n))
		}
	}
	if len(keys) == 0 {
		keys = append(keys, "none")
	}
	return keys
}

// extras chooses options, most of them right.
func extras(r *rand.Rand, cmd string, keys int) (args []any) {
	if r.IntN(2) == 0 && !strings.Contains(cmd, "DIFF") {
		args = append(args, "Weights")
		for range keys {
			args = append(args, weights[r.IntN(len(weights))])
		}
	}
	if r.IntN(2) == 0 && !strings.Contains(cmd, "DIFF") {
		args = append(args, "AGGREGATE", []any{"SUM", "min", "Max"}[r.IntN(3)])
	}
	if r.IntN(2) == 0 {
		args = append(args, "withscores")
	}
	if r.IntN(15) == 0 {
		args = append(args, []any{"x", "WEIGHTS", "AGGREGATE", "LIMIT", 1, "nan", "WITHSCORES"}[r.IntN(7)])
	}
	if len(args) > 0 && r.IntN(15) == 0 {
		args[r.IntN(len(args))] = "y"
	}
	return args
}

// limits chooses the option of the commands that count.
func limits(r *rand.Rand) []any {
	return [][]any{nil, {"LIMIT", 0}, {"limit", 1}, {"LIMIT", "3"}, {"LIMIT", -1}, {"LIMIT"}, {"WITHSCORES"}, {"LIMIT", "x"}}[r.IntN(8)]
}

func TestSortedSetsAreCombinedAsTheServerDoes(t *testing.T) {
	const rounds, calls = 15, 12
	conn := redistest.StartUnix(t).Pool(redistest.PoolOptions{Read: -1}).Get()
	defer conn.Close()
	for _, cmd := range []string{"ZUNION", "ZINTER", "ZDIFF", "ZINTERCARD", "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE"} {
		t.Run(cmd, func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			for range rounds {
				require.NoError(t, fill(r, conn))
				for range calls {
					keys := sources(r, true)
					args := append([]any{len(keys)}, keys...)
					switch {
					case strings.HasSuffix(cmd, "CARD"):
						args = append(args, limits(r)...)
					case strings.HasSuffix(cmd, "STORE"):
						args = append([]any{"dest"}, append(args, extras(r, cmd, len(keys))...)...)
					default:
						args = append(args, extras(r, cmd, len(keys))...)
					}
					compare(t, conn, cmd, args, keys)
				}
			}
		})
	}
}

func TestSetsAreCombinedAsTheServerDoes(t *testing.T) {
	const rounds, calls = 5, 12
	conn := redistest.StartUnix(t).Pool(redistest.PoolOptions{Read: -1}).Get()
	defer conn.Close()
	for _, cmd := range []string{"SUNION", "SINTER", "SDIFF", "SINTERCARD", "SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE"} {
		t.Run(cmd, func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 6))
			for range rounds {
				require.NoError(t, fill(r, conn))
				for range calls {
					keys := sources(r, false)
					args := keys
					switch {
					case strings.HasSuffix(cmd, "CARD"):
						args = append(append([]any{len(keys)}, keys...), limits(r)...)
					case strings.HasSuffix(cmd, "STORE"):
						args = append([]any{"dest"}, keys...)
					}
					compare(t, conn, cmd, args, keys)
				}
			}
		})
	}
}

// What is not a number comes of an infinite score and a weight of 0, and counts
// differently in each place.
func TestWhatIsNotANumberCountsAsForTheServer(t *testing.T) {
	conn := redistest.StartUnix(t).Pool(redistest.PoolOptions{}).Get()
	defer conn.Close()
	for _, args := range []redis.Args{{"small", -5, "m"}, {"neg", "-inf", "m", 1, "n"}, {"pos", "inf", "m", 1, "n", 2, "o"}} {
		_, err := conn.Do("ZADD", args...)
		require.NoError(t, err)
	}
	for _, keys := range [][]any{{"small", "neg"}, {"small", "pos"}, {"neg", "pos"}, {"small", "neg", "pos"}} {
		for _, w := range [][]any{{1, 0, 1}, {0, 1, 0}, {1, 1, 0}, {1, 1, 1}, {-1, 0, 0}} {
			for _, aggregate := range []any{"SUM", "MIN", "MAX"} {
				args := append([]any{len(keys)}, keys...)
				args = append(append(args, "WEIGHTS"), w[:len(keys)]...)
				args = append(args, "AGGREGATE", aggregate, "WITHSCORES")
				compare(t, conn, "ZUNION", args, keys)
				compare(t, conn, "ZINTER", args, keys)
			}
		}
	}
	compare(t, conn, "ZDIFF", []any{1, "pos", "WEIGHTS", 1}, []any{"pos"})
	compare(t, conn, "ZINTERCARD", []any{1, "pos", "AGGREGATE", "SUM"}, []any{"pos"})
}

// compare does a call here and at the server.
func compare(t *testing.T, conn redis.Conn, cmd string, args, keys []any) {
	t.Helper()
	info := lookup(t, cmd, args...)
	members := make([]any, len(keys))
	for i, key := range keys {
		fetch, fetchArgs, ok := info.Fetch(key)
		require.True(t, ok)
		var err error
		members[i], err = conn.Do(fetch, fetchArgs...)
		require.NoError(t, err)
	}
	got, err := info.Combine(args, members)
	want, wantErr := conn.Do(cmd, args...)
	if wantErr != nil {
		assert.Equal(t, wantErr, err, "%s %v", cmd, args)
		return
	}
	require.NoError(t, err, "%s %v", cmd, args)
	if strings.HasSuffix(cmd, "STORE") {
		fetch, fetchArgs, _ := info.Fetch("dest")
		want, err = conn.Do(fetch, fetchArgs...)
		require.NoError(t, err)
	}
	scored := cmd[0] == 'Z' && (strings.HasSuffix(cmd, "STORE") || slices.Contains(args, any("withscores")) || slices.Contains(args, any("WITHSCORES")))
	assert.Equal(t, normal(t, cmd, want, scored), normal(t, cmd, got, scored), "%s %v", cmd, args)
}

// normal makes replies comparable: plain sets have no order, and scores may be
// written in several ways.
func normal(t *testing.T, cmd string, reply any, scored bool) any {
	t.Helper()
	if n, ok := reply.(int64); ok {
		return n
	}
	texts, err := redis.Strings(reply, nil)
	require.NoError(t, err)
	if cmd[0] == 'S' {
		set := make(map[string]int)
		for _, m := range texts {
			set[m]++
		}
		return set
	}
	for i := 1; i < len(texts) && scored; i += 2 {
		score, err := redis.Float64([]byte(texts[i]), nil)
		require.NoError(t, err)
		if strings.HasSuffix(cmd, "STORE") {
			score += 0 // a server may forget the sign of -0 when it stores it
		}
		texts[i] = fmt.Sprint(score)
	}
	return texts
}

func TestScoresAreWrittenInTheirShortestForm(t *testing.T) {
	args := []any{1, "z", "WITHSCORES"}
	info := lookup(t, "ZUNION", args...)
	got, err := redis.Strings(info.Combine(args, []any{list(bulk("a"), bulk("0.10000000000000001"), bulk("b"), bulk("-inf"), bulk("c"), bulk("inf"), bulk("d"), bulk("3"))}))
	require.NoError(t, err)
	assert.Equal(t, []string{"b", "-inf", "a", "0.1", "d", "3", "c", "inf"}, got)
}

func TestWhatIsNoReplyToFetchIsNotCombined(t *testing.T) {
	for name, tc := range map[string]struct {
		cmd   string
		reply any
		want  string
	}{
		"an error":             {"SUNION", wrongType, "fluster: SUNION: " + string(wrongType)},
		"something else":       {"SUNION", int64(1), "fluster: SUNION: redigo: unexpected type for Values, got type int64"},
		"a member, no score":   {"ZUNION", list(bulk("a")), "fluster: ZUNION: unexpected number of elements"},
		"a score of something": {"ZUNION", list(bulk("a"), bulk("b")), `fluster: ZUNION: strconv.ParseFloat: parsing "b": invalid syntax`},
		"no set at all":        {"GET", nil, "fluster: GET combines no sets"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := lookup(t, tc.cmd).Combine([]any{1, "a"}, []any{tc.reply})
			assert.EqualError(t, err, tc.want)
		})
	}
	_, _, ok := lookup(t, "GET").Fetch("a")
	assert.False(t, ok)
}

func TestOnlySINTERCARDIsWrongBeforeItsSetsAreLookedAt(t *testing.T) {
	for name, tc := range map[string]struct {
		cmd  string
		args []any
		want error
	}{
		"a negative limit":       {"SINTERCARD", []any{2, "a", "b", "LIMIT", -1}, redis.Error("ERR LIMIT can't be negative")},
		"an unknown option":      {"SINTERCARD", []any{2, "a", "b", "c"}, redis.Error("ERR syntax error")},
		"nothing":                {"SINTERCARD", []any{2, "a", "b", "LIMIT", 1}, nil},
		"no options":             {"SUNION", []any{"a", "b"}, nil},
		"options of sorted sets": {"ZINTERCARD", []any{2, "a", "b", "LIMIT", -1}, nil},
		"no algebra":             {"MGET", []any{"a", "b"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, lookup(t, tc.cmd, tc.args...).CheckFirst(tc.args, 2))
		})
	}
}
