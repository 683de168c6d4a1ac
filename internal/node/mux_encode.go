package node

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/gomodule/redigo/redis"
)

// plainArgs returns args with only types in it that appendCommand knows, and how
// many bytes they come to, at a guess that is not too low. It calls what methods
// the caller's own types have, and leaves args alone.
func plainArgs(args []any) (plain []any, size int) {
	plain = args
	for i, arg := range args {
		n, ok := plainSize(arg)
		if !ok {
			if &plain[0] == &args[0] {
				plain = append([]any(nil), args...)
			}
			plain[i] = plainArg(arg)
			n, _ = plainSize(plain[i])
		}
		size += n + headerRoom
	}
	return plain, size
}

// sizeOf is what plainArgs guesses of args that need not be changed.
func sizeOf(args []any) (size int, plain bool) {
	for _, arg := range args {
		n, ok := plainSize(arg)
		if !ok {
			return 0, false
		}
		size += n + headerRoom
	}
	return size, true
}

// headerRoom is what an argument's length and line ends take at most.
const headerRoom = 16

func plainSize(arg any) (n int, ok bool) {
	switch arg := arg.(type) {
	case string:
		return len(arg), true
	case []byte:
		return len(arg), true
	case int, int64, float64, bool, nil:
		return 24, true
	}
	return 0, false
}

// plainArg makes a value of any other type what redigo would send for it.
func plainArg(arg any) any {
	if own, ok := arg.(redis.Argument); ok {
		arg = own.RedisArg()
		if _, ok := plainSize(arg); ok {
			return arg
		}
	}
	var text bytes.Buffer
	fmt.Fprint(&text, arg)
	return text.Bytes()
}

// appendCommand appends a command as redigo writes it.
func appendCommand(b []byte, cmd string, args []any) []byte {
	b = appendHeader(b, '*', 1+len(args))
	b = appendText(b, cmd)
	for _, arg := range args {
		b = appendArg(b, arg)
	}
	return b
}

func appendArg(b []byte, arg any) []byte {
	var scratch [40]byte
	switch arg := arg.(type) {
	case string:
		return appendText(b, arg)
	case []byte:
		return appendText(b, arg)
	case int:
		return appendText(b, strconv.AppendInt(scratch[:0], int64(arg), 10))
	case int64:
		return appendText(b, strconv.AppendInt(scratch[:0], arg, 10))
	case float64:
		return appendText(b, strconv.AppendFloat(scratch[:0], arg, 'g', -1, 64))
	case bool:
		if arg {
			return appendText(b, "1")
		}
		return appendText(b, "0")
	}
	return appendText(b, "") // nil
}

func appendText[T string | []byte](b []byte, text T) []byte {
	b = appendHeader(b, '$', len(text))
	b = append(b, text...)
	return append(b, '\r', '\n')
}

func appendHeader(b []byte, kind byte, n int) []byte {
	switch {
	case n < 10:
		return append(b, kind, byte('0'+n), '\r', '\n')
	case n < 100:
		return append(b, kind, byte('0'+n/10), byte('0'+n%10), '\r', '\n')
	}
	b = append(b, kind)
	b = strconv.AppendInt(b, int64(n), 10)
	return append(b, '\r', '\n')
}
