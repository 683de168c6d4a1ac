package node_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// childKey tells a test that it runs in a child process.
const childKey = "FLUSTER_NODE_TEST_CHILD"

// inChild runs the test in a child process of its own and returns true there.
// Where the machine does not allow such a child, the test is skipped.
func inChild(t *testing.T, attr *syscall.SysProcAttr) bool {
	t.Helper()
	if os.Getenv(childKey) != "" {
		return true
	}
	attr.Pdeathsig = syscall.SIGKILL
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=60s")
	cmd.Env = append(os.Environ(), childKey+"=1")
	cmd.SysProcAttr = attr
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSYS) || errors.Is(err, syscall.EINVAL) {
		t.Skipf("this machine allows no such child: %v", err)
	}
	require.NoError(t, err, "%s", out)
	if strings.Contains(string(out), "--- SKIP: "+t.Name()) {
		t.Skipf("the child skipped it:\n%s", out)
	}
	require.Contains(t, string(out), "--- PASS: "+t.Name(), "the child tested nothing:\n%s", out)
	return false
}

// apart is a child with a network of its own, where it may do as it likes.
func apart() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
}

// ip changes the network of a child that is apart.
func ip(t *testing.T, args ...string) {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("there is no ip command")
	}
	require.NoError(t, err, "ip %v: %s", args, out)
}

func TestTheKernelsOwnRefusalsAreJudged(t *testing.T) {
	if !inChild(t, apart()) {
		return
	}
	at := func(host string) *redis.Pool { return parsed(t, "redis://"+host+"?dial_timeout=20s").NewPool() }
	assertDialFails(t, at("192.0.2.1"), dialFault{class: health.Soft, text: "network is unreachable"})
	ip(t, "link", "set", "lo", "up")
	for kind, want := range map[string]dialFault{
		"unreachable": {class: health.Soft, text: "no route to host"},
		"prohibit":    {class: health.None, local: 1, text: "permission denied"},
		"blackhole":   {class: health.None, local: 1, text: "invalid argument"},
	} {
		ip(t, "route", "add", kind, "192.0.2.1")
		assertDialFails(t, at("192.0.2.1"), want)
		ip(t, "route", "del", kind, "192.0.2.1")
	}
}

// The kernel gives up on a peer that acknowledges nothing. The library's own
// limit for that is longer than a test should take, so the pool is a user's.
func TestAPeerThatTheKernelGivesUpIsGone(t *testing.T) {
	if !inChild(t, apart()) {
		return
	}
	ip(t, "link", "set", "lo", "up")
	f := redistest.NewFake(t)
	impatient := net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		const tcpUserTimeout = 0x12
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, 300)
		})
		return errors.Join(err, failed)
	}}
	pool := &redis.Pool{DialContext: func(ctx context.Context) (redis.Conn, error) {
		return redis.DialContext(ctx, "tcp", f.Addr(), redis.DialContextFunc(impatient.DialContext))
	}}
	assertBreaks(t, pool, false, flightFault{class: health.Hard, is: syscall.ETIMEDOUT},
		func() { ip(t, "link", "set", "lo", "down") }, do("INCR", "k"))
}

func TestASocketThatMayNotBeOpenedIsALocalFault(t *testing.T) {
	dir, err := os.MkdirTemp("", "sock") //nolint:usetesting // the path of a socket must be short
	require.NoError(t, err)
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "s")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer l.Close()
	require.NoError(t, os.Chmod(path, 0))
	t.Run("by anybody", func(t *testing.T) {
		if os.Getuid() == 0 { // to whom modes mean nothing
			runtime.LockOSThread() // and never unlock: the thread ends with this goroutine
			_, _, errno := syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
			require.Zero(t, errno)
		}
		assertDialFails(t, parsed(t, "unix://"+path).NewPool(),
			dialFault{class: health.None, local: 1, text: "permission denied"})
	})
}

func TestAProcessWithoutDescriptorsBlamesItself(t *testing.T) {
	if !inChild(t, &syscall.SysProcAttr{}) {
		return
	}
	f := redistest.NewFake(t)
	pools := []*redis.Pool{parsed(t, "redis://"+f.Addr()).NewPool(), usersPool(t, "redis://"+f.Addr())}
	limit := syscall.Rlimit{Cur: uint64(redistest.OpenFDs() + 8), Max: uint64(redistest.OpenFDs() + 8)}
	require.NoError(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit))
	var held []*os.File
	for {
		file, err := os.Open(os.DevNull)
		if err != nil {
			require.ErrorIs(t, err, syscall.EMFILE)
			break
		}
		held = append(held, file)
	}
	for _, pool := range pools {
		assertDialFails(t, pool, dialFault{class: health.None, local: 1, text: "too many open files"})
	}
	n, r := over(t, usersPool(t, "redis://"+f.Addr()))
	ev := n.Probe(t.Context(), health.ProbeRequest{Fresh: true})
	assert.Equal(t, health.None, ev.Class, "a probe that could not be made says nothing either")
	assert.Equal(t, uint64(1), n.LocalFaults())

	for _, file := range held {
		require.NoError(t, file.Close())
	}
	assert.Equal(t, health.Alive, n.Probe(t.Context(), health.ProbeRequest{Fresh: true}).Class)
	assert.Empty(t, r.all())
}
