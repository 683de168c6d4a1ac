package router_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/router"
)

// fixture has keys of every type on every node. None begins with a letter and n
// for "none".
var fixture = []string{
	"SADD a:set 1 2 3 x", "SADD b:set 2 3 4 y", "SADD c:set 9",
	"ZADD a:zset 1 one 2 two 3.25 three 0.1 tenth", "ZADD b:zset 10 one 20 two -inf min 0.2 tenth", "ZADD c:zset 0 p 0 q 0 r",
	"RPUSH a:list 3 1 2", "RPUSH b:list z y", "RPUSH c:list 5",
	"SET a:string text", "SET b:string other", "SET c:string third",
	"HSET a:hash f v g w", "XADD b:stream 1-1 f v", "XGROUP CREATE b:stream group 0",
	"PFADD a:sketch 1 2 3 4 5", "PFADD b:sketch 4 5 6", "PFADD c:sketch 7 8",
	"GEOADD a:geo 13.361389 38.115556 Palermo 15.087269 37.502669 Catania", "GEOADD b:geo 2.35 48.85 Paris",
	"SADD a:mortal m n", "EXPIRE a:mortal 1000", "SET b:mortal x", "EXPIRE b:mortal 2000", "PFADD c:mortal 1", "EXPIRE c:mortal 3000",
}

func words(line string) (cmd string, args []any) {
	fields := strings.Fields(line)
	for _, w := range fields[1:] {
		args = append(args, w)
	}
	return fields[0], args
}

// calls are compared with those of one server, from the same data each. Where a
// call has a destination, it is tried on the own node and on another, existing,
// of another type, and missing.
var calls = []string{
	"SUNIONSTORE c:n a:set b:set", "SUNIONSTORE c:string a:set b:set", "SUNIONSTORE c:mortal a:set b:set a:n", "SUNIONSTORE a:set a:set b:set",
	"SUNIONSTORE a:set b:n c:n", "SUNIONSTORE c:set b:list a:set", "SUNIONSTORE b:n a:set a:mortal",
	"SINTERSTORE c:n a:set b:set", "SINTERSTORE c:list a:set b:set c:set", "SINTERSTORE a:set b:set a:n", "SINTERSTORE c:set a:n b:zset", "SINTERSTORE b:set a:set b:set",
	"SDIFFSTORE c:n a:set b:set", "SDIFFSTORE c:zset a:n b:set", "SDIFFSTORE a:set b:set a:set", "SDIFFSTORE c:set a:set b:string",

	"ZUNIONSTORE c:n 2 a:zset b:zset", "ZUNIONSTORE c:n 3 a:zset b:zset a:set WEIGHTS 10 1 0.5", "ZUNIONSTORE c:string 2 a:zset b:zset weights 5 1 aggregate min",
	"ZUNIONSTORE a:zset 2 a:zset b:zset AGGREGATE MAX", "ZUNIONSTORE a:zset 2 b:zset a:zset AGGREGATE AVG", "ZUNIONSTORE c:n 2 a:zset b:zset WEIGHTS 1",
	"ZUNIONSTORE c:n 2 a:zset b:zset WEIGHTS 1 x", "ZUNIONSTORE c:zset 2 a:n b:n", "ZUNIONSTORE c:zset 2 a:n b:list", "ZUNIONSTORE c:n 2 b:zset b:zset WEIGHTS inf -inf",
	"ZUNIONSTORE c:n 2 a:zset b:zset WITHSCORES",
	"ZINTERSTORE c:n 2 a:zset b:zset", "ZINTERSTORE c:n 2 a:zset b:zset WEIGHTS 10 1", "ZINTERSTORE b:zset 2 a:zset b:zset AGGREGATE MIN", "ZINTERSTORE c:zset 2 a:zset b:n", "ZINTERSTORE c:zset 2 a:zset b:hash",
	"ZDIFFSTORE c:n 2 a:zset b:zset", "ZDIFFSTORE c:n 2 a:set b:zset", "ZDIFFSTORE a:zset 2 a:zset b:set", "ZDIFFSTORE c:zset 2 a:n b:zset", "ZDIFFSTORE c:zset 2 a:zset b:zset x",

	"ZRANGESTORE b:n a:zset 0 -1", "ZRANGESTORE b:zset a:zset 1 2 REV", "ZRANGESTORE c:n a:zset (0.1 +inf BYSCORE LIMIT 0 2", "ZRANGESTORE a:string b:zset -inf 100 BYSCORE",
	"ZRANGESTORE a:n c:zset [p (r BYLEX", "ZRANGESTORE a:zset b:n 0 -1", "ZRANGESTORE a:zset b:zset 100 200", "ZRANGESTORE b:zset a:list 0 -1", "ZRANGESTORE b:zset a:zset x y", "ZRANGESTORE b:zset a:zset 0 -1 WITHSCORES", "ZRANGESTORE b:zset a:zset 0 -1 LIMIT 0 1",
	"GEOSEARCHSTORE b:n a:geo FROMLONLAT 15 37 BYRADIUS 200 km ASC", "GEOSEARCHSTORE b:geo a:geo FROMLONLAT 15 37 BYBOX 400 400 km DESC COUNT 1", "GEOSEARCHSTORE c:string a:geo FROMMEMBER Palermo BYRADIUS 100 mi STOREDIST",
	"GEOSEARCHSTORE b:n a:geo FROMMEMBER Rome BYRADIUS 100 mi", "GEOSEARCHSTORE b:geo a:n FROMLONLAT 15 37 BYRADIUS 200 km", "GEOSEARCHSTORE b:geo a:geo FROMLONLAT 0 0 BYRADIUS 1 m", "GEOSEARCHSTORE b:geo a:list FROMLONLAT 15 37 BYRADIUS 200 km", "GEOSEARCHSTORE b:geo a:geo FROMLONLAT 15 37 BYRADIUS 200 parsec", "GEOSEARCHSTORE b:geo a:geo FROMLONLAT 15 37 BYRADIUS 200 km WITHDIST",
	"GEORADIUS a:geo 15 37 200 km STORE b:n", "GEORADIUS a:geo 15 37 200 km ASC COUNT 1 STOREDIST b:geo", "GEORADIUS a:geo 15 37 200 km STORE b:x STOREDIST c:y", "GEORADIUS a:geo 15 37 200 km WITHDIST STORE b:geo", "GEORADIUS a:n 15 37 200 km STORE b:geo", "GEORADIUS a:set 15 37 200 km STORE b:geo",
	"GEORADIUSBYMEMBER a:geo Catania 500 km STORE b:n", "GEORADIUSBYMEMBER a:geo Catania 1 m STOREDIST b:geo", "GEORADIUSBYMEMBER a:geo Rome 1 m STORE b:geo",
	"SORT a:list STORE b:n", "SORT a:list DESC LIMIT 0 2 STORE b:string", "SORT a:set ALPHA STORE c:n", "SORT a:list BY nosort GET # GET # STORE b:list", "SORT a:set STORE b:list", "SORT a:n STORE b:list", "SORT a:string STORE b:list", "SORT a:list LIMIT 5 5 STORE b:list", "SORT a:zset ALPHA STORE b:zset", "SORT a:list sideways STORE b:list", "SORT a:list STORE c:x STORE b:list",

	"RENAME a:set b:n", "RENAME a:mortal b:list", "RENAME a:n b:list", "RENAME b:stream a:string", "RENAME a:zset b:mortal", "RENAME a:hash c:n", "RENAME b:mortal c:mortal", "RENAME a:sketch b:n", "RENAME a:list a:n", "RENAME a:list a:list",
	"RENAMENX a:mortal b:n", "RENAMENX a:set b:set", "RENAMENX a:n b:n", "RENAMENX a:n b:set", "RENAMENX b:stream c:n", "RENAMENX a:list a:n",
	"COPY a:mortal b:n", "COPY a:set b:set", "COPY a:set b:list REPLACE", "COPY a:set b:mortal replace", "COPY a:n b:list REPLACE", "COPY b:stream c:n", "COPY a:set b:n x", "COPY a:set b:n DB", "COPY a:set b:n REPLACE REPLACE", "COPY a:set a:n",

	"RPOPLPUSH a:list b:list", "RPOPLPUSH a:list b:n", "RPOPLPUSH a:n b:list", "RPOPLPUSH a:n b:set", "RPOPLPUSH a:set b:list", "RPOPLPUSH a:set b:set", "RPOPLPUSH a:list b:set", "RPOPLPUSH c:list a:n", "RPOPLPUSH a:list a:list",
	"LMOVE a:list b:list LEFT LEFT", "LMOVE a:list b:list LEFT RIGHT", "LMOVE a:list b:list right left", "LMOVE a:list b:list RIGHT RIGHT", "LMOVE a:list b:list UP DOWN", "LMOVE a:n b:string LEFT UP", "LMOVE a:n b:string LEFT LEFT", "LMOVE a:list b:mortal LEFT LEFT", "LMOVE a:list a:n LEFT LEFT",
	"SMOVE a:set b:set 1", "SMOVE a:set b:set 2", "SMOVE a:set b:n x", "SMOVE a:set b:set z", "SMOVE a:n b:set z", "SMOVE a:n b:list z", "SMOVE a:set b:list z", "SMOVE a:set b:list 1", "SMOVE a:list b:set z", "SMOVE c:set a:mortal 9", "SMOVE a:set a:n 1",
	"MSETNX a:n 1 b:n 2 c:n 3", "MSETNX a:n 1 b:set 2 c:n 3", "MSETNX c:string 1 b:n 2", "MSETNX a:n 1 b:n 2 a:n 3", "MSETNX a:n 1 a:m 2",
	"PFCOUNT a:sketch b:sketch", "PFCOUNT a:sketch b:sketch c:sketch a:n b:n", "PFCOUNT a:n b:n", "PFCOUNT a:sketch b:string", "PFCOUNT a:string b:list", "PFCOUNT a:list b:string", "PFCOUNT a:sketch b:list", "PFCOUNT a:n b:set c:string",
	"PFMERGE a:sketch b:sketch", "PFMERGE a:n b:sketch c:sketch a:sketch", "PFMERGE c:mortal a:sketch b:n", "PFMERGE a:n b:n c:n", "PFMERGE a:string b:sketch", "PFMERGE a:list b:sketch", "PFMERGE a:sketch b:string", "PFMERGE a:sketch b:list c:string",
}

func TestSpreadCallsDoWhatOneServerDoes(t *testing.T) {
	tw := newTwins(t)
	for _, line := range calls {
		t.Run(line, func(t *testing.T) {
			tw.t = t
			tw.flush()
			for _, f := range fixture {
				cmd, args := words(f)
				tw.do(cmd, args...)
			}
			cmd, args := words(line)
			tw.do(cmd, args...)
			assert.Positive(t, tw.compare(cmd, args...))
		})
	}
}

func TestSpreadCallsKeepEveryByte(t *testing.T) {
	tw := newTwins(t)
	raw := []byte("\x00\r\n\xff$-1\r\n")
	for _, call := range [][]any{
		{"SADD", "a:set", raw, "", "é"},
		{"SADD", "b:set", "", "plain"},
		{"SUNIONSTORE", "c:\x00\r\n", "a:set", "b:set"},
		{"SMOVE", "a:set", "b:set", raw},
		{"SMOVE", "b:set", "c:set", ""},
		{"ZADD", "a:zset", "0.1", raw, "3.0000000000000004", "", "9007199254740993", "big", "1e-300", "small", "-inf", "low"},
		{"ZUNIONSTORE", "b:zset", 2, "a:zset", "c:set", "WEIGHTS", "0.2", 3},
		{"ZRANGESTORE", "c:zset", "b:zset", 0, -1},
		{"RPUSH", "a:list", raw, "", "x"},
		{"LMOVE", "a:list", "b:list", "LEFT", "LEFT"},
		{"RPOPLPUSH", "a:list", "c:list"},
		{"RPOPLPUSH", "a:list", "c:list"},
		{"SORT", "c:list", "ALPHA", "STORE", "a:\xff"},
		{"MSETNX", "a:raw", raw, "b:empty", "", "c:nil", nil},
		{"RENAME", "b:empty", "a:empty"},
		{"COPY", "a:raw", "b:raw"},
		{"RENAME", "c:\x00\r\n", "a:"},
	} {
		tw.do(call[0].(string), call[1:]...)
		tw.compare(call[0].(string), call[1:]...)
	}
}

func TestSpreadCallsStoreBigResults(t *testing.T) {
	tw := newTwins(t)
	const members = 10_000
	for _, key := range []string{"a", "b"} {
		set, sorted, list := []any{key + ":set"}, []any{key + ":zset"}, []any{key + ":list"}
		for i := range members {
			set = append(set, fmt.Sprint(key, i))
			sorted = append(sorted, float64(i)/3, fmt.Sprint(key, i))
			list = append(list, (i*7919)%members)
		}
		tw.do("SADD", set...)
		tw.do("ZADD", sorted...)
		tw.do("RPUSH", list...)
	}
	for _, line := range []string{
		"SUNIONSTORE c:set a:set b:set", "SDIFFSTORE b:set a:set b:set", "ZUNIONSTORE c:zset 2 a:zset b:zset WEIGHTS 1 0.1",
		"ZRANGESTORE b:zset a:zset 0 -1", "SORT a:list STORE c:list", "RENAME c:set a:moved",
	} {
		cmd, args := words(line)
		tw.do(cmd, args...)
		tw.compare(cmd, args...)
	}
}

func TestWhatCannotBeDoneOverNodesIsRefused(t *testing.T) {
	tw := newTwins(t)
	for _, s := range tw.nodes {
		s.Do("CONFIG", "RESETSTAT")
	}
	for line, want := range map[string]error{
		"SORT a:list BY w_* STORE b:list":     router.ErrCrossNode,
		"SORT a:list GET w_*->f STORE b:list": router.ErrCrossNode,
		"COPY a:set b:set DB 1":               router.ErrRefused,
		"COPY a:set b:set REPLACE DB 0":       router.ErrRefused,
		"COPY a:set a:copy db 1":              router.ErrRefused,
		"BLMOVE a:list b:list LEFT LEFT 1":    router.ErrCrossNode,
		"BRPOPLPUSH a:list b:list 1":          router.ErrCrossNode,
	} {
		t.Run(line, func(t *testing.T) {
			cmd, args := words(line)
			_, err := tw.router.Do(context.Background(), cmd, args)
			require.ErrorIs(t, err, want)
			assert.Contains(t, err.Error(), cmd)
			for _, s := range tw.nodes {
				assert.Zero(t, s.Executed(cmd)+s.Executed("multi")+s.Executed("dump"))
			}
		})
	}
}
