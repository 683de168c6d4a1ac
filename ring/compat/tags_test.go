package compat_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

// The part of a key that counts goes where the key goes. Of a hundred nodes, another
// part would hardly go there too.
func TestThePartOfAKeyThatCounts(t *testing.T) {
	braces := compat.Twemproxy{HashTag: "{}", Hash: "md5"}
	same := compat.Twemproxy{HashTag: "xx", Hash: "md5"}
	jedis := compat.Jedis{Tags: true}
	php := compat.PhpRedis{Algorithm: "md5"}
	views := map[ring.Placement]ring.View{}
	view := func(p ring.Placement) ring.View {
		if views[p] == nil {
			views[p] = build(t, p, nodesOf(100)).View(nil)
		}
		return views[p]
	}
	for name, tt := range map[string]struct {
		p         ring.Placement
		key, part string
	}{
		"go-redis: braces":                          {compat.GoRedisRing{}, "a{b}c", "b"},
		"go-redis: only the first brace":            {compat.GoRedisRing{}, "{}{b}", "{}{b}"},
		"predis: braces":                            {compat.Predis{}, "a{b}c", "b"},
		"redis-fluster: none":                       {compat.RedisFluster{}, "{a}b", "{a}b"},
		"twemproxy: none by default":                {compat.Twemproxy{Hash: "md5"}, "{a}b", "{a}b"},
		"twemproxy: braces":                         {braces, "a{b}c", "b"},
		"twemproxy: an empty tag":                   {braces, "{}b", "{}b"},
		"twemproxy: never closed":                   {braces, "a}{b", "a}{b"},
		"twemproxy: two alike":                      {same, "axbxc", "b"},
		"twemproxy: two alike, empty":               {same, "axxbx", "axxbx"},
		"jedis: none by default":                    {compat.Jedis{}, "{a}b", "{a}b"},
		"jedis: braces":                             {jedis, "a{b}c", "b"},
		"jedis: at least one character":             {jedis, "{}}", "}"},
		"jedis: across an empty pair":               {jedis, "{}{a}", "}{a"},
		"jedis: a pair broken by the line's end":    {jedis, "{a\nb}{c}", "c"},
		"jedis: ends of lines that only Java knows": {jedis, "{a\u2028b}{\u0085}\r{d}", "d"},
		"jedis: an open brace at the end":           {jedis, "a{", "a{"},
		"jedis: a long character":                   {jedis, "{é}x", "é"},
		"jedis: not UTF-8":                          {jedis, "{a}\xff", "{a}\xff"},
		"redis-rb: at the beginning":                {compat.RedisRb{}, "{a}b", "a"},
		"redis-rb: not elsewhere":                   {compat.RedisRb{}, "a{b}", "a{b}"},
		"redis-rb: at the beginning of a line":      {compat.RedisRb{}, "x\n{b}", "b"},
		"redis-rb: at least one character":          {compat.RedisRb{}, "{}}x", "}"},
		"redis-rb: not across lines":                {compat.RedisRb{}, "{a\n}", "{a\n}"},
		"redis-rb: a carriage return is like any":   {compat.RedisRb{}, "{a\r}", "a\r"},
		"phpredis: braces":                          {php, "a{b}c", "b"},
		"phpredis: an empty tag counts":             {php, "{}x", ""},
		"phpredis: before a NUL":                    {php, "{a}\x00", "a"},
		"phpredis: not behind a NUL":                {php, "\x00{a}", "\x00{a}"},
		"phpredis: not around a NUL":                {php, "{\x00}", "{\x00}"},
		"libketama: none":                           {compat.Libketama{}, "{a}b", "{a}b"},
		"red-cluster: none":                         {compat.RedCluster{}, "{a}b", "{a}b"},
	} {
		t.Run(name, func(t *testing.T) {
			v := view(tt.p)
			others := 0
			for _, wrap := range []string{"", "other", strings.Repeat("x", 50), tt.part + "!", "y"} {
				if v.Locate(wrap) != v.Locate(tt.key) {
					others++
				}
			}
			assert.NotZero(t, others, "all keys are in one place, so nothing was shown")
			if tt.part == tt.key {
				for _, part := range []string{"a", "b", "", "}", "c", "d"} {
					assert.NotEqual(t, v.Locate(part), v.Locate(tt.key), "as if the tag were %q", part)
				}
				return
			}
			// A tag is a key without tags itself, but for Jedis's braces.
			plain := tt.p
			if _, ok := tt.p.(compat.Jedis); ok {
				plain = compat.Jedis{}
			}
			assert.Equal(t, view(plain).Locate(tt.part), v.Locate(tt.key))
		})
	}
}
