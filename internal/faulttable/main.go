// Command faulttable runs the tests of the fault matrix and prints what they saw as
// a table in Markdown. It fails if a row is broken or has no test; a row that this
// machine cannot run is named.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/redisfluster/fluster/internal/redistest"
)

func main() {
	run := flag.String("run", "^TestRow", "the tests to run, as for go test; some only: the table is then not checked for rows that are missing")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := faults(ctx, *run, *run == flag.Lookup("run").DefValue); err != nil {
		fmt.Fprintln(os.Stderr, "faulttable:", err)
		os.Exit(1)
	}
}

// faults runs the tests and prints the table.
func faults(ctx context.Context, run string, all bool) error {
	dir, err := os.MkdirTemp("", "faults")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "rows")
	tested := test(ctx, run, file)
	rows, err := read(file)
	if err != nil {
		return errors.Join(tested, err)
	}
	fmt.Print(table(rows))
	if all {
		tested = errors.Join(tested, missing(rows))
	}
	return tested
}

// test runs the tests in every module of the workspace, with what they print on
// standard error. Those that are shorter by default take their time.
func test(ctx context.Context, run, file string) error {
	modules, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return fmt.Errorf("list the modules: %w", err)
	}
	var failed error
	for dir := range bytes.Lines(modules) {
		// In each package by itself: what is measured should not be what another does.
		cmd := exec.CommandContext(ctx, "go", "test", "-tags=faults", "-count=1", "-p=1", "-timeout=20m", "-run", run, "./...")
		cmd.Dir = strings.TrimSpace(string(dir))
		cmd.Env = append(os.Environ(), redistest.RowsFile+"="+file, "FLUSTER_FAULTS=whole")
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
		if err := cmd.Run(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("tests in %s: %w", cmd.Dir, err))
		}
	}
	return failed
}
