package redisserver

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// proxyNames are what twemproxy's executable is called.
var proxyNames = []string{"nutcracker", "twemproxy"}

// FindProxy returns the path of twemproxy's executable, or exec.ErrNotFound.
// Beside PATH it looks into /usr/sbin, which is not on everybody's.
func FindProxy() (string, error) {
	for _, name := range proxyNames {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
		if path, err := exec.LookPath(filepath.Join("/usr/sbin", name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("twemproxy: %w", exec.ErrNotFound)
}

// StartProxy runs twemproxy, with its own defaults, before the servers at addrs
// and waits until it answers. It returns exec.ErrNotFound if it is not installed.
func StartProxy(ctx context.Context, addrs []string) (*Server, error) {
	path, err := FindProxy()
	if err != nil {
		return nil, err
	}
	s, err := startOne(ctx, func(port int) (*Server, error) { return launchProxy(path, port, addrs) })
	if err != nil {
		return nil, fmt.Errorf("start twemproxy: %w", err)
	}
	return s, nil
}

func launchProxy(path string, port int, addrs []string) (*Server, error) {
	s, err := newServer(port)
	if err != nil {
		return nil, err
	}
	s.answers, s.used = s.proxyAnswers, s.proxyCPU
	conf := filepath.Join(s.dir, "conf")
	if err := os.WriteFile(conf, []byte(proxyConf(s.addr, addrs)), 0o600); err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	// Its statistics want a port too. If that is taken, it ends and is tried again.
	stats := firstPort + rand.IntN(lastPort-firstPort)
	return s, s.start(path, "-c", conf, "-o", s.log(), "-p", filepath.Join(s.dir, "pid"),
		"-a", "127.0.0.1", "-s", strconv.Itoa(stats))
}

// proxyConf returns a configuration with a server on each line.
func proxyConf(listen string, addrs []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "bench:\n  listen: %s\n  hash: fnv1a_64\n  distribution: ketama\n  redis: true\n  servers:\n", listen)
	for _, addr := range addrs {
		fmt.Fprintf(&b, "   - %s:1\n", addr)
	}
	return b.String()
}

// proxyAnswers returns nil if a PING comes back. A proxy that another process
// kept from its port has ended, which is noticed before.
func (s *Server) proxyAnswers(ctx context.Context) error {
	conn, err := s.Dial(ctx, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Do("PING")
	return err
}

// proxyCPU is exact to a tick of the system's clock, mostly 10 ms.
func (s *Server) proxyCPU() (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	return parseStat(string(text))
}

// tick is what /proc counts in, on every system that Go runs on.
const tick = 10 * time.Millisecond

// parseStat returns the processor time that a line of /proc/<pid>/stat tells:
// the 14th and 15th field, counted from the name in parentheses, which may hold
// spaces.
func parseStat(line string) (time.Duration, error) {
	fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
	if len(fields) < 13 {
		return 0, fmt.Errorf("a process's stat is %q", line)
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return time.Duration(user+system) * tick, err
}
