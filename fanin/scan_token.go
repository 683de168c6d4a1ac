package fanin

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrToken is for a ScanOptions.Resume that this scan cannot go on from.
var ErrToken = errors.New("fanin: not a token of this scan")

// tokenVersion begins every token. Another form of them gets another number.
const tokenVersion = "scan1."

// progress is how far a scan has come at each node. It is never changed.
type progress struct {
	cmd, key string
	nodes    map[string]place
}

// place is how far it has come at one node.
type place struct {
	Cursor uint64 `json:"c,omitempty"`
	Server string `json:"s,omitempty"` // the run that the cursor is of
	Done   bool   `json:"d,omitempty"`
}

// with returns the progress with another place at one node.
func (p *progress) with(node string, at place) *progress {
	nodes := maps.Clone(p.nodes)
	nodes[node] = at
	return &progress{cmd: p.cmd, key: p.key, nodes: nodes}
}

// tokenBody is what a token holds. Names and keys are bytes, since they may be
// something else than UTF-8.
type tokenBody struct {
	Cmd   string      `json:"cmd"`
	Key   []byte      `json:"key,omitempty"`
	Nodes []tokenNode `json:"nodes"`
}

type tokenNode struct {
	Name []byte `json:"n"`
	place
}

func (p *progress) token() string {
	if p == nil {
		return ""
	}
	body := tokenBody{Cmd: p.cmd, Key: []byte(p.key)}
	for _, name := range slices.Sorted(maps.Keys(p.nodes)) {
		body.Nodes = append(body.Nodes, tokenNode{[]byte(name), p.nodes[name]})
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic("bug: a token that cannot be written: " + err.Error())
	}
	return tokenVersion + base64.RawURLEncoding.EncodeToString(text)
}

// resume reads the places out of a token of the same kind of scan.
func (p *progress) resume(token string) error {
	encoded, ours := strings.CutPrefix(token, tokenVersion)
	if !ours {
		return fmt.Errorf("%w: it does not begin with %s", ErrToken, tokenVersion)
	}
	text, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrToken, err)
	}
	var body tokenBody
	if err := json.Unmarshal(text, &body); err != nil {
		return fmt.Errorf("%w: %w", ErrToken, err)
	}
	if body.Cmd != p.cmd || string(body.Key) != p.key {
		return fmt.Errorf("%w: it is of %s %.40q", ErrToken, body.Cmd, body.Key)
	}
	for _, n := range body.Nodes {
		p.nodes[string(n.Name)] = n.place
	}
	return nil
}
