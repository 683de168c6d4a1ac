// Package vectors checks placements against sets of vectors: keys, and where other
// clients' own code put them.
//
// A set is two files. NAME.json says which client it was, with which nodes and
// settings; NAME.csv.gz or NAME.csv has a line for each key and a column for each
// configuration. The package finds out from the JSON which placement of the project
// should agree, so that sets it has never seen can be checked as well.
package vectors

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Result is what came of one set.
type Result struct {
	Name       string
	Rows       int
	Columns    int
	Cells      int      // those that say something
	Mismatches int      // of these
	First      []string // the first few mismatches, in words
	Err        error    // why the set could not be checked, or not all of it
}

// Failed reports a set that could not be checked or with which the project
// disagrees.
func (r Result) Failed() bool { return r.Err != nil || r.Mismatches > 0 }

// CheckAll checks all sets in a directory, in the order of their names. It returns
// an error if the directory cannot be read or has no sets.
func CheckAll(dir string) ([]Result, error) {
	names, err := find(dir)
	if err != nil {
		return nil, err
	}
	results := make([]Result, 0, len(names))
	for _, name := range names {
		results = append(results, Check(dir, name))
	}
	return results, nil
}

var (
	errNoSets  = errors.New("no sets of vectors there")
	extensions = []string{".json", ".csv.gz", ".csv"}
)

// find returns the names of the sets in a directory, those of half sets included.
func find(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		for _, ext := range extensions {
			if name, ok := strings.CutSuffix(e.Name(), ext); ok && !e.IsDir() {
				names = append(names, name)
				break
			}
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s: %w", dir, errNoSets)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Check checks one set.
func Check(dir, name string) Result {
	res := Result{Name: name}
	s, err := readSet(filepath.Join(dir, name+".json"))
	if err != nil {
		res.Err = err
		return res
	}
	s.Name = cmp.Or(s.Name, name)
	res.Columns = len(s.Columns)
	file, err := openTable(dir, name)
	if err != nil {
		res.Err = err
		return res
	}
	defer file.Close()
	res.Err = s.check(file, &res)
	return res
}
