package command

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"

	"github.com/gomodule/redigo/redis"
)

// Merge is how the replies of several nodes to one call become one.
type Merge uint8

const (
	// PerNode keeps all of them: a []any of names, as []byte, and replies by
	// turns, in the order given. So Redis sends a map, and redigo's helpers for
	// maps read it: redis.StringMap makes of INFO what each node said.
	PerNode Merge = iota
	// AllOK is the string "OK", if everybody said so.
	AllOK
	// Agreed is the reply that all nodes gave; where they differ, it is PerNode.
	Agreed
	// Sum is the sum of integers, an int64.
	Sum
	// Earliest is the least of integers, an int64.
	Earliest
	// Union is all elements of arrays, each once: a []any.
	Union
	// And is, place by place, the least of integers: a []any of int64.
	And
	// SumByName is, for each name of a map, the sum of its integers: a []any of
	// names and int64 by turns.
	SumByName
	// Settings is a map of all names to their values, a []any by turns. The
	// value of a name on which nodes differ is PerNode.
	Settings
	// Any is one of the replies that are not nil, at random; nil if there is none.
	Any
)

// Reply is what one node replied to its part of a call.
type Reply struct {
	Node  string
	Value any
	Err   error // of the connection, or the server's
}

// joiners make one reply of those that are no errors. What does not have the
// form that is needed is reported, and left out.
var joiners = map[Merge]func(replies []Reply, bad func(Reply, error)) any{
	PerNode:   func(replies []Reply, _ func(Reply, error)) any { return perNode(replies) },
	AllOK:     joinOK,
	Agreed:    joinAgreed,
	Sum:       joinSum,
	Earliest:  joinEarliest,
	Union:     joinUnion,
	And:       joinAnd,
	SumByName: joinSumByName,
	Settings:  joinSettings,
	Any:       joinAny,
}

// Replies makes one reply of those of several nodes. If some of them failed, it
// is made of the others', and the error is a [*NodesError]; only AllOK is nothing
// then. If all failed, the reply is nil; and if all of them sent the same error
// reply, that is the error.
func (m Merge) Replies(replies []Reply) (any, error) {
	good, failed := sift(replies)
	var value any
	if len(good) > 0 {
		value = joiners[m](good, failed.add)
	}
	err := failed.err()
	if m == AllOK && err != nil {
		value = nil
	}
	return value, err
}

// sift parts the replies from the failures. An error reply may come as either.
func sift(replies []Reply) ([]Reply, *NodesError) {
	good, failed := make([]Reply, 0, len(replies)), &NodesError{Total: len(replies)}
	for _, r := range replies {
		if e, ok := r.Value.(redis.Error); ok && r.Err == nil {
			r.Err = e
		}
		if r.Err != nil {
			failed.add(r, r.Err)
			continue
		}
		good = append(good, r)
	}
	return good, failed
}

func perNode(replies []Reply) []any {
	all := make([]any, 0, 2*len(replies))
	for _, r := range replies {
		all = append(all, []byte(r.Node), r.Value)
	}
	return all
}

func joinOK(replies []Reply, bad func(Reply, error)) any {
	for _, r := range replies {
		if text, err := redis.String(r.Value, nil); err != nil || text != "OK" {
			bad(r, fmt.Errorf("unexpected reply: %.64q", fmt.Sprint(r.Value)))
		}
	}
	return "OK"
}

func joinAgreed(replies []Reply, _ func(Reply, error)) any {
	for _, r := range replies[1:] {
		if !reflect.DeepEqual(r.Value, replies[0].Value) {
			return perNode(replies)
		}
	}
	return replies[0].Value
}

func joinSum(replies []Reply, bad func(Reply, error)) any {
	var sum int64
	for _, n := range read(replies, bad, redis.Int64) {
		sum += n
	}
	return sum
}

func joinEarliest(replies []Reply, bad func(Reply, error)) any {
	times := read(replies, bad, redis.Int64)
	if len(times) == 0 {
		return nil
	}
	return slices.Min(times)
}

func joinUnion(replies []Reply, bad func(Reply, error)) any {
	union, seen := []any{}, make(map[string]bool)
	for _, elements := range read(replies, bad, redis.Values) {
		for _, e := range elements {
			if name := Text(e); !seen[name] {
				seen[name] = true
				union = append(union, e)
			}
		}
	}
	return union
}

func joinAnd(replies []Reply, bad func(Reply, error)) any {
	var least []int64
	for _, r := range replies {
		flags, err := redis.Int64s(r.Value, nil)
		if least == nil {
			least = flags
		}
		if err == nil && len(flags) != len(least) {
			err = errLength
		}
		if err != nil {
			bad(r, err)
			continue
		}
		for i, n := range flags {
			least[i] = min(least[i], n)
		}
	}
	all := make([]any, len(least))
	for i, n := range least {
		all[i] = n
	}
	return all
}

func joinSumByName(replies []Reply, bad func(Reply, error)) any {
	sums := []any{}
	at := make(map[string]int) // where a name's sum is
	for _, pairs := range read(replies, bad, countMap) {
		for i := 0; i < len(pairs); i += 2 {
			name, n := Text(pairs[i]), pairs[i+1].(int64)
			if k, ok := at[name]; ok {
				sums[k] = sums[k].(int64) + n
				continue
			}
			at[name] = len(sums) + 1
			sums = append(sums, pairs[i], n)
		}
	}
	return sums
}

func joinSettings(replies []Reply, bad func(Reply, error)) any {
	names := []any{}
	values := make(map[string][]Reply)
	for _, r := range replies {
		pairs, err := flatMap(r.Value, nil)
		if err != nil {
			bad(r, err)
			continue
		}
		for i := 0; i < len(pairs); i += 2 {
			name := Text(pairs[i])
			if values[name] == nil {
				names = append(names, pairs[i])
			}
			values[name] = append(values[name], Reply{Node: r.Node, Value: pairs[i+1]})
		}
	}
	settings := make([]any, 0, 2*len(names))
	for _, name := range names {
		settings = append(settings, name, joinAgreed(values[Text(name)], bad))
	}
	return settings
}

func joinAny(replies []Reply, _ func(Reply, error)) any {
	some := slices.DeleteFunc(slices.Clone(replies), func(r Reply) bool { return r.Value == nil })
	if len(some) == 0 {
		return nil
	}
	return some[rand.IntN(len(some))].Value
}

// read converts the values by one of redigo's helpers.
func read[T any](replies []Reply, bad func(Reply, error), as func(any, error) (T, error)) []T {
	values := make([]T, 0, len(replies))
	for _, r := range replies {
		v, err := as(r.Value, nil)
		if err != nil {
			bad(r, err)
			continue
		}
		values = append(values, v)
	}
	return values
}

// flatMap reads a map that comes as names and values by turns.
func flatMap(reply any, err error) ([]any, error) {
	pairs, err := redis.Values(reply, err)
	if err == nil && len(pairs)%2 != 0 {
		err = fmt.Errorf("a map of %d elements", len(pairs))
	}
	return pairs, err
}

// countMap is flatMap for a map whose values are integers.
func countMap(reply any, err error) ([]any, error) {
	pairs, err := flatMap(reply, err)
	for i := 1; i < len(pairs) && err == nil; i += 2 {
		if _, ok := pairs[i].(int64); !ok {
			err = fmt.Errorf("a count of type %T", pairs[i])
		}
	}
	return pairs, err
}
