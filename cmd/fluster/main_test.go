package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runMain makes the test binary run the program itself, for tests of what only a
// process of its own can show.
const runMain = "FLUSTER_TEST_RUN_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(runMain) != "" {
		main()
	}
	os.Exit(m.Run())
}

// process is the program as a process.
func process(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("there are no such signals")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), runMain+"=1")
	return cmd
}

func TestTheProcessEndsWithTheStatus(t *testing.T) {
	out, err := process(t, "where", "--nodes", three, "a").Output()
	require.NoError(t, err)
	assert.Equal(t, "a\tcache2\n", string(out))

	var exit *exec.ExitError
	_, err = process(t, "where").Output()
	require.ErrorAs(t, err, &exit)
	assert.Equal(t, 2, exit.ExitCode())
	assert.Contains(t, string(exit.Stderr), "fluster: ")
}

// conversation is a process that reads keys and writes nodes.
type conversation struct {
	*exec.Cmd

	keys  io.Writer
	nodes io.ReadCloser
	noise strings.Builder
}

func converse(t *testing.T) *conversation {
	t.Helper()
	c := &conversation{Cmd: process(t, "where", "--nodes", three)}
	c.Stderr = &c.noise
	keys, err := c.StdinPipe()
	require.NoError(t, err)
	c.keys = keys
	c.nodes, err = c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	return c
}

func TestSIGINTEndsTheProcessCleanly(t *testing.T) {
	c := converse(t)
	_, err := io.WriteString(c.keys, "a\n")
	require.NoError(t, err)
	lines := bufio.NewReader(c.nodes)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "a\tcache2\n", line)

	require.NoError(t, c.Process.Signal(os.Interrupt))
	_, err = lines.ReadString('\n')
	assert.ErrorIs(t, err, io.EOF)
	var exit *exec.ExitError
	require.ErrorAs(t, c.Wait(), &exit)
	assert.Equal(t, 130, exit.ExitCode())
	assert.Equal(t, "fluster: interrupted\n", c.noise.String())
}

func TestAReaderThatHasEnoughEndsTheProcessQuietly(t *testing.T) {
	c := converse(t)
	err := c.nodes.Close()
	for err == nil {
		_, err = io.WriteString(c.keys, "a\n")
	}
	var exit *exec.ExitError
	require.ErrorAs(t, c.Wait(), &exit)
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		assert.Equal(t, syscall.SIGPIPE, status.Signal())
	} else {
		assert.Equal(t, 141, exit.ExitCode())
	}
	assert.Empty(t, c.noise.String())
}
