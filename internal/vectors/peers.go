package vectors

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

func twemproxySpec(_ *set, c column) (string, error) {
	if err := c.known("hash", "distribution", "hash_tag", "auto_eject_hosts"); err != nil {
		return "", err
	}
	hash, err := c.word("hash", "fnv1a_64")
	if err != nil {
		return "", err
	}
	distribution, err := c.word("distribution", "ketama")
	if err != nil {
		return "", err
	}
	spec := "hash=" + hash + ",distribution=" + distribution
	tag, err := c.word("hash_tag", "")
	if err != nil {
		return "", err
	}
	if tag != "" {
		spec += ",tag=" + tag
	}
	eject, err := c.flag("auto_eject_hosts")
	if eject {
		spec += ",eject"
	}
	return spec, err
}

// twemproxyNode reads the line of twemproxy's file, and makes sure that it stands for
// the label, where there are both.
func twemproxyNode(s *set, i int, n nodeSpec) (ring.Node, error) {
	if n.Server == "" {
		return weighted(s, i, n)
	}
	node, _, err := compat.TwemproxyServer(n.Server)
	if err == nil && n.Label != "" && n.Label != node.Name {
		err = fmt.Errorf("the server is called %q, but its label is %q", node.Name, n.Label)
	}
	return node, err
}

func jedisSpec(s *set, c column) (string, error) {
	if err := c.known("hash", "tag"); err != nil {
		return "", err
	}
	hash, err := c.word("hash", "murmur")
	if err != nil {
		return "", err
	}
	spec := "hash=" + strings.ToLower(hash)
	if major, minor, ok := s.version("jedis"); ok && (major < 2 || major == 2 && minor < 10) {
		spec += ",labels=old"
	}
	tag, err := c.flag("tag")
	if tag {
		spec += ",tag"
	}
	return spec, err
}

// jedisNode calls shards without a name as Jedis labels them.
func jedisNode(_ *set, i int, n nodeSpec) (ring.Node, error) {
	name := cmp.Or(n.Name, n.Label, "SHARD-"+strconv.Itoa(i)+"-NODE-")
	return ring.Node{Name: name, Weight: n.Weight}, nil
}

func redisRbSpec(s *set, c column) (string, error) {
	if err := c.known(); err != nil {
		return "", err
	}
	generation, err := s.redisRbGeneration()
	return strconv.Itoa(generation), err
}

func (s *set) redisRbGeneration() (int, error) {
	major, _, ok := s.version(`(?:redis.rb|redisrb)`)
	if !ok {
		return 0, fmt.Errorf("which version of redis-rb is %q?", s.Peer)
	}
	clientMajor, clientMinor, ok := s.version(`(?:redis.client|rc)`)
	switch {
	case major < 5:
		return 4, nil
	case ok && clientMajor == 0 && clientMinor < 21:
		return 5, nil
	}
	return 6, nil
}

// redisRbNode makes the node's id of its URL, and makes sure that it is the label,
// where there are both.
func redisRbNode(s *set, _ int, n nodeSpec) (ring.Node, error) {
	generation, err := s.redisRbGeneration()
	if err != nil {
		return ring.Node{}, err
	}
	id := n.ID
	if id == "" && n.URL != "" {
		if id, err = (compat.RedisRb{Generation: generation}).NodeID(n.URL); err != nil {
			return ring.Node{}, err
		}
	}
	switch {
	case id == "":
		id = n.label()
	case n.Label != "" && n.Label != id:
		return ring.Node{}, fmt.Errorf("the id is %q, but the label is %q", id, n.Label)
	}
	return ring.Node{Name: id}, nil
}

func predisSpec(s *set, c column) (string, error) {
	if err := c.known("ring"); err != nil {
		return "", err
	}
	byDefault := "hashring"
	if strings.Contains(strings.ToLower(s.Peer+s.Name), "ketama") {
		byDefault = "ketama"
	}
	kind, err := c.word("ring", byDefault)
	if kind = strings.ToLower(kind); kind != "hashring" {
		kind = strings.TrimSuffix(kind, "ring") // the KetamaRing
	}
	return kind, err
}

func phpRedisSpec(_ *set, c column) (string, error) {
	if err := c.known("consistent", "algorithm"); err != nil {
		return "", err
	}
	consistent, err := c.flag("consistent")
	if err != nil {
		return "", err
	}
	algorithm, err := c.word("algorithm", "")
	var options []string
	if consistent {
		options = append(options, "consistent")
	}
	if algorithm != "" {
		options = append(options, "algorithm="+algorithm)
	}
	return strings.Join(options, ","), err
}
