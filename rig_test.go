package fluster_test

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// patient bounds waits for what is sure to come, however slow the machine is.
const patient = 30 * time.Second

// fleet is a cluster over real servers.
type fleet struct {
	*fluster.FlusterCluster
	servers []*redistest.Server
}

// nodesOf returns a node for each server, named a, b, c ..., over pools as a
// user would build them.
func nodesOf(servers []*redistest.Server, o redistest.PoolOptions) []fluster.Node {
	nodes := make([]fluster.Node, len(servers))
	for i, s := range servers {
		nodes[i] = fluster.Node{Name: nodeName(i), Addr: s.Addr(), Pool: s.Pool(o)}
	}
	return nodes
}

func nodeName(i int) string { return string(rune('a' + i)) }

// startServers runs n servers, and checks at the test's end that no goroutine
// is left behind.
func startServers(t testing.TB, n int, args ...string) []*redistest.Server {
	redistest.NoLeaks(t)
	servers := make([]*redistest.Server, n)
	for i := range servers {
		servers[i] = redistest.Start(t, args...)
	}
	return servers
}

// startFleet runs n servers and a cluster over user-built pools to them.
func startFleet(t testing.TB, n int, o redistest.PoolOptions, cfg fluster.Config) *fleet {
	return fleetOf(t, startServers(t, n), o, cfg)
}

func fleetOf(t testing.TB, servers []*redistest.Server, o redistest.PoolOptions, cfg fluster.Config) *fleet {
	cfg.Nodes = nodesOf(servers, o)
	return &fleet{newCluster(t, cfg), servers}
}

// newCluster makes a cluster that the test's end closes.
func newCluster(t testing.TB, cfg fluster.Config) *fluster.FlusterCluster {
	c, err := fluster.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// openFleet runs n servers and a cluster over pools that ParseNode builds.
func openFleet(t testing.TB, n int, options string, cfg fluster.Config) *fleet {
	servers := startServers(t, n)
	for i, s := range servers {
		node, err := fluster.ParseNode(fmt.Sprintf("redis://%s?name=%s%s", s.Addr(), nodeName(i), options))
		require.NoError(t, err)
		cfg.Nodes = append(cfg.Nodes, node)
	}
	return &fleet{newCluster(t, cfg), servers}
}

// keyOf returns a key that is at home on the named node.
func keyOf(t testing.TB, c *fluster.FlusterCluster, name string) string {
	for i := range 100_000 {
		key := fmt.Sprintf("key:%d", i)
		n, err := c.Locate(key)
		require.NoError(t, err)
		if n.Name == name {
			return key
		}
	}
	t.Fatalf("no key is at home on node %s", name)
	return ""
}

// status returns the named node's status.
func status(t testing.TB, c *fluster.FlusterCluster, name string) fluster.NodeStatus {
	for _, st := range c.Nodes() {
		if st.Name == name {
			return st
		}
	}
	t.Fatalf("no node %s", name)
	return fluster.NodeStatus{}
}

func waitDown(t testing.TB, c *fluster.FlusterCluster, name string) {
	t.Helper()
	redistest.WaitFor(t, patient, func() bool { return !status(t, c, name).Live }, "node %s is down", name)
}

func waitLive(t testing.TB, c *fluster.FlusterCluster, name string) {
	t.Helper()
	redistest.WaitFor(t, patient, func() bool { return status(t, c, name).Live }, "node %s is live", name)
}

func requireNoPenalties(t testing.TB, c *fluster.FlusterCluster) {
	t.Helper()
	for _, st := range c.Nodes() {
		require.True(t, st.Live, "node %s is down: %v", st.Name, st.Cause)
		require.Zero(t, st.Penalties, "node %s was penalized: %v", st.Name, st.LastCause)
	}
}

// do runs one command on the pool that key belongs to.
func do(c *fluster.FlusterCluster, key, cmd string, args ...any) (any, error) {
	pool, err := c.GetClient(key)
	if err != nil {
		return nil, err
	}
	conn := pool.Get()
	defer conn.Close()
	return conn.Do(cmd, append([]any{key}, args...)...)
}

// stopwatch tells a slow machine from a slow library.
type stopwatch struct{ *redistest.Stopwatch }

func startStopwatch() stopwatch { return stopwatch{redistest.StartStopwatch()} }

// slack ends the measurement and returns by how much a bound is to be eased.
func (w stopwatch) slack() time.Duration {
	w.End()
	return w.Slack()
}

// failedCall is a call of the load that ended with an error.
type failedCall struct {
	goroutine int
	at        time.Time // when it ended
	took      time.Duration
	err       error
}

// load is callers that call for random keys without a pause, until stopped.
type load struct {
	stop chan struct{}
	wg   sync.WaitGroup

	mu      sync.Mutex
	calls   int
	longest time.Duration
	failed  []failedCall
}

// startLoad runs n callers who INCR over the pools that keys belong to.
func startLoad(t testing.TB, c *fluster.FlusterCluster, n int) *load {
	return startCalls(t, n, func(key string) error {
		_, err := redis.Int(do(c, key, "INCR"))
		return err
	})
}

// startCalls runs n callers, each of whom makes calls for random keys of 1,000.
func startCalls(t testing.TB, n int, call func(key string) error) *load {
	l := &load{stop: make(chan struct{})}
	for g := range n {
		l.wg.Go(func() { l.run(g, call) })
	}
	t.Cleanup(func() { l.finish() })
	return l
}

func (l *load) run(goroutine int, call func(key string) error) {
	rnd := rand.New(rand.NewPCG(uint64(goroutine), 1))
	for {
		select {
		case <-l.stop:
			return
		default:
		}
		begun := time.Now()
		err := call(fmt.Sprintf("counter:%d", rnd.IntN(1000)))
		l.note(failedCall{goroutine, time.Now(), time.Since(begun), err})
	}
}

func (l *load) note(call failedCall) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	l.longest = max(l.longest, call.took)
	if call.err != nil {
		l.failed = append(l.failed, call)
	}
}

// count returns how many calls have ended.
func (l *load) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

// goOn waits until n more calls have ended.
func (l *load) goOn(t testing.TB, n int) {
	t.Helper()
	from := l.count()
	redistest.WaitFor(t, patient, func() bool { return l.count() >= from+n }, "%d more calls", n)
}

// finish stops the load and returns the calls that failed.
func (l *load) finish() []failedCall {
	l.mu.Lock()
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.mu.Unlock()
	l.wg.Wait()
	return l.failed
}
