package nodelist

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxWeight is the greatest weight that a URL may have, too.
const maxWeight = 1 << 20

// Parse reads a list from the text of a file, YAML or JSON (which is YAML, too).
// It is a list of nodes, or a map with the fields nodes and placement, or a
// configuration of twemproxy's: a map of pools. File names it in errors.
func Parse(file string, data []byte, pool string) (List, error) {
	r := reader{file: file}
	root, err := r.root(data)
	if err != nil {
		return List{}, err
	}
	if isProxy(root) {
		return r.proxy(root, pool)
	}
	if pool != "" {
		return List{}, fmt.Errorf("%s: it has no pools: only a file of twemproxy's does", file)
	}
	return r.list(root)
}

// reader reads a tree of YAML. Its errors name file, line and field.
type reader struct{ file string }

// flaw says what is wrong with the field that stands at n.
func (r reader) flaw(n *yaml.Node, field, format string, args ...any) error {
	where := fmt.Sprintf("%s:%d: ", r.file, n.Line)
	if field != "" {
		where += field + ": "
	}
	return errors.New(where + fmt.Sprintf(format, args...))
}

// root parses the text of a file.
func (r reader) root(data []byte) (*yaml.Node, error) {
	var document, further yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF), err == nil && len(document.Content) == 0:
		return nil, fmt.Errorf("%s: the file is empty", r.file)
	case err != nil:
		return nil, r.syntax(err)
	}
	switch err := decoder.Decode(&further); {
	case err == nil:
		return nil, r.flaw(&further, "", "the file holds more than one document")
	case !errors.Is(err, io.EOF):
		return nil, r.syntax(err)
	}
	return resolve(document.Content[0]), nil
}

// notText is what the parser says about the shape of a text, without a piece of it.
var notText = regexp.MustCompile(`^yaml: (?:line (\d+): )?([A-Za-z0-9' ,:;\-\[\]{}]+)$`)

// notDecoded is what the parser says about text that is none, without a line.
var notDecoded = regexp.MustCompile(`UTF-|control characters|Unicode`)

// syntax tells where a file is no YAML. What the parser says is repeated only if
// it quotes nothing of the file.
func (r reader) syntax(err error) error {
	found := notText.FindStringSubmatch(err.Error())
	if found == nil || strings.Contains(found[2], "anchor") {
		return fmt.Errorf("%s: this is neither YAML nor JSON", r.file)
	}
	line := found[1]
	if line == "" && !notDecoded.MatchString(found[2]) {
		line = "1" // which the parser leaves out
	}
	if line != "" {
		line = ":" + line
	}
	return fmt.Errorf("%s%s: this is neither YAML nor JSON: %s", r.file, line, found[2])
}

// resolve follows an alias. Nothing here goes deeper than a node's fields, so
// aliases cannot make a small file large.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

// list reads a list of nodes, or a map that has one.
func (r reader) list(root *yaml.Node) (List, error) {
	list := List{Source: r.file}
	if root.Kind == yaml.MappingNode {
		err := r.fields(root, "", fieldReaders{
			"placement": r.checked(&list.Placement, nameFlaw),
			"nodes":     func(field string, n *yaml.Node) error { root = n; return nil },
		})
		if err != nil {
			return List{}, err
		}
		if root.Kind == yaml.MappingNode {
			return List{}, r.flaw(root, "nodes", "is missing, or is not a list")
		}
	}
	if root.Kind != yaml.SequenceNode {
		return List{}, r.flaw(root, "nodes", "is not a list of nodes")
	}
	if len(root.Content) == 0 {
		return List{}, r.flaw(root, "nodes", "is empty")
	}
	for i, item := range root.Content {
		n, err := r.node(fmt.Sprintf("nodes[%d]", i), resolve(item))
		if err != nil {
			return List{}, err
		}
		list.Nodes = append(list.Nodes, n)
	}
	return list, check(list.Nodes, func(i int) string {
		return fmt.Sprintf("%s:%d: nodes[%d]", r.file, root.Content[i].Line, i)
	})
}

// node reads one node: a URL, an address, or a map.
func (r reader) node(field string, n *yaml.Node) (Node, error) {
	if n.Kind == yaml.ScalarNode {
		return r.scalarNode(field, n)
	}
	if n.Kind != yaml.MappingNode {
		return Node{}, r.flaw(n, field, "is neither a map nor a URL nor an address")
	}
	var node Node
	var name, address string
	weight := 0
	err := r.fields(n, field+".", fieldReaders{
		"name":    r.checked(&name, nameFlaw),
		"address": r.checked(&address, addressFlaw),
		"url":     r.url(&node),
		"weight":  r.weight(&weight),
	})
	switch {
	case err != nil:
		return Node{}, err
	case address != "" && node.Addr != "":
		return Node{}, r.flaw(n, field, "has both an address and a url")
	case address != "":
		node = fromAddress(address)
	case name == "" && node.Name == "":
		return Node{}, r.flaw(n, field, "has no name, address or url")
	}
	node.Name, node.Named = cmp.Or(name, node.Name), name != "" || node.Named
	node.Weight = cmp.Or(weight, node.Weight)
	return node, nil
}

// scalarNode reads a node that is a URL or an address.
func (r reader) scalarNode(field string, n *yaml.Node) (Node, error) {
	var node Node
	if strings.Contains(n.Value, "://") {
		return node, r.url(&node)(field, n)
	}
	var address string
	if err := r.checked(&address, addressFlaw)(field, n); err != nil {
		return node, err
	}
	return fromAddress(address), nil
}

// fieldReaders read the fields of a map, by their names.
type fieldReaders map[string]func(field string, n *yaml.Node) error

// fields reads the fields of a map and refuses those that it does not know.
func (r reader) fields(m *yaml.Node, prefix string, read fieldReaders) error {
	seen := make(map[string]bool)
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := resolve(m.Content[i]), resolve(m.Content[i+1])
		switch {
		case read[key.Value] == nil:
			return r.flaw(m.Content[i], prefix+shown(key), "unknown field; there are %s", strings.Join(slices.Sorted(maps.Keys(read)), ", "))
		case seen[key.Value]:
			return r.flaw(m.Content[i], prefix+key.Value, "is given twice")
		}
		seen[key.Value] = true
		if err := read[key.Value](prefix+key.Value, value); err != nil {
			return err
		}
	}
	return nil
}

// fieldName is what a field may look like for an error to repeat it: what else
// stands there may be a URL in the wrong place.
var fieldName = regexp.MustCompile(`^[A-Za-z_]{1,24}$`)

func shown(key *yaml.Node) string {
	if key.Kind == yaml.ScalarNode && fieldName.MatchString(key.Value) {
		return key.Value
	}
	return "(a field)"
}

// text reads a string, as it is written: 007 stays 007.
func (r reader) text(to *string) func(string, *yaml.Node) error {
	return r.checked(to, func(s string) string {
		if s == "" {
			return "is empty"
		}
		return ""
	})
}

// checked reads a string that flaw finds no fault with.
func (r reader) checked(to *string, flaw func(string) string) func(string, *yaml.Node) error {
	return func(field string, n *yaml.Node) error {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			return r.flaw(n, field, "is not a string")
		}
		if f := flaw(n.Value); f != "" {
			return r.flaw(n, field, "%s", f)
		}
		*to = n.Value
		return nil
	}
}

// url reads a node's URL.
func (r reader) url(to *Node) func(string, *yaml.Node) error {
	return func(field string, n *yaml.Node) error {
		var raw string
		if err := r.text(&raw)(field, n); err != nil {
			return err
		}
		node, err := fromURL(raw)
		if err != nil {
			return r.flaw(n, field, "%v", err)
		}
		*to = node
		return nil
	}
}

// weight reads a weight.
func (r reader) weight(to *int) func(string, *yaml.Node) error {
	return func(field string, n *yaml.Node) error {
		w, err := strconv.Atoi(n.Value)
		if n.Kind != yaml.ScalarNode || err != nil || w < 1 || w > maxWeight {
			return r.flaw(n, field, "is not a whole number from 1 to %d", maxWeight)
		}
		*to = w
		return nil
	}
}
