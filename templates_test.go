package fluster_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// templates are what calls are made of, by the type of key that they are for.
// In them
//
//	$k           is a key, mostly of that type
//	$v $m $h     a value, one of few members, a field
//	$i $j $f $s  a small number, one that may be negative, a float, a score
//	$t $T        a time to live in seconds, a moment in milliseconds
//	$id $n       the ID of a stream's entry, a small number above 0
//	$g           the SHA1 of a script that was loaded
//	+( ... )     one to four times
//	#( ... )     a number, and so many times
//	*( ... )     as many times as the last #( )
//	?( ... )     perhaps
//	a|b          one of them
var templates = map[string][]string{
	"string": {
		"SET $k $v", "SET $k $v NX|XX", "SET $k $v GET", "SET $k $v EX $t", "SET $k $v PXAT $T", "SET $k $v KEEPTTL",
		"SETNX $k $v", "SETEX $k $t $v", "PSETEX $k $t000 $v", "GET $k", "GETSET $k $v", "GETDEL $k", "GETEX $k",
		"GETEX $k PERSIST", "GETEX $k EX $t", "APPEND $k $v", "STRLEN $k", "SETRANGE $k $i $v", "GETRANGE $k $j $j",
		"SUBSTR $k $j $j", "INCR $k", "DECR $k", "INCRBY $k $j", "DECRBY $k $j", "INCRBYFLOAT $k $f", "LCS $k $k",
		"LCS $k $k LEN", "LCS $k $k IDX MINMATCHLEN $i WITHMATCHLEN", "MGET +($k)", "MGET +($k)", "MGET +($k)", "MSET +($k $v)", "MSETNX +($k $v)",
	},
	"bits": {
		"SETBIT $k $i 0|1", "GETBIT $k $i", "BITCOUNT $k", "BITCOUNT $k $j $j BYTE|BIT", "BITPOS $k 0|1 ?($j)",
		"BITFIELD $k SET u8|i5 $i $j", "BITFIELD $k OVERFLOW SAT INCRBY i5 #$i $j GET u4 0", "BITFIELD_RO $k GET u8 $i",
		"BITOP AND|OR|XOR $k +($k)", "BITOP NOT $k $k",
	},
	"hash": {
		"HSET $k +($h $v)", "HSET $k +($h $v)", "HMSET $k +($h $v)", "HSETNX $k $h $v", "HGET $k $h", "HMGET $k +($h)", "HGETALL $k",
		"HDEL $k +($h)", "HLEN $k", "HEXISTS $k $h", "HKEYS $k", "HVALS $k", "HSTRLEN $k $h", "HINCRBY $k $h $j",
		"HINCRBYFLOAT $k $h $f", "HSCAN $k 0 COUNT 1000", "HSCAN $k 0 MATCH *1* COUNT 1000",
	},
	"list": {
		"LPUSH|RPUSH $k +($v)", "LPUSH|RPUSH $k +($v)", "RPUSH $k +($v)", "RPUSH $k +($m)", "LPUSHX|RPUSHX $k +($v)", "LPOP|RPOP $k", "LPOP|RPOP $k $i", "LLEN $k", "LRANGE $k $j $j", "LINDEX $k $j",
		"LSET $k $j $v", "LINSERT $k BEFORE|AFTER $v $v", "LREM $k $j $v", "LTRIM $k $j $j", "LPOS $k $v ?(RANK $n) ?(COUNT $i)",
		"RPOPLPUSH $k $k", "LMOVE $k $k LEFT|RIGHT LEFT|RIGHT", "LMOVE $k $k LEFT|RIGHT LEFT|RIGHT", "LMPOP #($k) LEFT|RIGHT ?(COUNT $n)",
		"BLPOP|BRPOP +($k) 0.001", "BLMPOP 0.001 #($k) LEFT|RIGHT", "BLMOVE $k $k LEFT|RIGHT LEFT|RIGHT 0.001", "BRPOPLPUSH $k $k 0.001",
		"SORT $k ALPHA", "SORT $k ALPHA ?(LIMIT $j $i) ASC|DESC", "SORT_RO $k ALPHA DESC", "SORT $k ALPHA STORE $k",
	},
	"set": {
		"SADD $k +($m)", "SADD $k +($m)", "SREM $k +($m)", "SISMEMBER $k $m", "SMISMEMBER $k +($m)", "SCARD $k", "SMEMBERS $k", "SPOP $k 1000",
		"SRANDMEMBER $k 0", "SMOVE $k $k $m", "SMOVE $k $k $m", "SSCAN $k 0 COUNT 1000", "SUNION|SINTER|SDIFF +($k)", "SUNION|SINTER|SDIFF +($k)",
		"SINTERCARD #($k) ?(LIMIT $j)", "SUNIONSTORE|SINTERSTORE|SDIFFSTORE $k +($k)", "SUNIONSTORE|SINTERSTORE|SDIFFSTORE $k +($k)", "SORT $k ALPHA",
	},
	"zset": {
		"ZADD $k +($s $m)", "ZADD $k +($s $m)", "ZADD $k NX|XX|GT|LT CH $s $m", "ZADD $k INCR $s $m", "ZINCRBY $k $s $m", "ZREM $k +($m)", "ZSCORE $k $m",
		"ZMSCORE $k +($m)", "ZCARD $k", "ZCOUNT $k -inf|($s $s|+inf", "ZLEXCOUNT $k - +", "ZRANK|ZREVRANK $k $m",
		"ZRANGE $k $j $j ?(WITHSCORES)", "ZRANGE $k $s $s BYSCORE ?(LIMIT $i $i)", "ZRANGE $k - + BYLEX", "ZREVRANGE $k $j $j",
		"ZRANGEBYSCORE $k -inf +inf ?(WITHSCORES)", "ZREVRANGEBYSCORE $k +inf ($s", "ZRANGEBYLEX $k - [a", "ZREVRANGEBYLEX $k + -",
		"ZREMRANGEBYRANK $k $j $j", "ZREMRANGEBYSCORE $k $s $s", "ZREMRANGEBYLEX $k - [a", "ZPOPMIN|ZPOPMAX $k ?($i)",
		"ZMPOP #($k) MIN|MAX ?(COUNT $n)", "BZPOPMIN|BZPOPMAX +($k) 0.001", "BZMPOP 0.001 #($k) MIN|MAX", "ZSCAN $k 0 COUNT 1000",
		"ZUNION|ZINTER #($k) ?(WEIGHTS *($s)) ?(AGGREGATE SUM|MIN|MAX) ?(WITHSCORES)", "ZUNION|ZINTER #($k) ?(WEIGHTS *($s)) WITHSCORES",
		"ZDIFF #($k) ?(WITHSCORES)", "ZINTERCARD #($k) ?(LIMIT $j)", "ZDIFFSTORE $k #($k)",
		"ZUNIONSTORE|ZINTERSTORE $k #($k) ?(WEIGHTS *($s)) ?(AGGREGATE SUM|MIN|MAX)", "ZUNION 2 $k $k AGGREGATE AVG", "ZINTERSTORE $k 2 $k $k WEIGHTS 1",
		"ZRANGESTORE $k $k $j $j", "ZRANGESTORE $k $k $s $s BYSCORE LIMIT $i $i",
	},
	"stream": {
		"XADD $k $id $h $v", "XADD $k $id +($h $v)", "XADD $k NOMKSTREAM MAXLEN = 5 $id $h $v", "XLEN $k", "XRANGE $k - + ?(COUNT $n)",
		"XREVRANGE $k + - COUNT $n", "XDEL $k $id", "XTRIM $k MAXLEN $i", "XTRIM $k MINID $id", "XREAD ?(COUNT $n) STREAMS $k 0",
		"XREAD BLOCK 1 STREAMS $k $k $id 0", "XGROUP CREATE $k g $id|0|$ ?(MKSTREAM)", "XGROUP DESTROY $k g", "XGROUP CREATECONSUMER $k g c",
		"XGROUP DELCONSUMER $k g c", "XGROUP SETID $k g 0", "XREADGROUP GROUP g c ?(COUNT $n) STREAMS $k >|0", "XACK $k g $id",
		"XPENDING $k g", "XCLAIM $k g c 0 $id JUSTID", "XAUTOCLAIM $k g c 0 0 COUNT $n JUSTID", "XINFO GROUPS $k", "XSETID $k $id",
	},
	"sketch": {"PFADD $k +($m)", "PFADD $k +($m)", "PFCOUNT $k", "PFCOUNT +($k)", "PFMERGE $k +($k)", "GETRANGE $k 0 3"},
	"geo": {
		"GEOADD $k $i.25 $i.5 $m", "GEOADD $k +($i.25 $i.5 $m)", "GEOADD $k +($i.75 $i.5 $m)", "GEODIST $k $m $m km", "GEOPOS $k +($m)", "GEOHASH $k +($m)",
		"GEOSEARCH $k FROMLONLAT 1 1 BYRADIUS 500 km ASC|DESC ?(WITHDIST)", "GEOSEARCHSTORE $k $k FROMLONLAT 1 1 BYBOX 900 900 km",
		"GEORADIUS $k 1 1 500 km ASC", "GEORADIUS $k 1 1 500 km STORE|STOREDIST $k", "GEORADIUSBYMEMBER $k $m 300 km DESC",
		"GEORADIUSBYMEMBER_RO $k $m 300 km ASC", "GEORADIUSBYMEMBER $k $m 300 km STORE $k", "GEORADIUS_RO $k 1 1 500 km ASC",
	},
	"any": {
		"DEL +($k)", "DEL +($k)", "UNLINK +($k)", "EXISTS +($k)", "TOUCH +($k)", "TYPE $k", "DUMP $k", "RENAME $k $k", "RENAMENX $k $k", "COPY $k $k ?(REPLACE)",
		"EXPIRE $k $t", "PEXPIRE $k $t000 NX|XX", "EXPIREAT $k 1", "PEXPIREAT $k $T ?(GT|LT)", "EXPIRE $k -1|0", "PERSIST $k", "TTL|PTTL $k",
		"EXPIRETIME|PEXPIRETIME $k", "OBJECT ENCODING $k", "OBJECT FREQ $k", "OBJECT HELP", "RESTORE $k 0 $dump ?(REPLACE)",
		"EVAL $lua 1 $k $m", "EVAL $lua #($k) $m", "EVALSHA $g 1 $k $m", "EVALSHA $g #($k) $m", "EVALSHA $m 1 $k", "EVAL_RO $luaRO 1 $k", "EVAL return 0", "FCALL f 1 $k",
		"SCRIPT EXISTS +($g)", "PING ?($v)", "ECHO $v", "PUBLISH $k $v", "SPUBLISH $k $v", "COMMAND COUNT", "COMMAND GETKEYS GET $k", "KEYS $own", "PUBSUB NUMPAT",
		"SCAN 0", "SELECT 1", "MOVE $k 1", "DEBUG SLEEP 0", "WAIT 0 0", "NOSUCHCOMMAND $k", "OBJECT NOSUCH $k", "SWAPDB 0 1", "MULTI", "WATCH $k",
	},
}

var scripts = []string{
	"return redis.call('type', KEYS[1])",
	"return {KEYS, ARGV}",
	"redis.call('set', KEYS[1], ARGV[1]) return redis.call('get', KEYS[#KEYS])",
	"return redis.call('incrby', KEYS[1], 2)",
	"return redis.error_reply('MINE ' .. ARGV[1])",
}

var (
	values  = []any{"", "0", "1", 7, -12, 3.25, []byte("\x00\xff\r\n$5\r\n"), "word", "10.5", nil, true, "9223372036854775807", strings.Repeat("long", 40)}
	members = []any{"", "a", "b", "c", "1", "2", "10", "\xff\x00", "\r\n"}
	scores  = []any{0, 1, 2, -3, 0.5, 2.25, "-inf", "+inf", "1e3"}
	garbage = []any{"x", "", "-1", "0", "3.5.6", "99999999999999999999", "WITHSCORES", "STORE", "LIMIT"}
)

// caller makes up calls on keys that nobody else uses.
type caller struct {
	*rand.Rand        // of this caller alone
	own        string // what all of its keys begin with
	keys       map[string][]string
	types      []string
	shas       []string
	dumps      [][]byte
	table      []tabled
	began      time.Time

	entries, last int // of streams; the last #( )
}

// newCaller returns the caller number n of a run. Half of the keys of each type
// stand on one node, the others anywhere.
func newCaller(rnd *rand.Rand, n int) *caller {
	c := &caller{Rand: rnd, own: fmt.Sprintf("c%d:", n), keys: make(map[string][]string), began: time.Now()}
	for _, typ := range []string{"string", "bits", "hash", "list", "set", "zset", "stream", "sketch", "geo", "any"} {
		c.types = append(c.types, typ)
		for i := range 4 {
			c.keys[typ] = append(c.keys[typ], c.own+typ+strconv.Itoa(i), c.own+typ+"{"+c.own+"}"+strconv.Itoa(i))
		}
	}
	c.keys["any"] = append(c.keys["any"], c.own, c.own+"{}\x00\r\n\xff", c.own+strings.Repeat("long", 100))
	return c
}

// call makes a call from a template, mutilates one, or makes one up by chance.
func (c *caller) call() (cmd string, args []any) {
	if c.IntN(8) == 0 {
		if cmd, args = c.chance(); isLuck(cmd, args) {
			return c.call()
		}
		return cmd, args
	}
	typ := c.types[c.IntN(len(c.types))]
	list := templates[typ]
	words := strings.Fields(list[c.IntN(len(list))])
	args = c.expand(typ, words)
	cmd = fmt.Sprint(args[0])
	if c.IntN(3) == 0 {
		cmd = strings.ToLower(cmd)
	}
	args = args[1:]
	if c.IntN(12) == 0 && !waits(cmd, args) {
		args = c.mutilate(args)
	}
	if isLuck(cmd, args) {
		return c.call()
	}
	return cmd, args
}

// waits tells calls that must not be mutilated, lest they wait without end.
func waits(cmd string, args []any) bool {
	name := strings.ToUpper(cmd)
	return slices.Contains(args, any("BLOCK")) || strings.HasPrefix(name, "B") && !strings.HasPrefix(name, "BIT")
}

// isLuck tells calls with a reply that is random or a server's own affair, and
// those with two destinations, of which a server does not say which one counts.
func isLuck(cmd string, args []any) bool {
	stores := 0
	for _, arg := range args {
		if word := strings.ToUpper(fmt.Sprint(arg)); word == "STORE" || word == "STOREDIST" {
			stores++
		}
	}
	if stores > 1 {
		return true
	}
	switch strings.ToUpper(cmd) {
	case "HSCAN", "SSCAN", "ZSCAN":
		return len(args) < 2 || args[1] != "0"
	case "SPOP":
		return len(args) == 1
	case "SRANDMEMBER":
		return len(args) == 1 || len(args) == 2 && args[1] != "0"
	case "COMMAND":
		return len(args) == 0
	}
	return false
}

// mutilate drops, adds or spoils an argument.
func (c *caller) mutilate(args []any) []any {
	switch k := c.IntN(len(args) + 1); {
	case k == len(args):
		return append(args, garbage[c.IntN(len(garbage))])
	case c.IntN(2) == 0:
		return append(args[:k:k], args[k+1:]...)
	default:
		args[k] = garbage[c.IntN(len(garbage))]
	}
	return args
}

// expand replaces the words of a template by arguments.
func (c *caller) expand(typ string, words []string) (args []any) {
	for i := 0; i < len(words); i++ {
		if !isGroup(words[i]) {
			args = append(args, c.word(typ, words[i]))
			continue
		}
		end := endOfGroup(words, i)
		inner := strings.Fields(strings.TrimSuffix(strings.Join(words[i:end+1], " ")[2:], ")"))
		times := c.times(words[i][0])
		if words[i][0] == '#' {
			args = append(args, times)
		}
		for range times {
			args = append(args, c.expand(typ, inner)...)
		}
		i = end
	}
	return args
}

// times is how often a group of that kind is repeated.
func (c *caller) times(kind byte) int {
	switch kind {
	case '#':
		c.last = 1 + c.IntN(3)
		return c.last
	case '*':
		return c.last
	case '?':
		return c.IntN(2)
	}
	return 1 + c.IntN(4)
}

func isGroup(word string) bool {
	return len(word) > 1 && strings.ContainsRune("+#*?", rune(word[0])) && word[1] == '('
}

// endOfGroup returns which word the group ends with that begins with words[i].
func endOfGroup(words []string, i int) int {
	for depth := 0; ; i++ {
		if isGroup(words[i]) {
			depth++
		}
		if depth -= strings.Count(words[i], ")"); depth == 0 {
			return i
		}
	}
}

// word replaces one word of a template.
func (c *caller) word(typ, word string) any {
	if alternatives := strings.Split(word, "|"); len(alternatives) > 1 {
		word = alternatives[c.IntN(len(alternatives))]
	}
	before, name, ok := strings.Cut(word, "$")
	if !ok || name == "" {
		return word
	}
	name, after, dotted := strings.Cut(name, ".")
	thousand := strings.HasSuffix(name, "000")
	value := c.value(typ, strings.TrimSuffix(name, "000"))
	if before == "" && !dotted && !thousand {
		return value
	}
	text := before + fmt.Sprint(value)
	if dotted {
		text += "." + after
	}
	if thousand {
		text += "000"
	}
	return text
}

func (c *caller) value(typ, name string) any {
	pick := func(list []any) any { return list[c.IntN(len(list))] }
	switch name {
	case "k":
		if typ == "any" || c.IntN(8) == 0 {
			typ = c.types[c.IntN(len(c.types))]
		}
		key := c.keys[typ][c.IntN(len(c.keys[typ]))]
		if c.IntN(3) == 0 {
			return []byte(key)
		}
		return key
	case "v":
		return pick(values)
	case "m", "h":
		return pick(members)
	case "s":
		return pick(scores)
	case "i":
		return c.IntN(12)
	case "n":
		return 1 + c.IntN(3)
	case "j":
		return c.IntN(16) - 8
	case "f":
		return float64(c.IntN(400)-200) / 8
	case "t":
		return []int{1000, 5000, 100000}[c.IntN(3)]
	case "T":
		return c.began.Add(time.Duration(1+c.IntN(5)) * 20000 * time.Second).UnixMilli()
	case "id":
		c.entries++
		return fmt.Sprintf("%d-1", c.entries-c.IntN(5))
	case "g":
		return c.shas[c.IntN(len(c.shas))]
	case "lua":
		return scripts[c.IntN(len(scripts))]
	case "luaRO":
		return scripts[0]
	case "dump":
		return c.dumps[c.IntN(len(c.dumps))]
	case "own":
		return c.own + "*"
	}
	panic("bug: no such word in a template: " + name)
}
