package redistest

import (
	"fmt"
	"strconv"
	"strings"
)

// store is the memory of a fake server: strings and lists, and the few commands
// that the tests of health and of connections need. It has one key space, takes
// every password, and ignores options such as EX. Its owner serializes it.
type store map[string]any // string or []string

const wrongType = "WRONGTYPE Operation against a key holding the wrong kind of value"

// storeCommand is a command of the store: how many arguments it takes at the
// least, and what it does with them.
type storeCommand struct {
	args int
	run  func(s store, args []string) []byte
}

var storeCommands = map[string]storeCommand{
	"PING":   {0, ping},
	"ECHO":   {1, func(_ store, args []string) []byte { return Bulk(args[0]) }},
	"AUTH":   {1, ok},
	"SELECT": {1, ok},
	"CLIENT": {1, ok},
	"GET":    {1, store.get},
	"SET":    {2, store.set},
	"INCR":   {1, store.incr},
	"DEL":    {1, store.del},
	"UNLINK": {1, store.del},
	"EXISTS": {1, store.exists},
	"LPUSH":  {2, store.lpush},
	"RPUSH":  {2, store.rpush},
	"LPOP":   {1, store.lpop},
	"RPOP":   {1, store.rpop},
	"LLEN":   {1, store.llen},
}

// do runs a command and returns the reply.
func (s store) do(cmd []string) []byte {
	name, args := strings.ToUpper(cmd[0]), cmd[1:]
	c, known := storeCommands[name]
	switch {
	case !known:
		return Error(fmt.Sprintf("ERR unknown command '%s', with args beginning with: ", cmd[0]))
	case len(args) < c.args:
		return Error(fmt.Sprintf("ERR wrong number of arguments for '%s' command", strings.ToLower(name)))
	}
	return c.run(s, args)
}

func ok(store, []string) []byte { return Simple("OK") }

func ping(_ store, args []string) []byte {
	if len(args) > 0 {
		return Bulk(args[0])
	}
	return Simple("PONG")
}

func (s store) get(args []string) []byte {
	switch value := s[args[0]].(type) {
	case string:
		return Bulk(value)
	case nil:
		return Nil
	default:
		return Error(wrongType)
	}
}

func (s store) set(args []string) []byte {
	s[args[0]] = args[1]
	return Simple("OK")
}

func (s store) incr(args []string) []byte {
	value, exists := s[args[0]]
	text, isString := value.(string)
	if exists && !isString {
		return Error(wrongType)
	}
	n := 0
	if exists {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			return Error("ERR value is not an integer or out of range")
		}
	}
	s[args[0]] = strconv.Itoa(n + 1)
	return Int(n + 1)
}

func (s store) del(args []string) []byte {
	before := len(s)
	for _, key := range args {
		delete(s, key)
	}
	return Int(before - len(s))
}

func (s store) exists(args []string) []byte {
	n := 0
	for _, key := range args {
		if _, there := s[key]; there {
			n++
		}
	}
	return Int(n)
}

// list returns the list at a key, empty if there is nothing, and whether a list
// may be there.
func (s store) list(key string) ([]string, bool) {
	value, exists := s[key]
	list, isList := value.([]string)
	return list, isList || !exists
}

func (s store) lpush(args []string) []byte {
	list, isList := s.list(args[0])
	if !isList {
		return Error(wrongType)
	}
	for _, value := range args[1:] {
		list = append([]string{value}, list...)
	}
	s[args[0]] = list
	return Int(len(list))
}

func (s store) rpush(args []string) []byte {
	list, isList := s.list(args[0])
	if !isList {
		return Error(wrongType)
	}
	s[args[0]] = append(list, args[1:]...)
	return Int(len(list) + len(args) - 1)
}

func (s store) lpop(args []string) []byte {
	return s.pop(args[0], func(list []string) (string, []string) { return list[0], list[1:] })
}

func (s store) rpop(args []string) []byte {
	return s.pop(args[0], func(list []string) (string, []string) { return list[len(list)-1], list[:len(list)-1] })
}

func (s store) pop(key string, split func([]string) (string, []string)) []byte {
	list, isList := s.list(key)
	switch {
	case !isList:
		return Error(wrongType)
	case len(list) == 0:
		return Nil
	}
	value, rest := split(list)
	s[key] = rest
	if len(rest) == 0 {
		delete(s, key)
	}
	return Bulk(value)
}

func (s store) llen(args []string) []byte {
	list, isList := s.list(args[0])
	if !isList {
		return Error(wrongType)
	}
	return Int(len(list))
}
