package command

import (
	"slices"
	"strings"
)

// description is what a server says of one of its commands.
type description struct {
	name, since string
	arity       int
	flags       flags
	keys        []spec
}

// flags are those of the server's flags that count here.
type flags uint8

const (
	writes flags = 1 << iota
	reads
	blocks
	movable
)

// channels are the commands that go by a channel as others do by a key.
var channels = map[string]spec{
	"PUBLISH":      {first: 1, last: 1, step: 1},
	"SPUBLISH":     {first: 1, last: 1, step: 1},
	"SUBSCRIBE":    {first: 1, last: -1, step: 1},
	"UNSUBSCRIBE":  {first: 1, last: -1, step: 1},
	"SSUBSCRIBE":   {first: 1, last: -1, step: 1},
	"SUNSUBSCRIBE": {first: 1, last: -1, step: 1},
}

// all has every command by its name; subcommands are in their containers.
var all = table()

func table() map[string]*Info {
	commands := make(map[string]*Info)
	add := func(list []description, verified bool) {
		for _, d := range list {
			info := d.info(verified)
			commands[info.Name] = info
		}
	}
	add(described, true)
	add(later, false)
	for name, info := range commands {
		container, sub, ok := strings.Cut(name, " ")
		if !ok {
			continue
		}
		parent := commands[container]
		if parent.subs == nil {
			parent.subs = make(map[string]*Info)
		}
		parent.subs[sub] = info
		delete(commands, name)
	}
	return commands
}

// info joins what the server says of a command with its policy.
func (d description) info(verified bool) *Info {
	p := policyOf(d)
	info := &Info{
		Name:     d.name,
		Arity:    d.arity,
		Access:   d.access(),
		Blocking: d.flags&blocks != 0,
		Stateful: p.stateful,
		Movable:  d.flags&movable != 0,
		Route:    p.route,
		Reason:   p.why,
		Split:    p.split,
		Merge:    p.merge,
		Since:    d.since,
		Verified: verified,
		specs:    d.keys,
		find:     finders[d.name],
	}
	info.Repeatable = p.route != Rejected && (p.again || info.Access == Read)
	if c, ok := channels[d.name]; ok {
		info.specs = []spec{c}
	}
	info.plain = info.Route == ByKey && !info.Movable && info.find == nil && !info.Blocking && !info.Stateful &&
		len(info.specs) == 1 && !info.specs[0].counted && info.specs[0].first == 1 && info.specs[0].last == 1
	return info
}

// policyOf returns a command's own policy or its container's, or that it goes
// by its keys.
func policyOf(d description) policy {
	if p, ok := policies[d.name]; ok {
		return p
	}
	if len(d.keys) > 0 {
		return policy{route: ByKey}
	}
	container, _, _ := strings.Cut(d.name, " ")
	if p, ok := policies[container]; ok {
		return p
	}
	return rejected("it is not known what several nodes should make of it")
}

// access takes the server's word, or, of scripts, that what they do to their keys
// has to be taken for a write.
func (d description) access() Access {
	switch {
	case d.flags&writes != 0:
		return Write
	case d.flags&reads != 0:
		return Read
	case slices.ContainsFunc(d.keys, func(s spec) bool { return s.use == Write }):
		return Write
	}
	return Neither
}
