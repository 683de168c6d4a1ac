package faults_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/gomodule/redigo/redis"
	"github.com/rs/zerolog"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

const (
	// patient bounds waits for what is sure to come, however slow the machine is.
	patient = 30 * time.Second
	// canary is a password that must never be seen.
	canary = "c4nary-pa55word"
)

// wholeFaults is whether there is time for each fault to last as long as it may.
var wholeFaults = os.Getenv("FLUSTER_FAULTS") == "whole"

// line is a server behind a proxy, which behaves until it is told not to.
type line struct {
	*redistest.Server
	t     *testing.T
	proxy *toxiproxy.Proxy
	addr  string // where every proxy listens
}

// newLine runs a server, and a proxy in front of it in this process.
func newLine(t *testing.T) *line {
	t.Helper()
	s := redistest.Start(t, "--requirepass", canary)
	l := &line{Server: s, t: t}
	l.relay("127.0.0.1:0")
	l.addr = l.proxy.Listen
	return l
}

// relay puts a proxy before the server, which listens at an address.
func (l *line) relay(addr string) {
	l.t.Helper()
	quiet := zerolog.New(io.Discard)
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), quiet)
	l.proxy = toxiproxy.NewProxy(server, "line", addr, l.Addr())
	require.NoError(l.t, l.proxy.Start())
	l.t.Cleanup(l.proxy.Stop)
}

// spoil adds a toxic to what comes from the server.
func (l *line) spoil(kind, attributes string) {
	l.t.Helper()
	_, err := l.proxy.Toxics.AddToxicJson(strings.NewReader(
		fmt.Sprintf(`{"name": "it", "type": %q, "stream": "downstream", "attributes": %s}`, kind, attributes)))
	require.NoError(l.t, err)
}

// renew puts another proxy in the place of one with a toxic, and so ends all connections. To
// take away a toxic that holds something for a client who has left can wait for ever: for the
// connection to be forgotten, which waits for the toxic to be away.
func (l *line) renew() {
	l.t.Helper()
	l.proxy.Stop()
	l.relay(l.addr)
}

// heal takes away a toxic that holds nothing.
func (l *line) heal() {
	l.t.Helper()
	require.NoError(l.t, l.proxy.Toxics.RemoveToxic(l.t.Context(), "it"))
}

// pool is a pool as a user builds it.
func (l *line) pool(limit time.Duration) *redis.Pool {
	return &redis.Pool{MaxIdle: 64, DialContext: func(ctx context.Context) (redis.Conn, error) {
		return redis.DialContext(ctx, "tcp", l.addr, redis.DialPassword(canary),
			redis.DialConnectTimeout(limit), redis.DialReadTimeout(limit), redis.DialWriteTimeout(limit))
	}}
}

// builders are who may have built a pool.
var builders = []string{"pools of the user's", "pools from URLs"}

// eachBuilder runs a row for pools of both kinds.
func eachBuilder(t *testing.T, number int, fault, injected string, run func(r *trial, builder string)) {
	for _, builder := range builders {
		t.Run(builder, func(t *testing.T) { run(beginTrial(t, number, fault+": "+builder, injected), builder) })
	}
}

// trial is one row of the fault matrix under test.
type trial struct {
	*redistest.Row
	t     *testing.T
	lines []*line
	watch *redistest.Stopwatch
	limit time.Duration // each time-out of the pools
	*fluster.FlusterCluster
}

// beginTrial begins a row. Call it first of all in a test.
func beginTrial(t *testing.T, number int, fault, injected string) *trial {
	t.Helper()
	r := &trial{Row: redistest.Faults(t, number, fault, injected), t: t, limit: 200 * time.Millisecond}
	// The proxy's own: a toxic whose client has left waits for ever to hand on what it
	// holds, and who feeds it does.
	redistest.NoLeaks(t, goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"))
	l, err := net.Listen("tcp", "127.0.0.1:0") // for the runtime to have the descriptors that it keeps
	require.NoError(t, err)
	require.NoError(t, l.Close())
	before := redistest.OpenFDs()
	t.Cleanup(func() {
		if !t.Failed() {
			redistest.WaitFor(t, patient, func() bool { return redistest.OpenFDs() <= before }, "as few descriptors as before: %d", before)
		}
	})
	r.watch = redistest.StartStopwatch()
	t.Cleanup(r.watch.End)
	return r
}

// open runs n servers behind proxies, and a cluster over them.
func (r *trial) open(n int, builder string) {
	r.t.Helper()
	cfg := fluster.Config{Health: health.Config{Interval: 100 * time.Millisecond, Timeout: r.limit, MaxWait: 2 * time.Second}}
	for i := range n {
		l := newLine(r.t)
		name := string(rune('a' + i))
		node := fluster.Node{Name: name, Addr: l.addr, Pool: l.pool(r.limit)}
		if builder != builders[0] {
			var err error
			node, err = fluster.ParseNode(fmt.Sprintf("redis://:%s@%s?name=%s&dial_timeout=%v&read_timeout=%v&write_timeout=%v",
				canary, l.addr, name, r.limit, r.limit, r.limit))
			require.NoError(r.t, err)
		}
		r.lines, cfg.Nodes = append(r.lines, l), append(cfg.Nodes, node)
	}
	var err error
	r.FlusterCluster, err = fluster.New(cfg)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = r.Close() })
	require.NoError(r.t, r.WaitReady(r.t.Context()))
}

// node returns a node's status.
func (r *trial) node(name string) fluster.NodeStatus {
	r.t.Helper()
	for _, st := range r.Nodes() {
		if st.Name == name {
			return st
		}
	}
	r.t.Fatalf("no node %s", name)
	return fluster.NodeStatus{}
}

// calm reports a machine that has not stalled for as long as a time-out.
func (r *trial) calm() bool { return r.watch.Slack() < r.limit }

// within checks that something took no longer than it may, on a machine that runs.
func (r *trial) within(most, took time.Duration, what string) {
	r.t.Helper()
	assert.LessOrEqual(r.t, took, most+r.watch.Slack(), what)
}

// secretless checks an error that a caller got.
func (r *trial) secretless(err error) {
	r.t.Helper()
	assert.NotContains(r.t, fmt.Sprintf("%v %+v %#v", err, err, err), canary)
}
