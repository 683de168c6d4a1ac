package command

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// algebra is one of the commands that combine sets.
type algebra struct {
	op     operation
	sorted bool // of sorted sets
	store  bool // the first argument is the destination
	card   bool // only the number of members counts
}

type operation uint8

const (
	union operation = iota
	intersection
	difference
)

var algebras = map[string]algebra{
	"SUNION":      {op: union},
	"SINTER":      {op: intersection},
	"SDIFF":       {op: difference},
	"SINTERCARD":  {op: intersection, card: true},
	"SUNIONSTORE": {op: union, store: true},
	"SINTERSTORE": {op: intersection, store: true},
	"SDIFFSTORE":  {op: difference, store: true},
	"ZUNION":      {op: union, sorted: true},
	"ZINTER":      {op: intersection, sorted: true},
	"ZDIFF":       {op: difference, sorted: true},
	"ZINTERCARD":  {op: intersection, sorted: true, card: true},
	"ZUNIONSTORE": {op: union, sorted: true, store: true},
	"ZINTERSTORE": {op: intersection, sorted: true, store: true},
	"ZDIFFSTORE":  {op: difference, sorted: true, store: true},
}

// Fetch returns the call that reads one key whole for [Info.Combine]: a set, or a
// sorted set, for which a plain set passes too. ok is false if the command
// combines no sets.
func (i *Info) Fetch(key any) (cmd string, args []any, ok bool) {
	a, ok := algebras[i.Name]
	switch {
	case !ok:
		return "", nil, false
	case a.sorted:
		return "ZUNION", []any{1, key, "WITHSCORES"}, true
	}
	return "SMEMBERS", []any{key}, true
}

// CheckFirst returns what a server says to a call with n source keys before it
// looks at any: SINTERCARD reads its options first, the others read theirs last.
func (i *Info) CheckFirst(args []any, n int) error {
	a, ok := algebras[i.Name]
	if !ok || a.sorted {
		return nil
	}
	_, err := a.parse(args, n)
	return err
}

// Combine does a call on what Fetch's calls replied for each of its source keys,
// in their order; a destination is none of them. The reply is the server's: an
// int64 for a CARD, else a []any of members, sorted ones by score, then by
// name, with their scores in between if asked for. The members of plain sets come
// in no particular order. For a STORE form it is what there is to store, always
// with scores if sorted.
//
// Scores are exact, added in the server's own order, as are its rules for
// infinities. They are written in their shortest form, as servers since 7.2 do.
// The error is a redis.Error, in the server's words, if the call is wrong.
func (i *Info) Combine(args, members []any) (any, error) {
	a, ok := algebras[i.Name]
	if !ok {
		return nil, fmt.Errorf("fluster: %s combines no sets", i.Name)
	}
	opts, err := a.parse(args, len(members))
	if err != nil {
		return nil, err
	}
	sources := make([]source, len(members))
	for k, reply := range members {
		if sources[k], err = a.read(reply); err != nil {
			return nil, fmt.Errorf("fluster: %s: %w", i.Name, err)
		}
		sources[k].weight = opts.weight(k)
	}
	result := a.op.combine(sources, opts.aggregate)
	return a.reply(result, opts), nil
}

// options are the arguments that follow the keys.
type options struct {
	weights    []float64
	aggregate  func(a, b float64) float64
	withScores bool
	limit      int // 0: none
}

func (o *options) weight(k int) float64 {
	if o.weights == nil {
		return 1
	}
	return o.weights[k]
}

// parse reads what follows n keys.
func (a algebra) parse(args []any, n int) (*options, error) {
	o := &options{aggregate: sum}
	if !a.sorted && !a.card {
		return o, nil
	}
	k := 1 + n
	if a.store {
		k++
	}
	for k < len(args) {
		read, err := a.option(o, args[k:], n)
		if err != nil {
			return nil, err
		}
		k += read
	}
	return o, nil
}

// option reads one option and returns the number of its words.
func (a algebra) option(o *options, args []any, n int) (read int, err error) {
	weighted := a.sorted && !a.card && a.op != difference
	switch {
	case a.card && is(args[0], "LIMIT") && len(args) > 1:
		return 2, o.setLimit(args[1])
	case weighted && is(args[0], "WEIGHTS") && len(args) > n:
		return 1 + n, o.setWeights(args[1 : 1+n])
	case weighted && is(args[0], "AGGREGATE") && len(args) > 1:
		return 2, o.setAggregate(args[1])
	case a.sorted && !a.card && !a.store && is(args[0], "WITHSCORES"):
		o.withScores = true
		return 1, nil
	}
	return 0, errSyntax
}

func (o *options) setLimit(arg any) error {
	n, ok := integer(arg)
	if !ok || n < 0 {
		return redis.Error("ERR LIMIT can't be negative")
	}
	o.limit = n
	return nil
}

func (o *options) setWeights(args []any) error {
	o.weights = make([]float64, len(args))
	for k, arg := range args {
		w, err := strconv.ParseFloat(Text(arg), 64)
		if err != nil || math.IsNaN(w) {
			return redis.Error("ERR weight value is not a float")
		}
		o.weights[k] = w
	}
	return nil
}

func (o *options) setAggregate(arg any) error {
	switch {
	case is(arg, "SUM"):
		o.aggregate = sum
	case is(arg, "MIN"):
		o.aggregate = least
	case is(arg, "MAX"):
		o.aggregate = greatest
	default:
		return errSyntax
	}
	return nil
}

// read takes a reply to Fetch's call apart.
func (a algebra) read(reply any) (source, error) {
	var s source
	values, err := redis.Values(reply, nil)
	if err != nil {
		return s, err
	}
	if !a.sorted {
		for _, v := range values {
			s.members = append(s.members, member{Text(v), 1})
		}
		return s, nil
	}
	if len(values)%2 != 0 {
		return s, errLength
	}
	for k := 0; k < len(values); k += 2 {
		score, err := strconv.ParseFloat(Text(values[k+1]), 64)
		if err != nil {
			return s, err
		}
		s.members = append(s.members, member{Text(values[k]), score})
	}
	return s, nil
}

// reply gives the result the server's form.
func (a algebra) reply(result []member, o *options) any {
	if a.card {
		if n := len(result); o.limit == 0 || n < o.limit {
			return int64(n)
		}
		return int64(o.limit)
	}
	if a.sorted {
		slices.SortFunc(result, func(a, b member) int {
			return cmp.Or(cmp.Compare(a.score, b.score), strings.Compare(a.name, b.name))
		})
	}
	values := make([]any, 0, 2*len(result))
	for _, m := range result {
		values = append(values, []byte(m.name))
		if o.withScores || a.sorted && a.store {
			values = append(values, scoreText(m.score))
		}
	}
	return values
}

// scoreText writes a score as the server does.
func scoreText(score float64) []byte {
	switch {
	case math.IsInf(score, 1):
		return []byte("inf")
	case math.IsInf(score, -1):
		return []byte("-inf")
	}
	return strconv.AppendFloat(nil, score, 'g', -1, 64)
}
