package command

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// Learn makes an Info of what a server says of a command that the table does not
// know, such as a module's: an element of its reply to COMMAND INFO. A command
// whose keys do not stand at fixed places is Opaque, and so is a container, whose
// subcommands may have theirs anywhere. One that has no keys is Rejected.
func Learn(entry any) (*Info, error) {
	words, err := redis.Values(entry, nil)
	if err != nil || len(words) < 6 {
		return nil, fmt.Errorf("fluster: unexpected description of a command: %.100q", fmt.Sprint(entry))
	}
	var d description
	var first, last, step int
	var names []string
	if _, err := redis.Scan(words, &d.name, &d.arity, nil, &first, &last, &step); err != nil {
		return nil, fmt.Errorf("fluster: unexpected description of a command: %w", err)
	}
	if names, err = redis.Strings(words[2], nil); err != nil {
		return nil, fmt.Errorf("fluster: unexpected flags of a command: %w", err)
	}
	d.name = strings.ToUpper(d.name)
	for _, name := range names {
		d.flags |= flagNames[name]
	}
	container := describedInFull(words) && filled(words[9])
	switch {
	case container:
		d.flags |= movable | writes // or whatever else its subcommands do
	case describedInFull(words) && leavesOut(words[8]):
		d.flags |= movable
	}
	if first > 0 && step > 0 && d.flags&movable == 0 {
		d.keys = []spec{{first: first, last: last, step: step}}
	}
	info := d.info(false)
	if info.Movable {
		info.Route, info.Reason, info.Repeatable = ByKey, "", info.Access == Read
	}
	return info, nil
}

// Opaque tells a command of which only a server knows where a call's keys are.
func (i *Info) Opaque() bool { return i.Movable && i.Keyless() }

// flagNames are the names by which servers call the flags.
var flagNames = map[string]flags{"write": writes, "readonly": reads, "blocking": blocks, "movablekeys": movable}

// describedInFull reports a description that has specifications of keys and
// subcommands, as servers give it since 7.0.
func describedInFull(words []any) bool { return len(words) >= 10 }

func filled(list any) bool {
	items, ok := list.([]any)
	return ok && len(items) > 0
}

// leavesOut reports specifications of keys that say of themselves that they do not
// find all: by a flag, or by a search of a kind that nobody knows.
func leavesOut(specs any) bool {
	switch s := specs.(type) {
	case string:
		return s == "incomplete" || s == "unknown"
	case []byte:
		return leavesOut(string(s))
	case []any:
		return slices.ContainsFunc(s, leavesOut)
	}
	return false
}
