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
			addr := freeAddr(t)
			config := fmt.Sprintf("pool:\n  listen: %s\n  redis: true\n  %s\n  servers:\n%s\n", addr, settings, strings.Join(lines, "\n"))
			file := filepath.Join(t.TempDir(), "nutcracker.yml")
			require.NoError(t, os.WriteFile(file, []byte(config), 0o666))
			startProxy(t, binary, file, addr)
			setAll(t, addr, keys)

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

// freeAddr returns an address of this machine on which nobody listens.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().String()
}

func startProxy(t *testing.T, binary, file, addr string) {
	t.Helper()
	_, statsPort, err := net.SplitHostPort(freeAddr(t))
	require.NoError(t, err)
	cmd := exec.CommandContext(t.Context(), binary, "--conf-file", file, "--stats-port", statsPort, "--stats-addr", "127.0.0.1")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	redistest.WaitFor(t, patience, func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err == nil
	}, "nutcracker listens")
}

// setAll sets keys by one connection.
func setAll(t *testing.T, addr string, keys []string) {
	t.Helper()
	conn, err := redis.Dial("tcp", addr)
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
