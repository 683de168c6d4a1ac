// Package placements names the placements that the project has, so that tools
// can be told which one to use.
package placements

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

// Info describes a placement for people.
type Info struct {
	Name    string // what a spec begins with
	Options string // what may follow after a colon, as a synopsis; empty if nothing may
	About   string // one line
}

// Names lists the placements, the default first.
func Names() []Info {
	infos := make([]Info, len(kinds))
	for i, k := range kinds {
		infos[i] = k.Info
	}
	return infos
}

// Parse returns the placement that a spec names: a name of [Names], alone or
// followed by a colon and options with commas between them, such as
// "balanced" or "twemproxy:hash=md5,eject". Its errors say what would have been
// right.
func Parse(spec string) (ring.Placement, error) {
	name, rest, _ := strings.Cut(spec, ":")
	for _, k := range kinds {
		if k.Name == name {
			return k.parse(rest)
		}
	}
	return nil, fmt.Errorf("there is no placement %q, only %s", name, nameList())
}

type kind struct {
	Info

	parse func(options string) (ring.Placement, error)
}

var kinds = []kind{
	{Info{"balanced", "", "the default: even shares, least movement, in any order of the nodes"}, only(ring.Balanced{})},
	{Info{"redis-fluster", "", "redis-fluster for Python: murmur3 modulo the nodes, in the order of the list"}, only(compat.RedisFluster{})},
	{Info{"red-cluster", "", "Red Cluster for Ruby: CRC-32 modulo the nodes, in the order of the list"}, only(compat.RedCluster{})},
	{Info{"go-redis", "", "the Ring of go-redis 8 and 9: a rendezvous over the shards' names"}, only(compat.GoRedisRing{})},
	{Info{"twemproxy", "hash=NAME,distribution=ketama|modula,tag=XY,eject", "twemproxy (nutcracker): as the pool's settings hash, distribution, hash_tag, auto_eject_hosts say"}, twemproxy},
	{Info{"jedis", "hash=murmur|md5,labels=new|old,unnamed,tag", "ShardedJedis: labels=old before 2.10; unnamed for shards without names; tag for the default tag pattern"}, jedis},
	{Info{"redis-rb", "4|5|6", "Redis::Distributed of redis-rb: 4 up to 4.8, 5 with redis-client up to 0.20, 6 (the default) after it"}, redisRb},
	{Info{"predis", "hashring|ketama", "Predis for PHP: the HashRing (the default) or the KetamaRing"}, predis},
	{Info{"phpredis", "consistent,algorithm=NAME", "RedisArray of phpredis, with the options of those names"}, phpRedis},
	{Info{"libketama", "", "libketama"}, only(compat.Libketama{})},
}

func nameList() string {
	var names []string
	for _, k := range kinds {
		names = append(names, k.Name)
	}
	return strings.Join(names, ", ")
}

// only parses the options of a placement that has none.
func only(p ring.Placement) func(string) (ring.Placement, error) {
	return func(text string) (ring.Placement, error) {
		if err := (options{}).parse(text); err != nil {
			return nil, err
		}
		return p, nil
	}
}

func twemproxy(text string) (ring.Placement, error) {
	var p compat.Twemproxy
	err := options{
		"hash":         value(&p.Hash),
		"distribution": value(&p.Distribution),
		"tag":          {to: &p.HashTag, length: 2},
		"eject":        {flag: &p.AutoEject},
	}.parse(text)
	return tried(p, err)
}

func jedis(text string) (ring.Placement, error) {
	var p compat.Jedis
	var labels string
	err := options{
		"hash":    value(&p.Hash),
		"labels":  {to: &labels, oneOf: []string{"new", "old"}},
		"unnamed": {flag: &p.Unnamed},
		"tag":     {flag: &p.Tags},
	}.parse(text)
	p.OldLabels = labels == "old"
	return tried(p, err)
}

func redisRb(text string) (ring.Placement, error) {
	var p compat.RedisRb
	if text == "" {
		return p, nil
	}
	var err error
	if p.Generation, err = strconv.Atoi(text); err != nil || p.Generation == 0 {
		return nil, fmt.Errorf("%q is none of 4, 5 and 6", text)
	}
	return tried(p, nil)
}

func predis(text string) (ring.Placement, error) {
	switch text {
	case "", "hashring":
		return compat.Predis{}, nil
	case "ketama":
		return compat.Predis{Ketama: true}, nil
	}
	return nil, fmt.Errorf("%q is neither hashring nor ketama", text)
}

func phpRedis(text string) (ring.Placement, error) {
	var p compat.PhpRedis
	err := options{
		"consistent": {flag: &p.Consistent},
		"algorithm":  value(&p.Algorithm),
	}.parse(text)
	return tried(p, err)
}

// tried returns p unless its settings are wrong, which only Build tells.
func tried(p ring.Placement, err error) (ring.Placement, error) {
	if err == nil {
		_, err = p.Build([]ring.Node{{Name: "a"}})
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}
