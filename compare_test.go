package fluster_test

import (
	"bytes"
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
)

// sameReply reports whether two servers said the same: orders that are chance do
// not count, nor do the moments at which they were asked.
func sameReply(cmd string, args []any, want, got any) bool {
	name := strings.ToUpper(cmd)
	switch name {
	case "TTL", "EXPIRETIME":
		return near(want, got, 60)
	case "PTTL", "PEXPIRETIME":
		return near(want, got, 60_000)
	case "DUMP":
		return (want == nil) == (got == nil) // the order of a hash table is in it
	case "ZUNION", "ZINTER", "ZDIFF":
		return assert.ObjectsAreEqual(shortScores(args, want), shortScores(args, got))
	}
	return assert.ObjectsAreEqual(inOrder(name, args, want), inOrder(name, args, got))
}

// told writes a reply for people to read, cut to a sane length.
func told(reply any) string {
	text := fmt.Sprint(reply)
	switch reply := reply.(type) {
	case []byte, string:
		text = fmt.Sprintf("%q", reply)
	case []any:
		parts := make([]string, len(reply))
		for i, r := range reply {
			parts[i] = told(r)
		}
		text = "[" + strings.Join(parts, " ") + "]"
	}
	return text[:min(len(text), 2000)]
}

// near compares times.
func near(want, got any, tolerance float64) bool {
	a, aok := want.(int64)
	b, bok := got.(int64)
	if !aok || !bok || a < 0 || b < 0 {
		return assert.ObjectsAreEqual(want, got)
	}
	return math.Abs(float64(a-b)) <= tolerance
}

// inOrder sorts what comes in no particular order.
func inOrder(name string, args []any, reply any) any {
	list, ok := reply.([]any)
	if !ok {
		return reply
	}
	switch name {
	case "SMEMBERS", "SUNION", "SINTER", "SDIFF", "SPOP", "HKEYS", "HVALS", "KEYS":
		return inGroups(list, 1)
	case "HGETALL":
		return inGroups(list, 2)
	case "HSCAN", "ZSCAN":
		return []any{list[0], inGroups(list[1].([]any), 2)}
	case "SSCAN":
		return []any{list[0], inGroups(list[1].([]any), 1)}
	}
	return reply
}

// inGroups sorts groups of n elements.
func inGroups(list []any, n int) []any {
	groups := slices.Collect(slices.Chunk(list, n))
	slices.SortFunc(groups, func(a, b []any) int { return cmp.Or(compareText(a, b)) })
	return slices.Concat(groups...)
}

func compareText(a, b []any) int {
	return bytes.Compare(fmt.Appendf(nil, "%q", a), fmt.Appendf(nil, "%q", b))
}

// shortScores writes all scores alike: servers before 7.2 write 17 digits.
func shortScores(args []any, reply any) any {
	list, ok := reply.([]any)
	if !ok || !strings.EqualFold(fmt.Sprint(args[len(args)-1]), "WITHSCORES") {
		return reply
	}
	list = slices.Clone(list)
	for i := 1; i < len(list); i += 2 {
		if f, err := redis.Float64(list[i], nil); err == nil {
			list[i] = strconv.FormatFloat(f, 'g', -1, 64)
		}
	}
	return list
}

// otherReasons are commands that, when a call is wrong in several ways or when
// there is something to look up first, are refused by a server for another of its
// reasons than that their keys cannot be found.
var otherReasons = []string{
	"XREAD", "XREADGROUP", "BLMPOP", "BZMPOP", "SORT", "GEORADIUS", "GEORADIUSBYMEMBER",
	"EVALSHA", "EVALSHA_RO", "FCALL", "FCALL_RO",
}

// unfound is how their errors begin that say that the keys cannot be found.
var unfound = []string{"ERR syntax error", "ERR value is not an integer", "ERR Bad number of keys", "ERR Number of keys", "ERR numkeys", "ERR Unbalanced", "ERR The GROUP", "ERR Missing GROUP"}

// sameError reports whether two servers refused a call alike.
func sameError(a *attempt, want error) bool {
	reply, ok := a.err.(redis.Error) //nolint:errorlint // it must be bare
	if !ok {
		return false
	}
	wanted, ok := want.(redis.Error) //nolint:errorlint // it comes from redigo
	begins := func(words string) bool { return strings.HasPrefix(string(reply), words) }
	other := slices.Contains(otherReasons, a.name()) && slices.ContainsFunc(unfound, begins)
	return ok && (reply == wanted || other)
}
