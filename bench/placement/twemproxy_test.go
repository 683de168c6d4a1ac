package placement_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

// farm is how many servers there are at most before a pool.
const farm = 12

// pool is a pool of twemproxy's and what the project makes of it.
type pool struct {
	placement compat.Twemproxy
	lines     []string // of the file, behind "servers:"
	servers   []int    // which of the farm's servers each is
	live      []bool
	socket    string // where it listens
}

func TestKeysAreWhereTwemproxyHasThem(t *testing.T) {
	path, err := redisserver.FindProxy()
	if err != nil {
		t.Skip("twemproxy is not installed (nutcracker)")
	}
	r := newRand(t)
	servers := startFarm(t)
	dir := shortDir(t)
	pools := make([]*pool, 60)
	for i := range pools {
		pools[i] = randomPool(r, servers, filepath.Join(dir, "p"+strconv.Itoa(i)))
	}
	startProxy(t, path, dir, pools)
	for _, p := range pools {
		p.check(t, randomKeys(r, 300))
	}
}

// startFarm runs servers that answer every GET with their number, but for the last
// two, which refuse.
func startFarm(t *testing.T) (addrs []string) {
	for i := range farm {
		fake := redistest.NewFake(t)
		fake.Handle(func([]string) []byte { return redistest.Bulk(strconv.Itoa(i)) })
		if i >= farm-2 {
			fake.Refuse()
		}
		addrs = append(addrs, fake.Addr())
	}
	return addrs
}

// shortDir returns a directory for sockets, whose paths must be short.
func shortDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "tw") //nolint:usetesting // its directories have long names
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, os.RemoveAll(dir)) })
	return dir
}

func randomPool(r *rand.Rand, servers []string, socket string) *pool {
	hashes := []string{
		"one_at_a_time", "md5", "crc16", "crc32", "crc32a", "fnv1_64", "fnv1a_64", "fnv1_32", "fnv1a_32", "hsieh",
		"murmur", "jenkins",
	}
	p := &pool{socket: socket, placement: compat.Twemproxy{
		Hash:         hashes[r.IntN(len(hashes))],
		Distribution: []string{"ketama", "modula"}[r.IntN(2)],
		HashTag:      []string{"", "{}", "[]", "xx", "a}"}[r.IntN(5)],
		AutoEject:    r.IntN(2) == 0,
	}}
	if p.placement.AutoEject {
		// Keys of one that is not ejected say nothing, so the hash must spread well
		// enough for each of the two that refuse to get some.
		p.placement.Hash = []string{"md5", "murmur", "jenkins"}[r.IntN(3)]
	}
	named, heavy := r.IntN(2) == 0, r.IntN(2) == 0
	for _, i := range r.Perm(farm)[:1+r.IntN(farm)] {
		refuses := i >= farm-2
		if refuses && !p.placement.AutoEject {
			continue
		}
		p.add(r, i, servers[i], named, heavy)
		p.live = append(p.live, !refuses)
	}
	if len(p.lines) < 3 { // all of them may be those that refuse
		return randomPool(r, servers, socket)
	}
	return p
}

// add adds a server's line.
func (p *pool) add(r *rand.Rand, i int, addr string, named, heavy bool) {
	weight := 1
	switch {
	case heavy && p.placement.AutoEject:
		weight = 1 + r.IntN(3)
	case heavy && p.placement.Distribution == "modula":
		weight = 1 + r.IntN(30)
	case heavy:
		weight = 1 + r.IntN([]int{5, 100, 1_000_000}[r.IntN(3)])
	}
	line := fmt.Sprintf("%s:%d", addr, weight)
	if named {
		line += fmt.Sprintf(" %s%d", randomName(r), i)
	}
	p.lines = append(p.lines, line)
	p.servers = append(p.servers, i)
}

// conf returns the pool's part of twemproxy's file.
func (p *pool) conf() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:\n  listen: %s\n  redis: true\n  hash: %s\n  distribution: %s\n  auto_eject_hosts: %t\n",
		filepath.Base(p.socket), p.socket, p.placement.Hash, p.placement.Distribution, p.placement.AutoEject)
	if p.placement.HashTag != "" {
		fmt.Fprintf(&b, "  hash_tag: %q\n", p.placement.HashTag)
	}
	b.WriteString("  server_failure_limit: 1\n  server_retry_timeout: 600000\n  servers:\n")
	for _, line := range p.lines {
		fmt.Fprintf(&b, "   - %s\n", line)
	}
	return b.String()
}

// startProxy runs twemproxy with the pools until the test ends.
func startProxy(t *testing.T, path, dir string, pools []*pool) {
	var conf strings.Builder
	for _, p := range pools {
		conf.WriteString(p.conf())
	}
	file := filepath.Join(dir, "conf")
	require.NoError(t, os.WriteFile(file, []byte(conf.String()), 0o600))
	for range 10 { // its statistics want a port, which may be taken
		stats := strconv.Itoa(12000 + rand.IntN(20000))
		cmd := exec.CommandContext(t.Context(), path, "-c", file, "-o", filepath.Join(dir, "log"), "-a", "127.0.0.1", "-s", stats)
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
		require.NoError(t, cmd.Start())
		ended := make(chan struct{})
		go func() {
			_ = cmd.Wait()
			close(ended)
		}()
		if comesUp(pools[len(pools)-1].socket, ended) {
			t.Cleanup(func() { <-ended }) // it was told to end when the test did
			return
		}
	}
	log, _ := os.ReadFile(filepath.Join(dir, "log"))
	require.Fail(t, "twemproxy does not start", "%s", log)
}

// comesUp waits until somebody listens at a socket, or the process has ended.
func comesUp(socket string, ended <-chan struct{}) bool {
	for {
		if conn, err := redis.Dial("unix", socket); err == nil {
			return conn.Close() == nil
		}
		select {
		case <-ended:
			return false
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// check asks the pool where keys are.
func (p *pool) check(t *testing.T, keys []string) {
	var nodes []ring.Node
	for _, line := range p.lines {
		node, _, err := compat.TwemproxyServer(line)
		require.NoError(t, err)
		nodes = append(nodes, node)
	}
	built, err := p.placement.Build(nodes)
	require.NoError(t, err)
	view := built.View(p.live)
	theirs := p.ask(t, keys)
	for i, key := range keys {
		require.Equal(t, theirs[i], p.servers[view.Locate(key)], "key %q, %+v, servers\n%s", key, p.placement, strings.Join(p.lines, "\n"))
	}
}

// ask returns the number of the server that answers for each key, once no server is
// left that does not.
func (p *pool) ask(t *testing.T, keys []string) []int {
	conn, err := redis.Dial("unix", p.socket, redis.DialReadTimeout(10*time.Second))
	require.NoError(t, err)
	defer conn.Close()
	for range 20 {
		if servers, ok := p.pass(t, conn, keys); ok {
			return servers
		}
	}
	require.Fail(t, "servers that refuse are not ejected", "%+v, servers\n%s", p.placement, strings.Join(p.lines, "\n"))
	return nil
}

// pass is one pass over the keys. It reports whether all were answered.
func (p *pool) pass(t *testing.T, conn redis.Conn, keys []string) (servers []int, ok bool) {
	ok = true
	for _, key := range keys {
		server, err := redis.Int(conn.Do("GET", key))
		if err != nil {
			require.IsType(t, redis.Error(""), err, "key %q, %+v", key, p.placement)
			ok = false
		}
		servers = append(servers, server)
	}
	return servers, ok
}
