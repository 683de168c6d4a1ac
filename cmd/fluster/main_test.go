package main

import (
	"bufio"
	"errors"
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

func TestSIGINTEndsTheProcessCleanly(t *testing.T) {
	cmd := process(t, "where", "--nodes", three)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	_, err = io.WriteString(stdin, "a\n")
	require.NoError(t, err)
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "a\tcache2\n", line)

	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	_, err = lines.ReadString('\n')
	assert.ErrorIs(t, err, io.EOF)
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	assert.Equal(t, 130, exit.ExitCode())
	assert.Equal(t, "fluster: interrupted\n", stderr.String())
}

func TestAReaderThatHasEnoughEndsTheProcessQuietly(t *testing.T) {
	cmd := process(t, "where", "--nodes", three)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	require.NoError(t, stdout.Close())
	for err == nil {
		_, err = io.WriteString(stdin, "a\n")
	}
	var exit *exec.ExitError
	require.ErrorAs(t, cmd.Wait(), &exit)
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		assert.Equal(t, syscall.SIGPIPE, status.Signal())
	} else {
		assert.Equal(t, 141, exit.ExitCode())
	}
	assert.Empty(t, stderr.String())
	assert.False(t, errors.Is(err, os.ErrDeadlineExceeded))
}
