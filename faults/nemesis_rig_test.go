package faults_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// arena is a cluster over servers that keep what they acknowledged, and a nemesis that
// kills them, stops them and drops their clients.
type arena struct {
	*trial
	servers []*redistest.Server
	deeds   map[string]int
}

// span is how long a nemesis is at work.
func span() time.Duration {
	if wholeFaults {
		return 30 * time.Second
	}
	return 3 * time.Second
}

// newArena begins a row over n servers.
func newArena(t *testing.T, n, number int, fault string) *arena {
	t.Helper()
	a := &arena{
		trial: beginTrial(t, number, fault, "kill -9, SIGSTOP and CLIENT KILL at random, an append-only file"),
		deeds: make(map[string]int),
	}
	cfg := fluster.Config{Health: health.Config{
		Interval: 100 * time.Millisecond, Timeout: a.limit, MinWait: 50 * time.Millisecond, MaxWait: 500 * time.Millisecond,
	}}
	for i := range n {
		s := redistest.Start(t, "--requirepass", canary, "--appendonly", "yes", "--appendfsync", "always")
		node, err := fluster.ParseNode(fmt.Sprintf("redis://:%s@%s?name=%c&dial_timeout=%v&read_timeout=%[4]v&write_timeout=%[4]v",
			canary, s.Addr(), 'a'+i, a.limit))
		require.NoError(t, err)
		a.servers, cfg.Nodes = append(a.servers, s), append(cfg.Nodes, node)
	}
	var err error
	a.FlusterCluster, err = fluster.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = a.Close() })
	require.NoError(t, a.WaitReady(t.Context()))
	return a
}

// rage lets the nemesis work for as long as it may, while others call. Afterwards all
// servers run, and all nodes live.
func (a *arena) rage() {
	a.t.Helper()
	seed := rand.Uint64()
	a.t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	pause := func(least, most time.Duration) { time.Sleep(least + time.Duration(rnd.Int64N(int64(most-least)))) }
	for end := time.Now().Add(span()); time.Now().Before(end); {
		s := a.servers[rnd.IntN(len(a.servers))]
		switch rnd.IntN(3) {
		case 0:
			a.deeds["killed"]++
			s.Kill()
			pause(20*time.Millisecond, 400*time.Millisecond)
			s.Restart()
		case 1:
			a.deeds["stopped"]++
			s.Stop()
			pause(20*time.Millisecond, 500*time.Millisecond)
			s.Cont()
		case 2:
			a.deeds["dropped"]++
			_, _ = s.Try("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		}
		pause(50*time.Millisecond, 300*time.Millisecond)
	}
	a.calmDown()
}

// calmDown waits until all nodes live, and have executed what had reached them: a
// frozen server's clients may have gone, and their commands stand in its sockets.
func (a *arena) calmDown() {
	a.t.Helper()
	healed := time.Now()
	for _, st := range a.Nodes() {
		redistest.WaitFor(a.t, patient, func() bool { return a.node(st.Name).Live }, "node %s is back", st.Name)
	}
	a.Recovered = time.Since(healed)
	for _, s := range a.servers {
		s.Do("PING")
	}
}

// sum tells what happened.
func (a *arena) sum(format string, args ...any) {
	var deeds []string
	for _, deed := range slices.Sorted(maps.Keys(a.deeds)) {
		deeds = append(deeds, fmt.Sprintf("%d %s", a.deeds[deed], deed))
	}
	a.Remark = fmt.Sprintf(format, args...) + "; " + strings.Join(deeds, ", ")
}

// crew is goroutines that work until they are told to stop.
type crew struct {
	stopped atomic.Bool
	wg      sync.WaitGroup
}

// work runs f in n goroutines, again and again.
func (c *crew) work(n int, f func(worker int)) {
	for i := range n {
		c.wg.Go(func() {
			for !c.stopped.Load() {
				f(i)
			}
		})
	}
}

func (c *crew) stop() {
	c.stopped.Store(true)
	c.wg.Wait()
}

// at runs a command at a node, over its pool.
func at(n fluster.Node, cmd string, args ...any) (any, error) {
	conn := n.Pool.Get()
	defer conn.Close()
	return conn.Do(cmd, args...)
}

// list returns a list of a server's, whole.
func list(t *testing.T, s *redistest.Server, key string) []string {
	t.Helper()
	items, err := redis.Strings(s.Do("LRANGE", key, 0, -1), nil)
	require.NoError(t, err)
	return items
}
