package placements_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/placements"
	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

func TestASpecNamesAPlacement(t *testing.T) {
	for spec, want := range map[string]ring.Placement{
		"balanced":      ring.Balanced{},
		"redis-fluster": compat.RedisFluster{},
		"red-cluster":   compat.RedCluster{},
		"go-redis":      compat.GoRedisRing{},
		"go-redis:":     compat.GoRedisRing{},
		"libketama":     compat.Libketama{},
		"twemproxy":     compat.Twemproxy{},
		"twemproxy:hash=md5,distribution=modula,tag={},eject": compat.Twemproxy{Hash: "md5", Distribution: "modula", HashTag: "{}", AutoEject: true},
		"twemproxy:tag=,,,eject":                              compat.Twemproxy{HashTag: ",,", AutoEject: true},
		"twemproxy:tag==,":                                    compat.Twemproxy{HashTag: "=,"},
		"jedis":                                               compat.Jedis{},
		"jedis:hash=md5,labels=old,tag":                       compat.Jedis{Hash: "md5", OldLabels: true, Tags: true},
		"jedis:labels=new,unnamed":                            compat.Jedis{Unnamed: true},
		"redis-rb":                                            compat.RedisRb{},
		"redis-rb:4":                                          compat.RedisRb{Generation: 4},
		"redis-rb:6":                                          compat.RedisRb{Generation: 6},
		"predis":                                              compat.Predis{},
		"predis:hashring":                                     compat.Predis{},
		"predis:ketama":                                       compat.Predis{Ketama: true},
		"phpredis":                                            compat.PhpRedis{},
		"phpredis:consistent,algorithm=sha512/256": compat.PhpRedis{Consistent: true, Algorithm: "sha512/256"},
	} {
		got, err := placements.Parse(spec)
		require.NoError(t, err, spec)
		assert.Equal(t, want, got, spec)
	}
}

func TestAWrongSpecIsToldWhatWouldBeRight(t *testing.T) {
	for spec, want := range map[string]string{
		"":                         "there is no placement \"\", only balanced, redis-fluster,",
		"Balanced":                 "there is no placement",
		"balanced:x":               "it has no options",
		"go-redis:tag":             "it has no options",
		"twemproxy:hash=sha1":      `Twemproxy.Hash: there is no "sha1"`,
		"twemproxy:hash":           "the option hash needs a value, as in hash=VALUE",
		"twemproxy:hash=":          "the option hash needs a value",
		"twemproxy:tag={":          "the option tag needs a value of 2 bytes",
		"twemproxy:tag={}}":        "neither a comma nor the end",
		"twemproxy:tag={},":        "nothing follows the comma",
		"twemproxy:eject=yes":      "neither a comma nor the end",
		"twemproxy:eject,eject":    "the option eject is given twice",
		"twemproxy:port=1":         `it has no option "port", only distribution, eject, hash, tag`,
		"twemproxy:,eject":         `it has no option ""`,
		"jedis:labels=newest":      "the option labels is one of new, old",
		"jedis:hash=crc":           "neither murmur nor md5",
		"redis-rb:3":               "3 is none of 4, 5 and 6",
		"redis-rb:0":               `"0" is none of 4, 5 and 6`,
		"redis-rb:six":             `"six" is none of 4, 5 and 6`,
		"predis:KetamaRing":        "neither hashring nor ketama",
		"phpredis:algorithm=tiger": `there is no "tiger"`,
	} {
		p, err := placements.Parse(spec)
		assert.Nil(t, p, spec)
		assert.ErrorContains(t, err, want, spec)
	}
}

func TestEveryNameIsAPlacementAndSaysWhatItIs(t *testing.T) {
	infos := placements.Names()
	assert.Equal(t, "balanced", infos[0].Name)
	for _, info := range infos {
		_, err := placements.Parse(info.Name)
		require.NoError(t, err)
		assert.NotEmpty(t, info.About)
		assert.NotContains(t, info.About, "\n")
		assert.Equal(t, strings.TrimSpace(info.Options), info.Options)
	}
}

func FuzzParse(f *testing.F) {
	for _, spec := range []string{"balanced", "twemproxy:hash=md5,tag={},eject", "jedis:labels=old,tag", "redis-rb:5", "phpredis:algorithm=md5,"} {
		f.Add(spec)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		p, err := placements.Parse(spec)
		if (p == nil) == (err == nil) {
			t.Fatalf("%q: %v, %v", spec, p, err)
		}
	})
}
