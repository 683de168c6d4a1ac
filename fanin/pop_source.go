package fanin

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Source is what a Popper has the nodes wait for: BLPop, BRPop, BLMove, BZPopMin,
// BZPopMax or XReadGroup.
type Source interface {
	// flaw says what is missing, or is empty.
	flaw() string
	// command is one round. Turns differ in the order of the keys: servers look at the
	// first one first.
	command(turn int, wait time.Duration) (cmd string, args []any)
	// items reads the reply, nil if the wait was in vain.
	items(reply any) ([]Item, error)
}

// remedy is a Source that knows what to do when a node refuses.
type remedy interface {
	remedy(refusal error) (cmds [][]any)
	// harmless reports an error of such a command that stops nobody.
	harmless(err error) bool
}

// BLPop takes elements from the heads of lists. An item has Key and Value.
func BLPop(keys ...string) Source { return &popSource{"BLPOP", keys, listItem} }

// BRPop takes elements from the tails of lists. An item has Key and Value.
func BRPop(keys ...string) Source { return &popSource{"BRPOP", keys, listItem} }

// BZPopMin takes members with the lowest scores from sorted sets. An item has Key,
// Value and Score.
func BZPopMin(keys ...string) Source { return &popSource{"BZPOPMIN", keys, scoreItem} }

// BZPopMax takes members with the highest scores from sorted sets. An item has Key,
// Value and Score.
func BZPopMax(keys ...string) Source { return &popSource{"BZPOPMAX", keys, scoreItem} }

// popSource is a command of the form NAME key ... timeout that takes one thing.
type popSource struct {
	cmd  string
	keys []string
	read func(reply []any) (Item, error)
}

func (s *popSource) flaw() string {
	if len(s.keys) == 0 {
		return s.cmd + " needs a key"
	}
	return ""
}

func (s *popSource) command(turn int, wait time.Duration) (string, []any) {
	return s.cmd, append(rotated(s.keys, turn), seconds(wait))
}

func (s *popSource) items(reply any) ([]Item, error) {
	if reply == nil {
		return nil, nil
	}
	values, err := redis.Values(reply, nil)
	if err != nil {
		return nil, err
	}
	it, err := s.read(values)
	if err != nil {
		return nil, err
	}
	return []Item{it}, nil
}

func listItem(reply []any) (it Item, err error) {
	_, err = redis.Scan(reply, &it.Key, &it.Value)
	return it, err
}

func scoreItem(reply []any) (it Item, err error) {
	_, err = redis.Scan(reply, &it.Key, &it.Value, &it.Score)
	return it, err
}

// BLMove moves elements from one list to another at the same node, from the end
// fromEnd to the end toEnd, which are LEFT or RIGHT. An item has Value, and as Key the
// list that it was moved from. It stands in the other list until it is removed there,
// at Item.Node, with LREM: so it outlives the process that took it. Look for what was
// left there at the start, after an error for which fluster.MaybeExecuted holds, and
// now and then: a server that is late to notice that its client has gone may move one
// more. Do so while the Popper holds nothing, such as after a loop over Items has run to
// the end of its context: what it holds stands there as well.
func BLMove(from, to, fromEnd, toEnd string) Source {
	return &moveSource{from, to, fromEnd, toEnd}
}

type moveSource struct{ from, to, fromEnd, toEnd string }

func (s *moveSource) flaw() string {
	switch {
	case s.from == "" || s.to == "":
		return "BLMOVE needs two keys"
	case !isEnd(s.fromEnd) || !isEnd(s.toEnd):
		return fmt.Sprintf("BLMOVE needs LEFT or RIGHT, not %q and %q", s.fromEnd, s.toEnd)
	}
	return ""
}

func isEnd(s string) bool { return strings.EqualFold(s, "LEFT") || strings.EqualFold(s, "RIGHT") }

func (s *moveSource) command(_ int, wait time.Duration) (string, []any) {
	return "BLMOVE", []any{s.from, s.to, s.fromEnd, s.toEnd, seconds(wait)}
}

func (s *moveSource) items(reply any) ([]Item, error) {
	if reply == nil {
		return nil, nil
	}
	value, err := redis.String(reply, nil)
	if err != nil {
		return nil, err
	}
	return []Item{{Key: s.from, Value: value}}, nil
}

// XReadGroup reads new entries of streams as a consumer of a group that each node has
// for itself. An item has Key, ID and Fields. Unless NoAck is set it is pending at its
// node until it is acknowledged there, with XACK: so it outlives the process that
// read it.
type XReadGroup struct {
	// Group and Consumer must not be empty.
	Group, Consumer string

	// Streams are the keys.
	Streams []string

	// Count is how many entries of each stream a node gives at once, at most. If zero,
	// one. The Popper holds what nobody has taken yet.
	Count int

	// NoAck takes entries for acknowledged when they are read.
	NoAck bool

	// Create makes the group, and the stream if there is none, at a node that lacks
	// it, to be read from this ID on: 0 is from the beginning, $ from now on. If empty,
	// such a node is an error until it has one.
	Create string
}

func (s XReadGroup) flaw() string {
	switch {
	case s.Group == "" || s.Consumer == "":
		return "XREADGROUP needs a group and a consumer"
	case len(s.Streams) == 0:
		return "XREADGROUP needs a stream"
	case s.Count < 0:
		return fmt.Sprintf("XREADGROUP cannot read %d entries", s.Count)
	}
	return ""
}

func (s XReadGroup) command(turn int, wait time.Duration) (string, []any) {
	args := []any{"GROUP", s.Group, s.Consumer, "COUNT", max(s.Count, 1), "BLOCK", wait.Milliseconds()}
	if s.NoAck {
		args = append(args, "NOACK")
	}
	args = append(append(args, "STREAMS"), rotated(s.Streams, turn)...)
	for range s.Streams {
		args = append(args, ">")
	}
	return "XREADGROUP", args
}

func (s XReadGroup) items(reply any) ([]Item, error) {
	if reply == nil {
		return nil, nil
	}
	streams, err := redis.Values(reply, nil)
	var items []Item
	for i := 0; i < len(streams) && err == nil; i++ {
		items, err = appendEntries(items, streams[i])
	}
	return items, err
}

// appendEntries appends the entries of one stream.
func appendEntries(items []Item, stream any) ([]Item, error) {
	var key string
	var entries []any
	parts, err := redis.Values(stream, nil)
	if err == nil {
		_, err = redis.Scan(parts, &key, &entries)
	}
	for i := 0; i < len(entries) && err == nil; i++ {
		it := Item{Key: key}
		if it.ID, it.Fields, err = readEntry(entries[i]); err == nil {
			items = append(items, it)
		}
	}
	return items, err
}

func readEntry(entry any) (id string, fields map[string]string, err error) {
	parts, err := redis.Values(entry, nil)
	if err != nil {
		return "", nil, err
	}
	if len(parts) != 2 {
		return "", nil, fmt.Errorf("an entry of %d parts", len(parts))
	}
	if id, err = redis.String(parts[0], nil); err != nil {
		return "", nil, err
	}
	fields, err = redis.StringMap(parts[1], nil)
	return id, fields, err
}

func (s XReadGroup) remedy(refusal error) [][]any {
	if s.Create == "" || !hasCode(refusal, "NOGROUP") {
		return nil
	}
	cmds := make([][]any, len(s.Streams))
	for i, key := range s.Streams {
		cmds[i] = []any{"XGROUP", "CREATE", key, s.Group, s.Create, "MKSTREAM"}
	}
	return cmds
}

func (s XReadGroup) harmless(err error) bool { return hasCode(err, "BUSYGROUP") }

func hasCode(err error, code string) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.HasPrefix(string(reply), code+" ")
}

// rotated returns the keys in the order of a turn.
func rotated(keys []string, turn int) []any {
	args := make([]any, len(keys), len(keys)+1)
	for i := range keys {
		args[i] = keys[(turn+i)%len(keys)]
	}
	return args
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 3, 64) }
