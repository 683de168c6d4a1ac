package vectors

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// set is the JSON of a set.
type set struct {
	Name     string                `json:"name"`
	Peer     string                `json:"peer"`
	Blank    string                `json:"blank"` // what an empty cell means, if there may be any
	Columns  []column              `json:"columns"`
	NodeSets map[string][]nodeSpec `json:"node_sets"`
}

// column is one configuration of the client.
type column struct {
	Name    string         `json:"name"`
	Nodes   string         `json:"nodes"`   // the key of a node set; empty for hash slots
	Down    []int          `json:"down"`    // positions of nodes that are out or removed
	Options map[string]any `json:"options"` // in the client's own words
}

// nodeSpec is a node as the client was told of it.
type nodeSpec struct {
	Label  string `json:"label"` // what the client hashes
	Weight int    `json:"weight"`
	Addr   string `json:"addr"`
	Server string `json:"server"` // a line of twemproxy's file
	URL    string `json:"url"`
	ID     string `json:"id"`
	Host   string `json:"host"`
	Port   int    `json:"port"`
	Name   string `json:"name"`
}

func readSet(file string) (*set, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	s := &set{}
	if err := json.Unmarshal(text, s); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	if len(s.Columns) == 0 {
		return nil, fmt.Errorf("%s: it has no columns", filepath.Base(file))
	}
	return s, nil
}

// openTable opens the table of a set, compressed or not.
func openTable(dir, name string) (io.ReadCloser, error) {
	plain, err := os.Open(filepath.Join(dir, name+".csv"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	packed, packedErr := os.Open(filepath.Join(dir, name+".csv.gz"))
	switch {
	case packedErr == nil && err == nil:
		plain.Close()
		packed.Close()
		return nil, fmt.Errorf("both %s.csv and %s.csv.gz are there", name, name)
	case packedErr != nil && err == nil:
		return plain, nil
	case packedErr != nil:
		return nil, packedErr
	}
	unpacked, err := gzip.NewReader(packed)
	if err != nil {
		packed.Close()
		return nil, fmt.Errorf("%s.csv.gz: %w", name, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{unpacked, packed}, nil
}
