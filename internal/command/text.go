package command

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// Text returns an argument as redigo writes it to the server. It copies a
// []byte, so that the result outlives it.
func Text(arg any) string {
	if text, ok := plainText(arg); ok {
		return text
	}
	if a, ok := arg.(redis.Argument); ok {
		// As redigo does: once, an argument that gives another one is printed.
		arg = a.RedisArg()
		if text, ok := plainText(arg); ok {
			return text
		}
	}
	return fmt.Sprint(arg)
}

// plainText is Text for the types that redigo knows by themselves.
func plainText(arg any) (text string, ok bool) {
	switch arg := arg.(type) {
	case string:
		return arg, true
	case []byte:
		return string(arg), true
	case int:
		return strconv.Itoa(arg), true
	case int64:
		return strconv.FormatInt(arg, 10), true
	case float64:
		return strconv.FormatFloat(arg, 'g', -1, 64), true
	case bool:
		if arg {
			return "1", true
		}
		return "0", true
	case nil:
		return "", true
	}
	return "", false
}

// is reports whether an argument is a word, whatever the case of its letters.
func is(arg any, word string) bool {
	switch arg := arg.(type) {
	case string:
		return strings.EqualFold(arg, word)
	case []byte:
		return len(arg) == len(word) && strings.EqualFold(string(arg), word)
	case int, int64, float64, bool, nil:
		return false // no word of a command is a number
	}
	return strings.EqualFold(Text(arg), word)
}

// integer returns an argument as the number that the server reads in it. The
// server allows no sign before a positive one, no spaces and no leading zeros.
func integer(arg any) (int, bool) {
	switch arg := arg.(type) {
	case int:
		return arg, true
	case int64:
		return int(arg), int64(int(arg)) == arg
	}
	text := Text(arg)
	n, err := strconv.Atoi(text)
	if err != nil || strconv.Itoa(n) != text {
		return 0, false
	}
	return n, true
}
