package fanin_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// longEnough bounds waits for what is sure to come, however slow the machine is.
const longEnough = time.Minute

// site is a cluster over real servers, whose nodes are named a, b, c ...
type site struct {
	*fluster.FlusterCluster
	servers []*redistest.Server
}

// openSite runs n servers and a cluster over them, and checks at the test's end
// that no goroutine is left behind.
func openSite(t testing.TB, n int, options string, args ...string) *site {
	redistest.NoLeaks(t)
	s := &site{}
	for range n {
		s.servers = append(s.servers, redistest.Start(t, args...))
	}
	s.FlusterCluster = s.open(t, options)
	return s
}

// open returns another cluster over the same servers.
func (s *site) open(t testing.TB, options string) *fluster.FlusterCluster {
	cfg := fluster.Config{Health: health.Config{MinWait: 10 * time.Millisecond, MaxWait: 100 * time.Millisecond}}
	for i, server := range s.servers {
		node, err := fluster.ParseNode(fmt.Sprintf("redis://%s?name=%s%s", server.Addr(), letter(i), options))
		require.NoError(t, err)
		cfg.Nodes = append(cfg.Nodes, node)
	}
	c, err := fluster.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func letter(i int) string { return string(rune('a' + i)) }

// kill kills a server and waits until its node is out.
func (s *site) kill(t testing.TB, i int) {
	s.servers[i].Kill()
	_, _ = s.Each(t.Context(), fluster.NodesNamed(letter(i)), "PING") // so that nobody has to wait for a probe
	s.waitFor(t, letter(i), false)
}

// restart lets a server live again and waits until its node does.
func (s *site) restart(t testing.TB, i int) {
	s.servers[i].Restart()
	s.waitFor(t, letter(i), true)
}

func (s *site) waitFor(t testing.TB, name string, live bool) {
	t.Helper()
	redistest.WaitFor(t, longEnough, func() bool {
		for _, n := range s.Nodes() {
			if n.Name == name {
				return n.Live == live
			}
		}
		return false
	}, "node %s to be live: %t", name, live)
}

// at returns a key with this beginning whose home is the node.
func (s *site) at(t testing.TB, prefix, node string) string {
	for i := range 10_000 {
		key := fmt.Sprint(prefix, i)
		n, err := s.Locate(key)
		require.NoError(t, err)
		if n.Name == node {
			return key
		}
	}
	t.Fatalf("no key is at home on node %s", node)
	return ""
}

// failedAt returns the names of the nodes that an error tells of.
func failedAt(t testing.TB, err error) []string {
	t.Helper()
	var failed *fluster.NodesError
	require.True(t, errors.As(err, &failed), "a NodesError: %v", err)
	var names []string
	for _, f := range failed.Failed {
		require.Error(t, f.Err)
		names = append(names, f.Node)
	}
	return names
}
