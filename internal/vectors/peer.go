package vectors

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/redisfluster/fluster/internal/placements"
	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

// peer is a client whose placement the project has.
type peer struct {
	name  string   // of the placement; empty for hash slots
	words []string // how sets call it, in lower case
	spec  func(s *set, c column) (options string, err error)
	node  func(s *set, i int, n nodeSpec) (ring.Node, error)
}

var peers = []peer{
	{"", []string{"keyslot", "cluster_slots", "cluster slots", "redis cluster"}, nil, nil},
	{"redis-fluster", []string{"redis-fluster", "redis_fluster", "fluster"}, noOptions, byPosition},
	{"red-cluster", []string{"red_cluster", "red-cluster", "red cluster", "redcluster"}, noOptions, byPosition},
	{"go-redis", []string{"go-redis", "go_redis", "goredis"}, noOptions, unweighted},
	{"twemproxy", []string{"twemproxy", "nutcracker"}, twemproxySpec, twemproxyNode},
	{"jedis", []string{"jedis"}, jedisSpec, jedisNode},
	{"redis-rb", []string{"redis-rb", "redis_rb", "redisrb", "redis::distributed"}, redisRbSpec, redisRbNode},
	{"phpredis", []string{"phpredis", "redisarray"}, phpRedisSpec, unweighted},
	{"predis", []string{"predis"}, predisSpec, weighted},
	{"libketama", []string{"libketama", "rj/ketama", "ketama_get_server"}, noOptions, weighted},
	{"balanced", []string{"ring.balanced", "balanced"}, noOptions, weighted},
}

// peerOf finds out whose set s is: what is mentioned first in its peer, or else in
// its name. Peers tell what they were built on later.
func (s *set) peerOf() (peer, error) {
	for _, text := range []string{s.Peer, s.Name} {
		text = strings.ToLower(text)
		best, at := peer{}, len(text)
		for _, p := range peers {
			for _, w := range p.words {
				if i := strings.Index(text, w); i >= 0 && i < at {
					best, at = p, i
				}
			}
		}
		if at < len(text) {
			return best, nil
		}
	}
	return peer{}, fmt.Errorf("there is no placement for %q (%s)", s.Name, s.Peer)
}

// locator returns what says the cells of a column.
func (s *set) locator(c column) (locate, error) {
	p, err := s.peerOf()
	if err != nil {
		return nil, err
	}
	if p.name == "" {
		return compat.Slot, nil
	}
	specs, ok := s.NodeSets[c.Nodes]
	if !ok {
		return nil, fmt.Errorf("there is no node set %q", c.Nodes)
	}
	live := make([]bool, len(specs))
	nodes := make([]ring.Node, len(specs))
	for i, n := range specs {
		live[i] = true
		if nodes[i], err = p.node(s, i, n); err != nil {
			return nil, fmt.Errorf("node %d of %s: %w", i, c.Nodes, err)
		}
	}
	for _, i := range c.Down {
		if i < 0 || i >= len(live) {
			return nil, fmt.Errorf("there is no node %d that could be down", i)
		}
		live[i] = false
	}
	built, err := build(p, s, c, nodes)
	if err != nil {
		return nil, err
	}
	return built.View(live).Locate, nil
}

func build(p peer, s *set, c column, nodes []ring.Node) (ring.Ring, error) {
	options, err := p.spec(s, c)
	if err != nil {
		return nil, err
	}
	spec := p.name
	if options != "" {
		spec += ":" + options
	}
	placement, err := placements.Parse(spec)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", spec, err)
	}
	return placement.Build(nodes)
}

// word returns an option that is text, or what it is by default.
func (c column) word(name, byDefault string) (string, error) {
	switch v := c.Options[name].(type) {
	case nil:
		return byDefault, nil
	case string:
		return v, nil
	}
	return "", fmt.Errorf("the option %s is no text", name)
}

// flag returns an option that is true or false.
func (c column) flag(name string) (bool, error) {
	switch v := c.Options[name].(type) {
	case nil:
		return false, nil
	case bool:
		return v, nil
	}
	return false, fmt.Errorf("the option %s is neither true nor false", name)
}

// known checks that a column has no options but these.
func (c column) known(names ...string) error {
	for name := range c.Options {
		if !slices.Contains(names, name) {
			return fmt.Errorf("the option %q is not known", name)
		}
	}
	return nil
}

func noOptions(_ *set, c column) (string, error) { return "", c.known() }

// version returns the numbers of the version that follows a word in the set's peer or
// its name: major and minor.
func (s *set) version(word string) (major, minor int, ok bool) {
	pattern := regexp.MustCompile(word + `[^0-9a-z]*(?:v|version)?[^0-9a-z]*(\d+)(?:\.(\d+))?`)
	for _, text := range []string{s.Peer, s.Name} {
		if m := pattern.FindStringSubmatch(strings.ToLower(text)); m != nil {
			major, _ = strconv.Atoi(m[1])
			minor, _ = strconv.Atoi(m[2])
			return major, minor, true
		}
	}
	return 0, 0, false
}

// byPosition is for peers to which only the order of the list counts.
func byPosition(_ *set, i int, _ nodeSpec) (ring.Node, error) {
	return ring.Node{Name: strconv.Itoa(i)}, nil
}

// unweighted is for peers without weights.
func unweighted(_ *set, _ int, n nodeSpec) (ring.Node, error) {
	return ring.Node{Name: n.label()}, nil
}

func weighted(_ *set, _ int, n nodeSpec) (ring.Node, error) {
	return ring.Node{Name: n.label(), Weight: n.Weight}, nil
}

// label returns what the client hashes, which is the address if nothing is said.
func (n nodeSpec) label() string {
	switch {
	case n.Label != "":
		return n.Label
	case n.Name != "":
		return n.Name
	case n.Host != "":
		return n.Host + ":" + strconv.Itoa(n.Port)
	}
	return n.Addr
}
