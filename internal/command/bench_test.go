package command_test

import (
	"fmt"
	"testing"

	"github.com/redisfluster/fluster/internal/command"
)

func BenchmarkLookupAndKeys(b *testing.B) {
	hundred := make([]any, 100)
	for i := range hundred {
		hundred[i] = fmt.Sprint("key:", i)
	}
	for _, bc := range []struct {
		name, cmd string
		args      []any
	}{
		{"GET", "GET", []any{"user:42"}},
		{"SET lower case", "set", []any{"user:42", "value"}},
		{"OBJECT ENCODING", "OBJECT", []any{"ENCODING", "user:42"}},
		{"MGET of 100", "MGET", hundred},
		{"EVAL", "EVAL", []any{"return 1", 2, "a", "b", "x"}},
		{"XREAD", "XREAD", []any{"COUNT", 10, "BLOCK", 100, "STREAMS", "a", "0"}},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			keys := make([]int, 0, 128)
			for b.Loop() {
				info, err := command.Lookup(bc.cmd, bc.args)
				if err != nil {
					b.Fatal(err)
				}
				if keys, err = info.Keys(keys[:0], bc.args); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
