package command

import (
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// Learn makes an Info of what a server says of a command that the table does not
// know, such as a module's: an element of its reply to COMMAND INFO. A command
// that has no keys, or whose keys do not stand at fixed places, is Rejected.
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
	if first > 0 && step > 0 && d.flags&movable == 0 {
		d.keys = []spec{{first: first, last: last, step: step}}
	}
	return d.info(false), nil
}

// flagNames are the names by which servers call the flags.
var flagNames = map[string]flags{"write": writes, "readonly": reads, "blocking": blocks, "movablekeys": movable}
