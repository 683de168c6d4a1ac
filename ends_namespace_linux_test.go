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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// childOf tells a test that it runs in a child process, apart from the others.
const childOf = "FLUSTER_TEST_CHILD"

// apart runs the rest of a row's test in a child process with a network of its own,
// where it may do as it likes, and returns true there. Where the machine does not
// allow that, the row is not run.
func apart(t *testing.T, number int, fault, injected string) bool {
	t.Helper()
	if os.Getenv(childOf) == t.Name() {
		ip(t, "link", "set", "lo", "up")
		return true
	}
	if _, err := exec.LookPath("ip"); err != nil {
		redistest.Faults(t, number, fault, injected).NotHere(t, "there is no ip command")
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=120s")
	cmd.Env = append(os.Environ(), childOf+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Pdeathsig:   syscall.SIGKILL,
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) {
		redistest.Faults(t, number, fault, injected).NotHere(t, fmt.Sprintf("this machine allows no network namespace: %v", err))
	}
	require.NoError(t, err, "%s", out)
	if strings.Contains(string(out), "--- SKIP: "+t.Name()) {
		t.Skipf("the child skipped it:\n%s", out) // and said so in the row
	}
	require.Contains(t, string(out), "--- PASS: "+t.Name(), "the child tested nothing:\n%s", out)
	return false
}

// ip changes the network of a child that is apart.
func ip(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput()
	require.NoError(t, err, "ip %v: %s", args, out)
}

// Protected mode lets in nobody but the loopback's own address, and says so to a
// connection that it has accepted.
func TestRow35AServerInProtectedModeIsOutAndCostsNoCall(t *testing.T) {
	const fault, injected = "a server goes into protected mode", "CONFIG SET protected-mode, from another address"
	if !apart(t, 35, fault, injected) {
		return
	}
	r := beginTrial(t, 35, fault, injected)
	const outer = "10.9.0.1"
	ip(t, "addr", "add", outer+"/32", "dev", "lo")
	f := &fleet{}
	cfg := fluster.Config{Health: brisk}
	cfg.Health.MaxWait = 250 * time.Millisecond // which is how long a fault waits that waiting does not mend
	for i := range 3 {
		s := redistest.Start(t, "--bind", "127.0.0.1 "+outer, "--protected-mode", "no")
		node, err := fluster.ParseNode(fmt.Sprintf("redis://%s:%d?name=%s&%s", outer, s.Port(), nodeName(i), briefly))
		require.NoError(t, err)
		cfg.Nodes = append(cfg.Nodes, node)
		f.servers = append(f.servers, s)
	}
	f.FlusterCluster = r.cluster(cfg)
	b := f.servers[1]
	l := startRouted(t, f.FlusterCluster, 16)
	l.goOn(t, 500)
	b.Do("CONFIG", "SET", "protected-mode", "yes")
	b.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	waitDown(t, f.FlusterCluster, "b")
	st := status(t, f.FlusterCluster, "b")
	assert.ErrorContains(t, st.Cause, "DENIED")
	moreProbes(t, f.FlusterCluster, "b", 3)
	r.stayedOut(f.FlusterCluster, "b")
	n, _ := f.Node("b")
	conn := n.Pool.Get() // which finds out the connections that were killed while they were idle
	assert.Error(t, conn.Err())
	_ = conn.Close()
	assert.Zero(t, status(t, f.FlusterCluster, "b").PoolStats.IdleCount, "a connection that was denied is in the pool")

	b.Do("CONFIG", "SET", "protected-mode", "no")
	healed := time.Now()
	waitLive(t, f.FlusterCluster, "b")
	r.back(healed, cfg.Health.MaxWait+brisk.Timeout)
	l.goOn(t, 500)
	for _, call := range r.ended(f, l, false) {
		assert.True(t, fluster.MaybeExecuted(call.err) || r.slack() > quick.Read, "only what was under way is lost: %v", call.err)
	}
	r.onlyOut(f.FlusterCluster, "b")
}

func TestRow43WithoutPortsNoNodeIsOut(t *testing.T) {
	const fault, injected = "no port is free for a connection", "4 ports, net.ipv4.ip_local_port_range"
	if !apart(t, 43, fault, injected) {
		return
	}
	r := beginTrial(t, 43, fault, injected)
	f := r.fleet(3, builders[1], fluster.Config{Health: health.Config{Interval: 20 * time.Millisecond}})
	require.NoError(t, f.WaitReady(t.Context()))
	const ports = "/proc/sys/net/ipv4/ip_local_port_range"
	before, err := os.ReadFile(ports)
	require.NoError(t, err)
	if err := os.WriteFile(ports, []byte("40000 40003"), 0); err != nil {
		r.NotHere(t, "net.ipv4.ip_local_port_range cannot be changed")
	}
	r.Longest = holdAll(r, f)
	r.within(quick.Connect, r.Longest, "a call that finds no port")
	requireNoPenalties(t, f.FlusterCluster)

	require.NoError(t, os.WriteFile(ports, before, 0))
	for i := range 100 {
		_, err := do(f.FlusterCluster, fmt.Sprintf("key:%d", i), "INCR")
		require.NoError(t, err, "ports are free again")
	}
	requireNoPenalties(t, f.FlusterCluster)
}

// holdAll takes connections of each node until there are no ports, goes on until each
// node has met that often, and gives the connections back. It returns how long the
// longest call took.
func holdAll(r *trial, f *fleet) (longest time.Duration) {
	r.t.Helper()
	for _, st := range f.Nodes() {
		var held []interface{ Close() error }
		for status(r.t, f.FlusterCluster, st.Name).LocalFaults < 50 {
			begun := time.Now()
			conn, err := st.Pool.GetContext(r.t.Context())
			longest = max(longest, time.Since(begun))
			r.Calls++
			if err == nil {
				held = append(held, conn)
				require.LessOrEqual(r.t, len(held), 70, "the ports do not run out")
				continue
			}
			r.Lost++
			r.said.print(err)
			require.ErrorIs(r.t, err, syscall.EADDRNOTAVAIL)
			require.True(r.t, fluster.SafeToRetry(err))
		}
		for _, conn := range held {
			require.NoError(r.t, conn.Close())
		}
	}
	return longest
}
