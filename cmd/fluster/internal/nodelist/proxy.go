package nodelist

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/redisfluster/fluster/ring/compat"
)

// proxyDefaults are what twemproxy does if its file says nothing.
var proxyDefaults = proxyPool{hash: "fnv1a_64", distribution: "ketama"}

// proxyPool is what a pool of twemproxy's says about placement.
type proxyPool struct {
	hash, distribution, tag string
	eject                   bool
	nodes                   []Node
}

// isProxy tells a configuration of twemproxy's: a map of maps.
func isProxy(root *yaml.Node) bool {
	if root.Kind != yaml.MappingNode || len(root.Content) == 0 {
		return false
	}
	for i := 1; i < len(root.Content); i += 2 {
		if resolve(root.Content[i]).Kind != yaml.MappingNode {
			return false
		}
	}
	return true
}

// proxy reads one pool of a configuration of twemproxy's.
func (r reader) proxy(root *yaml.Node, wanted string) (List, error) {
	pools := make(map[string]*yaml.Node)
	for i := 0; i < len(root.Content); i += 2 {
		name := resolve(root.Content[i])
		if nameFlaw(name.Value) != "" || name.Kind != yaml.ScalarNode {
			return List{}, r.flaw(root.Content[i], "", "the pool's name cannot be one")
		}
		if pools[name.Value] != nil {
			return List{}, r.flaw(root.Content[i], name.Value, "is given twice")
		}
		pools[name.Value] = resolve(root.Content[i+1])
	}
	names := strings.Join(slices.Sorted(maps.Keys(pools)), ", ")
	switch {
	case wanted == "" && len(pools) > 1:
		return List{}, fmt.Errorf("%s: which of its pools? There are %s", r.file, names)
	case wanted == "":
		wanted = names
	case pools[wanted] == nil:
		return List{}, fmt.Errorf("%s: it has no pool %q; there are %s", r.file, wanted, names)
	}
	p, err := r.pool(wanted, pools[wanted])
	if err != nil {
		return List{}, err
	}
	return List{Nodes: p.nodes, Source: r.file + ", pool " + wanted, Placement: p.placement()}, nil
}

// pool reads a pool. What has no part in placement is known, and not looked at.
func (r reader) pool(name string, n *yaml.Node) (proxyPool, error) {
	p := proxyDefaults
	p.nodes = nil
	read := fieldReaders{
		"hash":             r.checked(&p.hash, wordFlaw),
		"distribution":     r.checked(&p.distribution, wordFlaw),
		"hash_tag":         r.checked(&p.tag, tagFlaw),
		"auto_eject_hosts": r.flag(&p.eject),
		"servers":          r.servers(&p.nodes),
	}
	for _, other := range []string{
		"listen", "client_connections", "timeout", "backlog", "preconnect", "redis", "redis_auth", "redis_db",
		"tcpkeepalive", "reuse_port", "server_connections", "server_retry_timeout", "server_failure_limit",
	} {
		read[other] = func(string, *yaml.Node) error { return nil }
	}
	if err := r.fields(n, name+".", read); err != nil {
		return p, err
	}
	if p.nodes == nil {
		return p, r.flaw(n, name+".servers", "is missing")
	}
	return p, nil
}

// word is what twemproxy's hashes and distributions are called.
var word = regexp.MustCompile(`^[a-z0-9_]+$`)

func wordFlaw(s string) string {
	if !word.MatchString(s) {
		return "is not a name that twemproxy knows"
	}
	return ""
}

func tagFlaw(tag string) string {
	if len(tag) != 2 {
		return "is not two characters, such as {}"
	}
	return nameFlaw(tag)
}

// flag reads a boolean as twemproxy does.
func (r reader) flag(to *bool) func(string, *yaml.Node) error {
	return func(field string, n *yaml.Node) error {
		if n.Kind != yaml.ScalarNode || n.Value != "true" && n.Value != "false" {
			return r.flaw(n, field, "is neither true nor false")
		}
		*to = n.Value == "true"
		return nil
	}
}

// servers reads the list of a pool's servers.
func (r reader) servers(to *[]Node) func(string, *yaml.Node) error {
	return func(field string, n *yaml.Node) error {
		if n.Kind != yaml.SequenceNode || len(n.Content) == 0 {
			return r.flaw(n, field, "is not a list of servers")
		}
		for i, item := range n.Content {
			server, err := r.server(fmt.Sprintf("%s[%d]", field, i), resolve(item))
			if err != nil {
				return err
			}
			*to = append(*to, server)
		}
		return check(*to, func(i int) string {
			return fmt.Sprintf("%s:%d: %s[%d]", r.file, resolve(n.Content[i]).Line, field, i)
		})
	}
}

// server reads a server's line.
func (r reader) server(field string, line *yaml.Node) (Node, error) {
	if line.Kind != yaml.ScalarNode {
		return Node{}, r.flaw(line, field, "is not a server's line")
	}
	server, addr, err := compat.TwemproxyServer(line.Value)
	if err != nil {
		return Node{}, r.flaw(line, field, "%s", strings.TrimPrefix(err.Error(), "compat: "))
	}
	if flaw := addressFlaw(addr); flaw != "" {
		return Node{}, r.flaw(line, field, "its address %s", flaw)
	}
	if flaw := nameFlaw(server.Name); flaw != "" {
		return Node{}, r.flaw(line, field, "its name %s", flaw)
	}
	n := fromAddress(addr)
	n.Name, n.Weight, n.Named = server.Name, server.Weight, true
	return n, nil
}

// placement is the spec of the pool's placement.
func (p proxyPool) placement() string {
	spec := "twemproxy:hash=" + p.hash + ",distribution=" + p.distribution
	if p.tag != "" {
		spec += ",tag=" + p.tag
	}
	if p.eject {
		spec += ",eject"
	}
	return spec
}
