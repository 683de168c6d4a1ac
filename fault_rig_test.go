package fluster_test

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/ring"
)

// longestCall is what a call may take of the pools of these tests: a dial, a write, a
// read, and the wait for the verdict on what failed.
const longestCall = 3*200*time.Millisecond + 100*time.Millisecond

// brisk lets nodes be probed as often as the targets of the matrix presume.
var brisk = health.Config{Interval: 100 * time.Millisecond, Timeout: 200 * time.Millisecond, MaxWait: 2 * time.Second}

// wholeFaults is whether there is time for each fault to last as long as it may.
var wholeFaults = os.Getenv("FLUSTER_FAULTS") == "whole"

// builders are who may have built a pool: where that makes a difference, a row is
// run for both.
var builders = []string{"pools of the user's", "pools from URLs"}

// trial is one row of the fault matrix under test, with what is watched in all of them:
// goroutines and descriptors, and a password that must never be seen.
type trial struct {
	*redistest.Row
	t     *testing.T
	said  ledger
	watch *redistest.Stopwatch
	limit time.Duration // each time-out; as quick's if zero
}

// beginTrial begins a row. Call it first of all in a test.
func beginTrial(t *testing.T, number int, fault, injected string) *trial {
	t.Helper()
	r := &trial{Row: redistest.Faults(t, number, fault, injected), t: t}
	redistest.NoLeaks(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") // for the runtime to have the descriptors that it keeps
	require.NoError(t, err)
	require.NoError(t, l.Close())
	before := redistest.OpenFDs()
	t.Cleanup(func() {
		if !t.Failed() && !t.Skipped() {
			redistest.WaitFor(t, patient, func() bool { return redistest.OpenFDs() <= before }, "as few descriptors as before: %d", before)
		}
	})
	r.watch = redistest.StartStopwatch()
	t.Cleanup(r.watch.End)
	return r
}

// eachBuilder runs a row for pools of both kinds, one after the other.
func eachBuilder(t *testing.T, number int, fault, injected string, run func(r *trial, builder string)) {
	for _, builder := range builders {
		t.Run(builder, func(t *testing.T) {
			run(beginTrial(t, number, fault+": "+builder, injected), builder)
		})
	}
}

// fleet runs n servers, which want a password, and a cluster over them.
func (r *trial) fleet(n int, builder string, cfg fluster.Config, args ...string) *fleet {
	r.t.Helper()
	f := &fleet{}
	for range n {
		f.servers = append(f.servers, redistest.Start(r.t, append(args, "--requirepass", canary)...))
	}
	cfg.Nodes = r.nodes(f.servers, builder)
	f.FlusterCluster = r.cluster(cfg)
	return f
}

// nodes returns a node for each server, with time-outs of 200 ms if r has none of its own.
func (r *trial) nodes(servers []*redistest.Server, builder string) []fluster.Node {
	r.t.Helper()
	limits := quick
	if r.limit > 0 {
		limits = redistest.PoolOptions{Connect: r.limit, Read: r.limit, Write: r.limit}
	}
	nodes := nodesOf(servers, limits)
	if builder == builders[0] {
		return nodes
	}
	for i, s := range servers {
		options := briefly
		if r.limit > 0 {
			options = strings.ReplaceAll(briefly, "200ms", r.limit.String())
		}
		node, err := fluster.ParseNode(fmt.Sprintf("redis://:%s@%s?name=%s&%s", s.Password(), s.Addr(), nodeName(i), options))
		require.NoError(r.t, err)
		nodes[i] = node
	}
	return nodes
}

// briefly are the options of a URL that make a pool as impatient as quick.
const briefly = "dial_timeout=200ms&read_timeout=200ms&write_timeout=200ms"

// cluster makes a cluster and writes down all that it says, up to its end.
func (r *trial) cluster(cfg fluster.Config) *fluster.FlusterCluster {
	r.t.Helper()
	cfg.Logger = slog.New(slog.NewJSONHandler(&r.said, nil))
	cfg.OnEvent = func(e fluster.Event) { r.said.print(e) }
	c := newCluster(r.t, cfg)
	r.t.Cleanup(func() {
		r.said.print(c)
		for _, st := range c.Nodes() {
			r.said.print(st)
		}
		_ = c.Close()
		if !r.t.Skipped() {
			r.said.requireClean(r.t)
		}
	})
	return c
}

// slack returns by how much a bound is to be eased by now, since the machine stalled.
func (r *trial) slack() time.Duration { return r.watch.Slack() }

// calm reports a machine that has not stalled for as long as a time-out. One that has
// makes calls time out that no fault met, and puts nodes out that are well.
func (r *trial) calm() bool { return r.slack() < quick.Read }

// again returns how many more calls a fault may cost one caller on a machine that stalls for
// slack. After a call that failed he is held until it is known whether the node is out, which
// takes 20 ms and is longer by the stall, but for no more than 50 ms. If he is let go before, he
// may call the node once more, which takes a time-out at most to fail; then he is held again.
func again(slack time.Duration) int {
	const known, held = 20 * time.Millisecond, 50 * time.Millisecond
	return int((slack + known + quick.Read) / (quick.Read + held))
}

// within checks that something took no longer than it may, on a machine that runs.
func (r *trial) within(most, took time.Duration, what string) {
	r.t.Helper()
	assert.LessOrEqual(r.t, took, most+r.slack(), what)
}

// back notes how long after the end of the fault all was well, and bounds it.
func (r *trial) back(healed time.Time, most time.Duration) {
	r.t.Helper()
	r.Recovered = time.Since(healed)
	r.within(most, r.Recovered, "the way back")
}

// ended finishes a load that met the fault and checks what holds in every row. Values
// are forgotten by servers that were killed: then only that none counted twice can be
// told. It returns the calls that failed.
func (r *trial) ended(f *fleet, l *load, forgot bool) []failedCall {
	r.t.Helper()
	failed := l.finish()
	r.Calls, r.Lost = r.Calls+l.calls, r.Lost+len(failed)
	r.Longest = max(r.Longest, l.longest)
	r.within(longestCall, l.longest, "the longest call")
	maybe := 0
	for _, call := range failed {
		r.said.print(call.err)
		assert.NotEqual(r.t, fluster.SafeToRetry(call.err), fluster.MaybeExecuted(call.err), "%v", call.err)
		if fluster.MaybeExecuted(call.err) {
			maybe++
		}
	}
	acked := l.calls - len(failed)
	counted := r.rightOwners(f)
	assert.LessOrEqual(r.t, counted, acked+maybe, "something ran twice")
	if !forgot {
		assert.GreaterOrEqual(r.t, counted, acked, "something is lost that was acknowledged")
	}
	return failed
}

// rightOwners checks that every key is only on nodes that it may have been on: its
// home, and where it goes while nodes are out that were. It returns the sum of the
// values.
func (r *trial) rightOwners(f *fleet) (sum int) {
	r.t.Helper()
	owners := ownersOf(r.t, f.Nodes())
	for i, s := range f.servers {
		keys, err := redis.Strings(s.Do("KEYS", "counter:*"), nil)
		require.NoError(r.t, err)
		if len(keys) == 0 {
			continue
		}
		args := make([]any, len(keys))
		for k, key := range keys {
			assert.True(r.t, owners(key)[i], "%s is on node %s", key, nodeName(i))
			args[k] = key
		}
		values, err := redis.Ints(s.Do("MGET", args...), nil)
		require.NoError(r.t, err)
		for _, v := range values {
			sum += v
		}
	}
	return sum
}

// ownersOf returns which nodes a key may have been on, given which have ever been out.
func ownersOf(t *testing.T, all []fluster.NodeStatus) func(key string) map[int]bool {
	t.Helper()
	nodes := make([]ring.Node, len(all))
	for i, st := range all {
		nodes[i].Name = st.Name
	}
	built, err := ring.Balanced{}.Build(nodes)
	require.NoError(t, err)
	var views []ring.View
	for out := range 1 << len(all) { // every set of nodes that may have been out at once
		live, possible := make([]bool, len(all)), true
		for i, st := range all {
			live[i] = out>>i&1 == 0
			possible = possible && (live[i] || st.Penalties > 0)
		}
		if possible {
			views = append(views, built.View(live))
		}
	}
	return func(key string) map[int]bool {
		owners := make(map[int]bool)
		for _, v := range views {
			owners[v.Locate(key)] = true
		}
		return owners
	}
}

// onlyOut checks that no node but those named was ever out, unless the machine stalled
// for as long as a time-out.
func (r *trial) onlyOut(c *fluster.FlusterCluster, names ...string) {
	r.t.Helper()
	if !r.calm() {
		return
	}
	out := map[string]bool{}
	for _, name := range names {
		out[name] = true
	}
	for _, st := range c.Nodes() {
		if !out[st.Name] {
			assert.Zero(r.t, st.Penalties, "node %s was out: %v", st.Name, st.LastCause)
		}
	}
}

// most returns the most often that any one of the callers failed at the named nodes.
func most(failed []failedCall, nodes ...string) (n int) {
	times := make(map[int]int)
	for _, call := range failed {
		var ne *fluster.NodeError
		if errors.As(call.err, &ne) && slices.Contains(nodes, ne.Node) {
			times[call.goroutine]++
			n = max(n, times[call.goroutine])
		}
	}
	return n
}
