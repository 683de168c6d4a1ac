package ring_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/redisfluster/fluster/ring"
)

func TestHashTagFollowsTheRedisClusterRule(t *testing.T) {
	for _, c := range []struct{ key, tag string }{
		{"", ""},
		{"user:42", "user:42"},
		{"{user1000}.following", "user1000"},
		{"cart:{user1000}", "user1000"},
		{"foo{}{bar}", "foo{}{bar}"},
		{"foo{{bar}}zap", "{bar"},
		{"foo{bar}{zap}", "bar"},
		{"{}", "{}"},
		{"{", "{"},
		{"}", "}"},
		{"{a", "{a"},
		{"a}", "a}"},
		{"}a{", "}a{"},
		{"}{a}", "a"},
		{"{a}", "a"},
		{"{ }", " "},
		{"{\x00}b", "\x00"},
		{"{\xff\xfe}b", "\xff\xfe"},
		{"{a\nb}c", "a\nb"},
		{"{é}ü", "é"},
	} {
		assert.Equal(t, c.tag, ring.HashTag(c.key), "HashTag(%q)", c.key)
	}
}

func TestHashTagAgreesWithTheRuleOnEveryShortStringOfBraces(t *testing.T) {
	var try func(key string)
	try = func(key string) {
		if want, got := slowHashTag(key), ring.HashTag(key); want != got {
			t.Errorf("HashTag(%q) = %q, want %q", key, got, want)
		}
		if len(key) < 7 {
			for _, c := range "{}x" {
				try(key + string(c))
			}
		}
	}
	try("")
}

func TestKeysWithOneHashTagShareANode(t *testing.T) {
	r := build(t, weightedNodes(17, 1, 2, 3))
	rapid.Check(t, func(t *rapid.T) {
		tag := rapid.StringMatching(`[^{}]+`).Draw(t, "tag")
		before := rapid.StringMatching(`[^{]*`).Draw(t, "before")
		after := rapid.String().Draw(t, "after")
		live := rapid.SliceOfN(rapid.Bool(), 17, 17).Draw(t, "live")
		for _, v := range []ring.View{r.View(nil), r.View(live)} {
			assert.Equal(t, v.Locate(tag), v.Locate(before+"{"+tag+"}"+after))
		}
	})
}

// slowHashTag spells the rule out byte by byte.
func slowHashTag(key string) string {
	for i := range len(key) {
		if key[i] != '{' {
			continue
		}
		tag := ""
		for j := i + 1; j < len(key); j++ {
			if key[j] == '}' {
				if tag == "" {
					return key
				}
				return tag
			}
			tag += key[j : j+1]
		}
		return key
	}
	return key
}

func FuzzHashTag(f *testing.F) {
	for _, key := range []string{"", "user:42", "{a}b", "a{}b{c}", "{{a}}", "}{", "{\x00}"} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		assert.Equal(t, slowHashTag(key), ring.HashTag(key))
	})
}

func ExampleHashTag() {
	for _, key := range []string{"user:42", "{user:42}:cart", "cart:{user:42}", "{}:{user:42}"} {
		fmt.Println(ring.HashTag(key))
	}
	// Output:
	// user:42
	// user:42
	// user:42
	// {}:{user:42}
}
