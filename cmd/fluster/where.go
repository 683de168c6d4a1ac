package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"unicode/utf8"

	"github.com/redisfluster/fluster/cmd/fluster/internal/keys"
)

// whereCmd tells the node of each key.
type whereCmd struct {
	fleetFlags  `embed:""`
	streamFlags `embed:""`

	JSON bool     `name:"json" help:"Write a JSON object for each key."`
	Key  []string `arg:"" optional:"" help:"Keys. Without any they are read from standard input, a key per line."`
}

// Help is what --help adds.
func (whereCmd) Help() string {
	return `Writes a line for each key: the key, a tab, and its node. Keys may be any bytes; an empty line is the empty key. With --hex keys are read and written in hexadecimal digits, with --null they and the lines of the output end with a NUL byte.

A key that no live node has is an answer, too: its line has no node, or the node that is out where the placement does not give its keys to others, and the exit status is 1.

With --json a line is {"key": ..., "node": ...}; node is null where there is none, and key_hex stands in for a key that is not UTF-8.

Examples:

    fluster where --nodes redis://10.0.0.1:6379,redis://10.0.0.2:6379 user:42
    fluster where --nodes nodes.yml --down cache3 < keys.txt
    redis-cli --scan | fluster where --nodes nodes.yml | cut -f2 | sort | uniq -c`
}

// Run is called by kong.
func (c *whereCmd) Run(s *session) error {
	f, err := s.open(c.fleetFlags)
	if err != nil {
		return err
	}
	batches := c.stream(s)
	if given := append(c.Key, s.rest...); len(given) > 0 {
		batches = keys.Given(given)
		if c.Hex {
			batches = keys.FromHex(batches)
		}
	}
	t := &teller{fleet: f, write: c.writer(s.stdout, f)}
	if err := t.tellAll(s.stdout, batches); err != nil {
		return err
	}
	return t.verdict(s)
}

// teller tells the nodes of keys, and counts those that no live node has.
type teller struct {
	*fleet
	lost
	write func(key string, node int) error
}

func (t *teller) tellAll(out *bufio.Writer, batches keys.Batches) error {
	for batch, err := range batches {
		if err == nil && len(batch) == 0 {
			err = out.Flush()
		}
		if err == nil {
			err = t.tell(batch)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *teller) tell(batch []string) error {
	for _, key := range batch {
		node := t.view.Locate(key)
		if node < 0 {
			t.homeless++
		} else if !t.live[node] {
			t.stuck++
		}
		if err := t.write(key, node); err != nil {
			return err
		}
	}
	return nil
}

// writer returns what writes one answer to out.
func (c *whereCmd) writer(out *bufio.Writer, f *fleet) func(string, int) error {
	if c.JSON {
		return jsonWriter(out, f, c.Hex)
	}
	endings := c.endings(f)
	if c.Hex {
		return func(key string, node int) error {
			_, _ = out.Write(hex.AppendEncode(out.AvailableBuffer(), []byte(key)))
			_, err := out.WriteString(endings[node+1])
			return err
		}
	}
	return func(key string, node int) error {
		_, _ = out.WriteString(key)
		_, err := out.WriteString(endings[node+1])
		return err
	}
}

// endings are what follows a key on its line, by the position of the node plus 1.
func (c *whereCmd) endings(f *fleet) []string {
	end := string(rune(c.separator()))
	endings := []string{"\t" + end}
	for _, n := range f.nodes {
		endings = append(endings, "\t"+n.Name+end)
	}
	return endings
}

// located is an answer in JSON.
type located struct {
	Key    *string `json:"key,omitempty"`
	KeyHex *string `json:"key_hex,omitempty"`
	Node   *string `json:"node"`
	Down   bool    `json:"down,omitempty"`
}

func jsonWriter(out *bufio.Writer, f *fleet, inHex bool) func(string, int) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	return func(key string, node int) error {
		var answer located
		if inHex || !utf8.ValidString(key) {
			digits := hex.EncodeToString([]byte(key))
			answer.KeyHex = &digits
		} else {
			answer.Key = &key
		}
		if node >= 0 {
			answer.Node, answer.Down = &f.nodes[node].Name, !f.live[node]
		}
		return encoder.Encode(answer)
	}
}
