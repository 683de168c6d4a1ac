package fanin_test

import (
	"fmt"
	"math"
	"strconv"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/redisfluster/fluster/fanin"
)

// scored makes a list of members and scores by turns.
func scored(pairs ...any) []fanin.Scored {
	list := []fanin.Scored{}
	for i := 0; i < len(pairs); i += 2 {
		var score float64
		switch n := pairs[i+1].(type) {
		case int:
			score = float64(n)
		case float64:
			score = n
		}
		list = append(list, fanin.Scored{Member: pairs[i].(string), Score: score})
	}
	return list
}

// A merge over all live nodes gives each element its score, and one that stands on
// several nodes the highest.
func TestAMemberOnSeveralNodesHasItsHighestScoreOverAFailover(t *testing.T) {
	s := openSite(t, 3, "", "--appendonly", "yes", "--appendfsync", "no")
	key := s.at(t, "board:", "b")
	add := func(member string, score int) {
		_, err := s.Do(t.Context(), "ZADD", key, score, member)
		require.NoError(t, err)
	}
	all := func() []fanin.Scored {
		list, err := fanin.Scores(t.Context(), s.FlusterCluster, key, fanin.ScoreRange{Max: "+inf", Min: "-inf"})
		require.NoError(t, err)
		return list
	}
	add("x", 3)
	add("y", 2)
	assert.Equal(t, scored("x", 3, "y", 2), all())
	s.kill(t, 1)
	add("x", 5)
	add("y", 2)
	assert.Equal(t, scored("x", 5, "y", 2), all())
	s.restart(t, 1)
	add("x", 3)
	assert.Equal(t, scored("x", 5, "y", 2), all())
}

func TestScores(t *testing.T) {
	s := openSite(t, 3, "")
	for i, part := range [][]any{
		{3, "x", -2.5, "y", "inf", "top", 0.1, "z"},
		{-7, "x", -1e300, "y", "-inf", "top", 0.2, "z"},
		{math.Pi, "w", 1, "v", 1, "u"},
	} {
		s.servers[i].Do("ZADD", append([]any{"k"}, part...)...)
	}
	inf := math.Inf(1)
	for name, tc := range map[string]struct {
		r    fanin.ScoreRange
		want []fanin.Scored
	}{
		"all, highest":             {fanin.ScoreRange{}, scored("top", inf, "w", math.Pi, "x", 3, "v", 1, "u", 1, "z", 0.2, "y", -2.5)},
		"all, lowest":              {fanin.ScoreRange{Rule: fanin.Lowest}, scored("w", math.Pi, "v", 1, "u", 1, "z", 0.1, "x", -7, "y", -1e300, "top", -inf)},
		"all, added":               {fanin.ScoreRange{Rule: fanin.Added}, scored("w", math.Pi, "v", 1, "u", 1, "z", 0.30000000000000004, "top", 0, "x", -4, "y", -1e300)},
		"ascending":                {fanin.ScoreRange{Ascending: true, Max: "1"}, scored("y", -2.5, "z", 0.2, "u", 1, "v", 1)},
		"without the bounds":       {fanin.ScoreRange{Max: "(3", Min: "(0.2"}, scored("v", 1, "u", 1)},
		"with the bounds":          {fanin.ScoreRange{Max: "3", Min: "0.2"}, scored("x", 3, "v", 1, "u", 1, "z", 0.2)},
		"without the infinite":     {fanin.ScoreRange{Max: "(+inf", Min: "3"}, scored("w", math.Pi, "x", 3)},
		"negative":                 {fanin.ScoreRange{Max: "(0"}, scored("y", -2.5)},
		"what is higher elsewhere": {fanin.ScoreRange{Max: "0.15"}, scored("y", -2.5)},
		"what is lower elsewhere":  {fanin.ScoreRange{Rule: fanin.Lowest, Min: "3"}, scored("w", math.Pi)},
		"top two":                  {fanin.ScoreRange{Limit: 2}, scored("top", inf, "w", math.Pi)},
		"top of the added":         {fanin.ScoreRange{Rule: fanin.Added, Limit: 1}, scored("w", math.Pi)},
		"top of the lowest":        {fanin.ScoreRange{Rule: fanin.Lowest, Limit: 1}, scored("w", math.Pi)},
		"bottom of the lowest":     {fanin.ScoreRange{Rule: fanin.Lowest, Ascending: true, Limit: 2}, scored("top", -inf, "y", -1e300)},
		"bottom of the highest":    {fanin.ScoreRange{Ascending: true, Limit: 1}, scored("y", -2.5)},
		"top of the bounded":       {fanin.ScoreRange{Max: "0.15", Limit: 1}, scored("y", -2.5)},
		"an empty range":           {fanin.ScoreRange{Max: "-inf", Min: "+inf"}, scored()},
		"beyond the largest":       {fanin.ScoreRange{Max: "1e999", Min: "3"}, scored("top", inf, "w", math.Pi, "x", 3)},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := fanin.Scores(t.Context(), s.FlusterCluster, "k", tc.r)
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestABoundThatIsNoScoreIsRefusedBeforeAnythingIsSent(t *testing.T) {
	s := openSite(t, 2, "")
	for _, text := range []string{"nan", "(", "((1", "five", "1 ", "[1"} {
		for _, r := range []fanin.ScoreRange{{Max: text}, {Min: text}} {
			_, err := fanin.Scores(t.Context(), s.FlusterCluster, "k", r)
			require.ErrorContains(t, err, "not a score", text)
		}
	}
	assert.Zero(t, s.servers[0].Executed("zrevrangebyscore"))
}

func TestTheTopIsNotPaidForWithTheWholeSet(t *testing.T) {
	s := openSite(t, 2, "&max_reply=65536")
	for _, server := range s.servers {
		server.Do("EVAL", "for i = 1, 10000 do redis.call('ZADD', 'k', i, 'member:'..i) end", 0)
	}
	top, err := fanin.Scores(t.Context(), s.FlusterCluster, "k", fanin.ScoreRange{Limit: 2})
	require.NoError(t, err)
	assert.Equal(t, scored("member:10000", 10000, "member:9999", 9999), top)
	low, err := fanin.Scores(t.Context(), s.FlusterCluster, "k", fanin.ScoreRange{Rule: fanin.Lowest, Ascending: true, Limit: 1})
	require.NoError(t, err)
	assert.Equal(t, scored("member:1", 1), low)
	high, err := fanin.Scores(t.Context(), s.FlusterCluster, "k", fanin.ScoreRange{Min: "9999"})
	require.NoError(t, err)
	assert.Len(t, high, 2)
}

var aggregates = map[fanin.Rule]string{fanin.Highest: "MAX", fanin.Lowest: "MIN", fanin.Added: "SUM"}

// drawScore draws numbers of which a sum of three is exact in any order.
func drawScore(rt *rapid.T, name string) string {
	special := rapid.SampledFrom([]string{"", "", "", "", "inf", "-inf", "0.1", "-0.1"}).Draw(rt, name+" special")
	if special != "" {
		return special
	}
	return strconv.FormatFloat(float64(rapid.IntRange(-40, 40).Draw(rt, name))/8, 'g', -1, 64)
}

// drawBound draws one end of a range.
func drawBound(rt *rapid.T, name string) string {
	switch rapid.IntRange(0, 3).Draw(rt, name+" kind") {
	case 0:
		return ""
	case 1:
		return "(" + drawScore(rt, name)
	}
	return drawScore(rt, name)
}

// What Scores gives is what one server gives on which the parts are united.
func TestScoresAreThoseOfOneServer(t *testing.T) {
	s := openSite(t, 4, "")
	one := s.servers[3]
	rapid.Check(t, func(rt *rapid.T) {
		for _, server := range s.servers {
			server.Do("FLUSHALL")
		}
		for range rapid.IntRange(0, 25).Draw(rt, "members") {
			member := fmt.Sprint("m", rapid.IntRange(0, 9).Draw(rt, "member"))
			node, score := rapid.IntRange(0, 2).Draw(rt, "node"), drawScore(rt, "score")
			s.servers[node].Do("ZADD", "k", score, member)
			one.Do("ZADD", "part:"+letter(node), score, member)
		}
		r := fanin.ScoreRange{
			Rule:      rapid.SampledFrom([]fanin.Rule{fanin.Highest, fanin.Lowest, fanin.Added}).Draw(rt, "rule"),
			Max:       drawBound(rt, "max"),
			Min:       drawBound(rt, "min"),
			Ascending: rapid.Bool().Draw(rt, "ascending"),
			Limit:     rapid.IntRange(0, 6).Draw(rt, "limit"),
		}
		if r.Rule == fanin.Added { // tenths, added in another order, differ in the last bit
			for _, server := range s.servers {
				server.Do("EVAL", `for _, k in ipairs(redis.call('KEYS', '*')) do
					for _, m in ipairs(redis.call('ZRANGEBYSCORE', k, '-0.1', '0.1')) do redis.call('ZADD', k, 0.125, m) end end`, 0)
			}
		}
		want := ofOneServer(rt, one.Do, r)
		got, err := fanin.Scores(t.Context(), s.FlusterCluster, "k", r)
		require.NoError(rt, err)
		require.Equal(rt, want, got)
	})
}

// ofOneServer unites the parts with Redis's own means.
func ofOneServer(rt *rapid.T, do func(string, ...any) any, r fanin.ScoreRange) []fanin.Scored {
	do("ZUNIONSTORE", "united", 3, "part:a", "part:b", "part:c", "AGGREGATE", aggregates[r.Rule])
	cmd, from, to := "ZREVRANGEBYSCORE", orElse(r.Max, "+inf"), orElse(r.Min, "-inf")
	if r.Ascending {
		cmd, from, to = "ZRANGEBYSCORE", to, from
	}
	limit := r.Limit
	if limit == 0 {
		limit = -1
	}
	values, err := redis.Strings(do(cmd, "united", from, to, "WITHSCORES", "LIMIT", 0, limit), nil)
	require.NoError(rt, err)
	do("DEL", "united")
	list := []fanin.Scored{}
	for i := 0; i < len(values); i += 2 {
		score, err := strconv.ParseFloat(values[i+1], 64)
		require.NoError(rt, err)
		list = append(list, fanin.Scored{Member: values[i], Score: score})
	}
	return list
}

func orElse(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}
