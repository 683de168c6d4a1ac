package router_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// Each word of a template stands for one of several: K for any key, M for a
// member, S for a score that adds up exactly, N for a small number.
var templates = []string{
	"DEL K", "SET K M", "SET K M EX 5000", "SADD K M M M", "SADD K M", "ZADD K S M S M S M", "RPUSH K N N", "LPUSH K N", "HSET K M M", "PFADD K M M M",
	"GEOADD K 13.36 38.11 M 15.08 37.50 M", "EXPIRE K 5000", "XADD K 1-1 M M",
	"SUNIONSTORE K K K", "SINTERSTORE K K K", "SDIFFSTORE K K K", "SUNIONSTORE K K K K", "SINTERSTORE K K",
	"ZUNIONSTORE K 2 K K", "ZUNIONSTORE K 2 K K WEIGHTS S S AGGREGATE MIN", "ZINTERSTORE K 2 K K WEIGHTS 2 3", "ZINTERSTORE K 3 K K K AGGREGATE MAX", "ZDIFFSTORE K 2 K K", "ZUNIONSTORE K 2 K K AGGREGATE M",
	"ZRANGESTORE K K N N", "ZRANGESTORE K K 0 -1 REV", "ZRANGESTORE K K S S BYSCORE", "ZRANGESTORE K K - + BYLEX LIMIT 0 N", "ZRANGESTORE K K N M",
	"GEOSEARCHSTORE K K FROMLONLAT 15 37 BYRADIUS 300 km", "GEOSEARCHSTORE K K FROMMEMBER M BYRADIUS 300 km ASC COUNT N STOREDIST",
	"GEORADIUS K 15 37 300 km STORE K", "GEORADIUSBYMEMBER K M 300 km STOREDIST K",
	"SORT K STORE K", "SORT K ALPHA DESC STORE K", "SORT K LIMIT N N STORE K",
	"RENAME K K", "RENAME K K", "RENAMENX K K", "COPY K K", "COPY K K REPLACE",
	"RPOPLPUSH K K", "LMOVE K K LEFT LEFT", "LMOVE K K RIGHT LEFT", "LMOVE K K LEFT M", "SMOVE K K M", "SMOVE K K M",
	"MSETNX K M K M", "MSETNX K M K M K M", "PFCOUNT K K", "PFCOUNT K K K", "PFMERGE K K", "PFMERGE K K K",
}

var (
	members = []any{"m", "n", "1", "2", "", "\x00\r\n", 3, "one"}
	exact   = []any{"0", "1", "-2", "0.5", "3.25", "100"}
)

// call makes a call of a template.
func randomCall(r *rand.Rand) (cmd string, args []any) {
	cmd, args = words(templates[r.IntN(len(templates))])
	for i, w := range args {
		switch w {
		case "K":
			args[i] = fmt.Sprintf("%c:%d", 'a'+r.IntN(3), r.IntN(3))
		case "M":
			args[i] = members[r.IntN(len(members))]
		case "S":
			args[i] = exact[r.IntN(len(exact))]
		case "N":
			args[i] = r.IntN(5)
		}
	}
	return cmd, args
}

func TestRandomSequencesDoWhatOneServerDoes(t *testing.T) {
	const sequences, length, between = 20, 150, 10
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	tw := newTwins(t)
	for range sequences {
		tw.flush()
		var last []string
		for i := range length {
			cmd, args := randomCall(r)
			last = append(last, fmt.Sprintf("%s %q", cmd, args))
			tw.do(cmd, args...)
			if (i+1)%between == 0 {
				tw.compare("one of\n" + strings.Join(last, "\n"))
				last = nil
			}
		}
	}
}
