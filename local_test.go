package fluster_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
)

// childServers tells a child process of this test which servers to use.
const childServers = "FLUSTER_TEST_SERVERS"

// A process without a free descriptor must blame itself, not its nodes. It is a
// child, since the limit is the whole process's.
func TestRow42WithoutDescriptorsNoNodeIsOut(t *testing.T) {
	if addrs := os.Getenv(childServers); addrs != "" {
		starve(beginTrial(t, 42, "no descriptor is free", "RLIMIT_NOFILE, in a child"), strings.Split(addrs, ","))
		return
	}
	var addrs []string
	for _, s := range startServers(t, 3, "--requirepass", canary) {
		addrs = append(addrs, s.Addr())
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	child.Env = append(os.Environ(), childServers+"="+strings.Join(addrs, ","))
	out, err := child.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS", "the child ran the test")
}

func starve(r *trial, addrs []string) {
	t := r.t
	cfg := fluster.Config{Health: health.Config{Interval: 20 * time.Millisecond}}
	for i, addr := range addrs {
		n, err := fluster.ParseNode("redis://:" + canary + "@" + addr + "?name=" + nodeName(i) + "&max_idle=0")
		require.NoError(t, err)
		cfg.Nodes = append(cfg.Nodes, n)
	}
	c := r.cluster(cfg)
	require.NoError(t, c.WaitReady(t.Context()))

	hoard := takeDescriptors(t)
	for _, st := range c.Nodes() {
		for key := keyOf(t, c, st.Name); status(t, c, st.Name).LocalFaults < 50; {
			begun := time.Now()
			_, err := do(c, key, "INCR")
			r.Calls, r.Lost, r.Longest = r.Calls+1, r.Lost+1, max(r.Longest, time.Since(begun))
			r.said.print(err)
			require.ErrorIs(t, err, syscall.EMFILE)
			require.True(t, fluster.SafeToRetry(err))
		}
	}
	requireNoPenalties(t, c)

	r.within(100*time.Millisecond, r.Longest, "a call that finds no descriptor")
	for _, f := range hoard {
		require.NoError(t, f.Close())
	}
	for i := range 100 {
		_, err := do(c, fmt.Sprintf("key:%d", i), "INCR")
		require.NoError(t, err, "descriptors are free again")
	}
	requireNoPenalties(t, c)
}

// takeDescriptors opens files until the process may open no more.
func takeDescriptors(t *testing.T) []*os.File {
	t.Helper()
	var limit syscall.Rlimit
	require.NoError(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit))
	limit.Cur = 64
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	var files []*os.File
	for {
		f, err := os.Open(os.DevNull)
		if errors.Is(err, syscall.EMFILE) {
			return files
		}
		require.NoError(t, err)
		files = append(files, f)
	}
}
