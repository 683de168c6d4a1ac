// Vectorcheck checks the project's placements against all sets of vectors in a
// directory. It prints a line for each set and a total, and fails on a mismatch, on
// a set that it cannot read, and on a directory without sets.
//
//	vectorcheck [DIR]
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/redisfluster/fluster/internal/vectors"
)

// shipped is the directory of the sets that come with the project, from its root.
const shipped = "ring/compat/testdata/vectors"

func main() {
	flag.Usage = func() { _, _ = fmt.Fprintln(flag.CommandLine.Output(), "usage: vectorcheck [DIR]") }
	flag.Parse()
	dir := shipped
	switch flag.NArg() {
	case 0:
	case 1:
		dir = flag.Arg(0)
	default:
		flag.Usage()
		os.Exit(2)
	}
	if err := run(dir, os.Stdout); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "vectorcheck:", err)
		os.Exit(1)
	}
}

// run checks the sets in dir and tells w.
func run(dir string, w io.Writer) error {
	results, err := vectors.CheckAll(dir)
	if err != nil {
		return err
	}
	failed, cells, mismatches := 0, 0, 0
	for _, r := range results {
		cells += r.Cells
		mismatches += r.Mismatches
		if r.Failed() {
			failed++
		}
		if err := tell(w, r); err != nil {
			return err
		}
	}
	if _, err := fmt.Fprintf(w, "%d sets, %d cells, %d mismatches\n", len(results), cells, mismatches); err != nil {
		return err
	}
	if failed > 0 {
		return fmt.Errorf("%d of %d sets failed", failed, len(results))
	}
	return nil
}

// tell writes what came of one set.
func tell(w io.Writer, r vectors.Result) error {
	_, err := fmt.Fprintf(w, "%-28s %6d rows %4d columns %8d cells %6d mismatches\n", r.Name, r.Rows, r.Columns, r.Cells, r.Mismatches)
	for _, m := range r.First {
		_, _ = fmt.Fprintf(w, "    %s\n", m)
	}
	if r.Err != nil {
		_, _ = fmt.Fprintf(w, "    NOT CHECKED: %v\n", r.Err)
	}
	return err
}
