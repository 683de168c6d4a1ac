package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// command is one command or subcommand as the server describes it.
type command struct {
	name, since string
	arity       int
	flags       []string
	keys        []keySpec
}

// keySpec is one of the server's key specifications.
type keySpec struct {
	flags        []string
	search, find string
	index        int
	lastKey      int
	step         int
	countAt      int
	firstKey     int
}

// kept are the server's flags that the table keeps, with their names there.
var kept = map[string]string{
	"write":       "writes",
	"readonly":    "reads",
	"blocking":    "blocks",
	"movablekeys": "movable",
}

// describe reads all commands and their subcommands.
func describe(conn redis.Conn) ([]command, error) {
	entries, err := redis.Values(conn.Do("COMMAND"))
	if err != nil {
		return nil, err
	}
	since, err := versions(conn)
	if err != nil {
		return nil, err
	}
	var all []command
	for _, e := range entries {
		if all, err = appendCommands(all, e, since); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// appendCommands adds a command and, after it, its subcommands.
func appendCommands(all []command, entry any, since map[string]string) ([]command, error) {
	fields, err := redis.Values(entry, nil)
	if err != nil {
		return nil, err
	}
	if len(fields) < 10 {
		return nil, fmt.Errorf("COMMAND describes with %d fields, 10 are needed: redis-server 7.0 or later", len(fields))
	}
	raw, err := redis.String(fields[0], nil)
	if err != nil {
		return nil, err
	}
	c := command{name: strings.ToUpper(strings.ReplaceAll(raw, "|", " ")), since: since[raw]}
	if c.arity, err = redis.Int(fields[1], nil); err != nil {
		return nil, err
	}
	if c.flags, err = redis.Strings(fields[2], nil); err != nil {
		return nil, err
	}
	if c.keys, err = keySpecs(fields[8]); err != nil {
		return nil, fmt.Errorf("%s: %w", c.name, err)
	}
	all = append(all, c)
	subs, err := redis.Values(fields[9], nil)
	if err != nil {
		return nil, err
	}
	for _, s := range subs {
		if all, err = appendCommands(all, s, since); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func keySpecs(reply any) ([]keySpec, error) {
	values, err := redis.Values(reply, nil)
	if err != nil {
		return nil, err
	}
	specs := make([]keySpec, len(values))
	for i, v := range values {
		if specs[i], err = readKeySpec(v); err != nil {
			return nil, err
		}
	}
	return specs, nil
}

func readKeySpec(reply any) (keySpec, error) {
	var k keySpec
	spec, err := fields(reply)
	if err != nil {
		return k, err
	}
	if k.flags, err = redis.Strings(spec["flags"], nil); err != nil {
		return k, err
	}
	search, begin, err := typed(spec["begin_search"])
	if err != nil {
		return k, err
	}
	find, keys, err := typed(spec["find_keys"])
	if err != nil {
		return k, err
	}
	k.search, k.find = search, find
	k.index = number(begin["index"])
	k.lastKey, k.step = number(keys["lastkey"]), number(keys["keystep"])
	k.countAt, k.firstKey = number(keys["keynumidx"]), number(keys["firstkey"])
	return k, nil
}

// typed takes apart the map of a type and a spec.
func typed(reply any) (kind string, spec map[string]any, err error) {
	outer, err := fields(reply)
	if err != nil {
		return "", nil, err
	}
	if kind, err = redis.String(outer["type"], nil); err != nil {
		return "", nil, err
	}
	spec, err = fields(outer["spec"])
	return kind, spec, err
}

// fields is a map reply as a map.
func fields(reply any) (map[string]any, error) {
	values, err := redis.Values(reply, nil)
	if err != nil {
		return nil, err
	}
	m := make(map[string]any, len(values)/2)
	for i := 0; i+1 < len(values); i += 2 {
		name, err := redis.String(values[i], nil)
		if err != nil {
			return nil, err
		}
		m[name] = values[i+1]
	}
	return m, nil
}

// number returns an integer field, 0 if it is absent.
func number(field any) int {
	n, _ := field.(int64)
	return int(n)
}

// versions returns the version that brought each command, by its raw name.
func versions(conn redis.Conn) (map[string]string, error) {
	since := make(map[string]string)
	docs, err := fieldsOf(conn.Do("COMMAND", "DOCS"))
	if err != nil {
		return nil, err
	}
	return since, addVersions(since, docs)
}

func fieldsOf(reply any, err error) (map[string]any, error) {
	if err != nil {
		return nil, err
	}
	return fields(reply)
}

func addVersions(since map[string]string, docs map[string]any) error {
	for name, doc := range docs {
		m, err := fields(doc)
		if err != nil {
			return err
		}
		if since[name], err = redis.String(m["since"], nil); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if m["subcommands"] == nil {
			continue
		}
		subs, err := fields(m["subcommands"])
		if err != nil {
			return err
		}
		if err := addVersions(since, subs); err != nil {
			return err
		}
	}
	return nil
}

// literal is the command as a composite literal of type description.
func (c command) literal() string {
	var flags []string
	for _, f := range c.flags {
		if name, ok := kept[f]; ok {
			flags = append(flags, name)
		}
	}
	s := fmt.Sprintf("{name: %q, arity: %d, since: %q", c.name, c.arity, c.since)
	if len(flags) > 0 {
		s += ", flags: " + strings.Join(flags, " | ")
	}
	if len(c.keys) > 0 {
		specs := make([]string, len(c.keys))
		for i, k := range c.keys {
			specs[i] = k.literal(slices.Contains(c.flags, "no_mandatory_keys"))
		}
		s += ", keys: []spec{" + strings.Join(specs, ", ") + "}"
	}
	return s + "}"
}

// literal is the specification as a composite literal of type spec. Of counted
// keys there may be none if they are optional.
func (k keySpec) literal(optional bool) string {
	var parts []string
	add := func(name string, value int) {
		if value != 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", name, value))
		}
	}
	switch {
	case k.search != "index" || k.find == "unknown":
		parts = append(parts, "parsed: true")
	case k.find == "keynum":
		parts = append(parts, "counted: true")
		if optional {
			parts = append(parts, "optional: true")
		}
		add("count", k.index+k.countAt)
		add("first", k.index+k.firstKey)
		add("step", k.step)
	default:
		add("first", k.index)
		if k.lastKey >= 0 {
			k.lastKey += k.index
		}
		add("last", k.lastKey)
		add("step", k.step)
	}
	for _, f := range k.flags {
		switch f {
		case "RW", "OW", "RM":
			parts = append(parts, "use: Write")
		case "RO":
			parts = append(parts, "use: Read")
		}
	}
	return "{" + strings.Join(parts, ", ") + "}"
}
