package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

func TestKeysAreWhereTwemproxyPutsThem(t *testing.T) {
	binary, err := exec.LookPath("nutcracker")
	if err != nil {
		t.Skip("nutcracker is not installed")
	}
	servers := make(map[string]*redistest.Server)
	var lines []string
	for i, name := range []string{"zebra", "b", "", "aa", "another"} { // in no order, since twemproxy has one of its own
		server := redistest.Start(t)
		line := fmt.Sprintf("    - %s:%d", server.Addr(), 1+i)
		if name == "" {
			name = server.Addr() // as twemproxy calls it
		} else {
			line += " " + name
		}
		servers[name] = server
		lines = append(lines, line)
	}
	keys := oddKeys()
	for _, settings := range []string{
		"", "hash: md5\n  hash_tag: '{}'", "hash: murmur\n  distribution: modula", "hash: crc16\n  auto_eject_hosts: true",
	} {
		t.Run(settings, func(t *testing.T) {
			for _, server := range servers {
				server.Do("FLUSHALL")
			}
			pool := settings + "\n  servers:\n" + strings.Join(lines, "\n")
			file, socket := startProxy(t, binary, pool)
			setAll(t, socket, keys)

			told := whereOf(t, keys, "--nodes", file)
			assert.Len(t, told, len(keys))
			for name, server := range servers {
				for _, key := range keysOn(t, server) {
					assert.Equal(t, name, told[key], "%q", key)
					delete(told, key)
				}
			}
			assert.Empty(t, told, "keys that no server has")
		})
	}
}

// startProxy runs nutcracker with one pool, and returns its file and the socket that
// it listens on.
func startProxy(t *testing.T, binary, pool string) (file, socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "nc") //nolint:usetesting // the path of t.TempDir is too long for a socket
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	file, socket = filepath.Join(dir, "nutcracker.yml"), filepath.Join(dir, "s")
	require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "pool:\n  listen: %s\n  redis: true\n  %s\n", socket, pool), 0o666))
	// Somebody else may take the port of its statistics first.
	for tries := 1; !launchProxy(t, binary, file, socket); tries++ {
		require.Less(t, tries, 10, "nutcracker ends at once")
	}
	return file, socket
}

// launchProxy starts nutcracker and tells whether it listens, rather than ends.
func launchProxy(t *testing.T, binary, file, socket string) bool {
	t.Helper()
	_, port, err := net.SplitHostPort(freeAddr(t))
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), binary, "--conf-file", file, "--stats-addr", "127.0.0.1", "--stats-port", port)
	require.NoError(t, cmd.Start())
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	listens := false
	redistest.WaitFor(t, patience, func() bool {
		select {
		case <-ended:
			return true
		default:
		}
		conn, err := net.Dial("unix", socket)
		if listens = err == nil; listens {
			conn.Close()
		}
		return listens
	}, "nutcracker listens or ends")
	return listens
}

// freeAddr returns an address of this machine on which nobody listens just now.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

// setAll sets keys by one connection.
func setAll(t *testing.T, socket string, keys []string) {
	t.Helper()
	conn, err := redis.Dial("unix", socket)
	require.NoError(t, err)
	defer conn.Close()
	for _, key := range keys {
		require.NoError(t, conn.Send("SET", key, "value"))
	}
	require.NoError(t, conn.Flush())
	for range keys {
		_, err := conn.Receive()
		require.NoError(t, err)
	}
}
