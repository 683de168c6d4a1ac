// Package nodelist reads lists of nodes: from URLs, from YAML or JSON, and from
// the configuration of twemproxy. It reads the files that it is told of and
// connects to nothing.
//
// Lists hold passwords, in URLs and elsewhere. Nothing that this package returns
// has them, not even its errors: those name file, line and field, never a value.
package nodelist

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Node is a member of a list.
type Node struct {
	// Name is who the node is. It is unique within its list.
	Name string
	// Addr is where it is: host:port, or the path of a socket. It may be empty.
	Addr string
	// URL is where it is, as a URL without user, password and options.
	URL string
	// Weight is its share of the keys beside the others', or 0 if the list has none.
	Weight int
	// Named tells that the list names the node. Otherwise its name is its address.
	Named bool
}

// List is what was read.
type List struct {
	Nodes []Node
	// Source is where the list comes from, for people to read.
	Source string
	// Placement is the one that the file asks for, as a spec, or is empty.
	Placement string
}

// Read reads a list. Where is a file, or URLs with commas between them: it is
// URLs if it holds "://". Pool chooses one of several pools in a file of
// twemproxy's; otherwise it is empty.
func Read(where, pool string) (List, error) {
	if strings.Contains(where, "://") {
		if pool != "" {
			return List{}, errors.New("a pool can only be chosen from a file of twemproxy's, not from URLs")
		}
		return fromURLs(where)
	}
	data, err := os.ReadFile(where)
	if err != nil {
		return List{}, unreadable(where, err)
	}
	return Parse(where, data, pool)
}

// unreadable tells why a file cannot be read. It repeats what was given only if
// that cannot be a mistyped URL with a password.
func unreadable(where string, err error) error {
	if pathErr := (*fs.PathError)(nil); errors.As(err, &pathErr) {
		err = pathErr.Err
	}
	if strings.Contains(where, "@") {
		return fmt.Errorf("neither a file nor URLs such as redis://host:6379: %w", err)
	}
	if errors.Is(err, fs.ErrNotExist) && strings.Contains(where, ":") {
		return fmt.Errorf("%s: %w (a URL is written redis://host:6379)", where, err)
	}
	return fmt.Errorf("%s: %w", where, err)
}

// check refuses a list that cannot be placed on. At tells where a node stands.
func check(nodes []Node, at func(i int) string) error {
	seen := make(map[string]int, len(nodes))
	for i, n := range nodes {
		if first, twice := seen[n.Name]; twice {
			return fmt.Errorf("%s: %q is the name of %s too", at(i), n.Name, at(first))
		}
		seen[n.Name] = i
	}
	return nil
}
