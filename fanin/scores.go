package fanin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
)

// Rule says which score a member has that stands on several nodes.
type Rule uint8

const (
	// Highest is its highest score.
	Highest Rule = iota
	// Lowest is its lowest score.
	Lowest
	// Added is the sum of its scores as ZUNIONSTORE adds them up: in floating point,
	// those of the shortest part first, and of a sum that is no number it makes 0.
	Added
)

// Scored is a member of a sorted set.
type Scored struct {
	Member string
	Score  float64
}

// ScoreRange says what Scores is to return. The zero value is everything, each
// member with its highest score, highest first.
type ScoreRange struct {
	// Rule makes one score of several.
	Rule Rule

	// Max and Min bound the scores that Rule makes, in Redis's notation: a number,
	// "(" before it if it is not to be included itself, "+inf" or "-inf". If empty,
	// there is no bound.
	Max, Min string

	// Ascending returns the lowest scores first.
	Ascending bool

	// Limit is how many to return at most. Zero or less means all.
	Limit int
}

// Scores returns members of a sorted set wherever its parts stand, over all live
// nodes, as ZREVRANGEBYSCORE, or ZRANGEBYSCORE if r.Ascending, would from one server
// on which the parts had been united by r.Rule: in order of their scores, equal ones
// in the order of their names, in reverse if not ascending.
//
// Bounds and limit hold for the scores that r.Rule makes, not for each node's. So
// more may have to be read than is returned. A limit shortens what is read where that
// is exact, for the first of the highest without r.Max and the first of the lowest,
// ascending, without r.Min; r.Min shortens it for Highest and r.Max for Lowest; Added
// reads every part whole.
//
// A bound that cannot be read is an error before anything is sent. If a node fails,
// the result is that of the others, and the error a NodesError. When no node lives it
// is ErrClusterEmpty. Scores returns soon after ctx ends.
func Scores(ctx context.Context, c *fluster.FlusterCluster, key string, r ScoreRange) ([]Scored, error) {
	lower, upper, err := r.bounds()
	if err != nil {
		return nil, err
	}
	cmd, args := r.call(key)
	parts, err := gather(ctx, c, func(ctx context.Context, conn redis.Conn) ([]Scored, error) {
		return readScored(redis.Values(redis.DoContext(conn, ctx, cmd, args...)))
	})
	merged := r.Rule.merge(parts)
	maps.DeleteFunc(merged, func(_ string, score float64) bool {
		return !lower.admits(score) || !upper.admits(-score)
	})
	return r.first(merged), err
}

// call returns what each node is asked for.
func (r ScoreRange) call(key string) (cmd string, args []any) {
	maxScore, minScore, shorten := cmp.Or(r.Max, "+inf"), cmp.Or(r.Min, "-inf"), false
	switch r.Rule {
	case Highest:
		shorten = r.Max == "" && !r.Ascending
		maxScore = "+inf"
	case Lowest:
		shorten = r.Min == "" && r.Ascending
		minScore = "-inf"
	default:
		maxScore, minScore = "+inf", "-inf"
	}
	cmd, args = "ZREVRANGEBYSCORE", []any{key, maxScore, minScore, "WITHSCORES"}
	if r.Ascending {
		cmd, args = "ZRANGEBYSCORE", []any{key, minScore, maxScore, "WITHSCORES"}
	}
	if shorten && r.Limit > 0 {
		args = append(args, "LIMIT", 0, r.Limit)
	}
	return cmd, args
}

// first returns merged in order, down to the limit.
func (r ScoreRange) first(merged map[string]float64) []Scored {
	list := make([]Scored, 0, len(merged))
	for member, score := range merged {
		list = append(list, Scored{member, score})
	}
	slices.SortFunc(list, func(a, b Scored) int {
		order := cmp.Or(cmp.Compare(a.Score, b.Score), strings.Compare(a.Member, b.Member))
		if r.Ascending {
			return order
		}
		return -order
	})
	if r.Limit > 0 && len(list) > r.Limit {
		list = list[:r.Limit]
	}
	return list
}

// merge makes one score of those that each member has.
func (r Rule) merge(parts [][]Scored) map[string]float64 {
	merged := make(map[string]float64)
	slices.SortStableFunc(parts, func(a, b []Scored) int { return cmp.Compare(len(a), len(b)) })
	for _, p := range parts {
		for _, s := range p {
			if have, found := merged[s.Member]; found {
				s.Score = r.join(have, s.Score)
			}
			merged[s.Member] = s.Score
		}
	}
	return merged
}

func (r Rule) join(a, b float64) float64 {
	switch r {
	case Highest:
		return max(a, b)
	case Lowest:
		return min(a, b)
	}
	if sum := a + b; !math.IsNaN(sum) {
		return sum
	}
	return 0
}

// bound is the least score that is in a range. For the other end of it, scores are
// turned round.
type bound struct {
	score float64
	open  bool // the score itself is not in it
}

func (b bound) admits(score float64) bool {
	return score > b.score || score == b.score && !b.open
}

// bounds reads Min and Max. The upper one is for scores that are turned round.
func (r ScoreRange) bounds() (lower, upper bound, err error) {
	lower, lowErr := parseBound(cmp.Or(r.Min, "-inf"))
	upper, highErr := parseBound(cmp.Or(r.Max, "+inf"))
	upper.score = -upper.score
	return lower, upper, errors.Join(lowErr, highErr)
}

func parseBound(text string) (bound, error) {
	number, open := strings.CutPrefix(text, "(")
	score, err := strconv.ParseFloat(number, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || math.IsNaN(score) {
		return bound{}, fmt.Errorf("fanin: bound %.40q is not a score", text)
	}
	return bound{score, open}, nil
}

// readScored reads a reply WITHSCORES.
func readScored(values []any, err error) ([]Scored, error) {
	if err != nil {
		return nil, err
	}
	list := make([]Scored, 0, len(values)/2)
	for pair := range slices.Chunk(values, 2) {
		member, err := redis.String(pair[0], nil)
		if err == nil && len(pair) < 2 {
			err = errors.New("fanin: a member without a score")
		}
		if err != nil {
			return nil, err
		}
		score, err := redis.Float64(pair[1], nil)
		if err != nil {
			return nil, err
		}
		list = append(list, Scored{member, score})
	}
	return list, nil
}
