package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// canary is a password that must never be seen.
const canary = "c4nary-pa55word"

// outcome is what a run left.
type outcome struct {
	status         int
	stdout, stderr string
}

// fluster runs the program with an empty environment. Whatever it says must not
// hold the password that lists of nodes hold here.
func fluster(t *testing.T, stdin string, args ...string) outcome {
	t.Helper()
	return flusterIn(t, map[string]string{}, stdin, args...)
}

func flusterIn(t *testing.T, env map[string]string, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := run(t.Context(), args, strings.NewReader(stdin), &stdout, &stderr, func(name string) string { return env[name] })
	o := outcome{status, stdout.String(), stderr.String()}
	require.NotContains(t, o.stdout+o.stderr, canary)
	return o
}

// succeed runs the program, which must succeed and say nothing beside its output.
func succeed(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	o := fluster(t, stdin, args...)
	require.Equal(t, outcome{stdout: o.stdout}, o)
	return o.stdout
}

// golden compares output with a file. With UPDATE_GOLDEN=1 it writes the file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o666))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got, "%s", file)
}

// background runs the program beside the test.
func background(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer, args ...string) <-chan int {
	status := make(chan int, 1)
	go func() { status <- run(ctx, args, stdin, stdout, stderr, func(string) string { return "" }) }()
	return status
}
