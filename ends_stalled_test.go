package fluster_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// A process that stands still for longer than its time-outs sees all of its calls
// time out at once. These tests stop a child process that calls, and let it go on.

// sighting is what a child that calls has seen so far.
type sighting struct {
	Calls, Lost int
	Longest     time.Duration
	Live        int      // nodes
	Penalties   []uint64 // of each node
	Probes      []uint64
	Causes      []string
	Late        [2]time.Duration // by how much turns of it came late since the last sighting, at worst
}

// stalled is a child process that calls.
type stalled struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  *bufio.Scanner

	stopped time.Duration   // for how long it was stopped last
	late    []time.Duration // how late the child had its turns since
}

const sightingMark = "sighting "

// startStalled runs this test again in a child, there with the addresses of servers.
func startStalled(t *testing.T, servers []*redistest.Server) *stalled {
	t.Helper()
	var addrs []string
	for _, s := range servers {
		addrs = append(addrs, s.Addr())
	}
	c := &stalled{t: t, cmd: exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")}
	c.cmd.Env = append(os.Environ(), childServers+"="+strings.Join(addrs, ","), redistest.RowsFile+"=")
	var err error
	c.stdin, err = c.cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	c.cmd.Stderr = os.Stderr
	require.NoError(t, c.cmd.Start())
	c.said = bufio.NewScanner(stdout)
	c.said.Buffer(nil, 1<<20)
	t.Cleanup(func() {
		_ = c.stdin.Close()
		_ = c.cmd.Process.Signal(syscall.SIGCONT)
		if c.cmd.ProcessState == nil {
			_ = c.cmd.Process.Kill()
			_ = c.cmd.Wait()
		}
	})
	return c
}

// look asks the child what it sees.
func (c *stalled) look() (s sighting) {
	c.t.Helper()
	_, err := fmt.Fprintln(c.stdin, "look")
	require.NoError(c.t, err)
	for c.said.Scan() {
		if _, report, ok := strings.Cut(c.said.Text(), sightingMark); ok {
			require.NoError(c.t, json.Unmarshal([]byte(report), &s))
			c.late = append(c.late, s.Late[:]...)
			return s
		}
	}
	c.t.Fatalf("the child says nothing: %v", c.said.Err())
	return s
}

// stop stops the child for some time.
func (c *stalled) stop(d time.Duration) {
	c.t.Helper()
	c.late = nil
	require.NoError(c.t, c.cmd.Process.Signal(syscall.SIGSTOP))
	begun := time.Now()
	time.Sleep(d) // the span that it misses
	c.stopped = time.Since(begun)
	require.NoError(c.t, c.cmd.Process.Signal(syscall.SIGCONT))
}

// slack is by how much a bound is to be eased since the child stood still once more than it
// was made to: then its probes are late as well as its calls.
func (c *stalled) slack() time.Duration {
	late := append(slices.Sorted(slices.Values(c.late)), 0)
	late[len(late)-2] -= c.stopped
	return 10 * slices.Max(late)
}

// await looks until cond holds.
func (c *stalled) await(cond func(s sighting) bool, what string) (s sighting) {
	c.t.Helper()
	redistest.WaitFor(c.t, patient, func() bool { s = c.look(); return cond(s) }, "%s", what)
	return s
}

// inStalled is what the child does: it calls, and tells what it sees when it is asked.
// It returns false in the parent.
func inStalled(t *testing.T) bool {
	addrs := os.Getenv(childServers)
	if addrs == "" {
		return false
	}
	cfg := fluster.Config{Health: brisk}
	for i, addr := range strings.Split(addrs, ",") {
		n, err := fluster.ParseNode("redis://" + addr + "?name=" + nodeName(i) + "&" + briefly)
		require.NoError(t, err)
		cfg.Nodes = append(cfg.Nodes, n)
	}
	c := newCluster(t, cfg)
	require.NoError(t, c.WaitReady(t.Context()))
	pooled, routed := startLoad(t, c, callers/2), startRouted(t, c, callers/2)
	turns := redistest.StartStopwatch()
	defer turns.End()
	for asked := bufio.NewScanner(os.Stdin); asked.Scan(); {
		var s sighting
		for _, l := range []*load{pooled, routed} {
			l.mu.Lock()
			s.Calls, s.Lost, s.Longest = s.Calls+l.calls, s.Lost+len(l.failed), max(s.Longest, l.longest)
			l.mu.Unlock()
		}
		for _, st := range c.Nodes() {
			if st.Live {
				s.Live++
			}
			s.Penalties, s.Probes = append(s.Penalties, st.Penalties), append(s.Probes, st.Probes)
			if st.LastCause != nil {
				s.Causes = append(s.Causes, st.Name+": "+st.LastCause.Error())
			}
		}
		s.Late = turns.Lap()
		report, err := json.Marshal(s)
		require.NoError(t, err)
		fmt.Printf("\n%s%s\n", sightingMark, report)
	}
	return true
}

// benched returns how many nodes were penalized between two sightings.
func benched(before, after sighting) (n int) {
	for i := range after.Penalties {
		if after.Penalties[i] > before.Penalties[i] {
			n++
		}
	}
	return n
}

// requireOneOut checks that no more than one node was penalized between two sightings, if
// the child was given its turns.
func (c *stalled) requireOneOut(before, after sighting) {
	c.t.Helper()
	if c.slack() < quick.Read {
		assert.LessOrEqual(c.t, benched(before, after), 1, "%v", after.Causes)
	}
}

func TestRow44AProcessThatStallsPutsNoMoreThanOneNodeOut(t *testing.T) {
	if inStalled(t) {
		return
	}
	r := beginTrial(t, 44, "the client stalls for 300 ms under load", "SIGSTOP of the client")
	servers := startServers(t, 3)
	child := startStalled(t, servers)
	stalls := 3
	if wholeFaults {
		stalls = 50
	}
	worst := 0
	for range stalls {
		before := child.await(func(s sighting) bool { return s.Live == 3 && s.Calls > 1000 }, "all nodes live, and are used")
		child.stop(300 * time.Millisecond)
		healed := time.Now()
		after := child.await(func(s sighting) bool { return s.Live == 3 && s.Calls > before.Calls+1000 }, "all is well again")
		r.Recovered = max(r.Recovered, time.Since(healed))
		r.Calls, r.Lost = after.Calls, after.Lost
		worst = max(worst, benched(before, after))
		child.requireOneOut(before, after)
	}
	r.within(2*brisk.MaxWait, r.Recovered, "the way back")
	r.Remark = fmt.Sprintf("%d stalls, at most %d node out", stalls, worst)
}

// Nothing asks what time of day it is: a deadline that was set before the machine slept,
// or the clock was put forward or back, is neither over for ever nor over at once.
func TestRow45AProcessThatSleptGoesOnWhereItWas(t *testing.T) {
	if inStalled(t) {
		return
	}
	r := beginTrial(t, 45, "the client sleeps for seconds, while a node is out", "SIGSTOP of the client")
	servers := startServers(t, 3)
	child := startStalled(t, servers)
	child.await(func(s sighting) bool { return s.Live == 3 && s.Calls > 1000 }, "all nodes live, and are used")
	servers[1].Kill()
	before := child.await(func(s sighting) bool { return s.Live == 2 }, "b is out")
	before = child.await(func(s sighting) bool { return s.Probes[1] >= before.Probes[1]+3 }, "b's waits have grown")
	nap := time.Second
	if wholeFaults {
		nap = time.Minute
	}
	child.stop(nap)
	woken := time.Now()
	after := child.await(func(s sighting) bool { return s.Live == 2 && s.Calls > before.Calls+1000 }, "the others are used")
	child.requireOneOut(before, after)
	r.Recovered = time.Since(woken)
	due := 1 + int(time.Since(woken)/(brisk.MaxWait/2))
	assert.LessOrEqual(t, int(after.Probes[1]-before.Probes[1]), due+1, "probes that were missed are not made up for")
	servers[1].Restart()
	after = child.await(func(s sighting) bool { return s.Live == 3 }, "b is back")
	r.Calls, r.Lost = after.Calls, after.Lost
}

// A time that has the reading of the monotonic clock with it is compared by that.
func TestRow45EveryTimeOfANodeHoldsTheMonotonicClocksReading(t *testing.T) {
	r := beginTrial(t, 45, "the clock is put forward or back", "the times that a cluster goes by, looked at")
	r.Remark = "the clock of this machine is not the test's to set"
	var mu sync.Mutex
	var events []fluster.Event
	f := &fleet{servers: startServers(t, 2)}
	f.FlusterCluster = newCluster(t, fluster.Config{Nodes: nodesOf(f.servers, quick), Health: brisk, OnEvent: func(e fluster.Event) {
		mu.Lock()
		defer mu.Unlock()
		events = append(events, e)
	}})
	f.servers[1].Kill()
	waitDown(t, f.FlusterCluster, "b")
	st := status(t, f.FlusterCluster, "b")
	monotonic := func(at time.Time) bool { return strings.Contains(at.String(), " m=") }
	assert.True(t, monotonic(st.Since), "since when it is out")
	assert.True(t, monotonic(st.Until), "when it is probed")
	assert.Positive(t, time.Until(st.Until)+brisk.MaxWait)
	f.servers[1].Restart()
	waitLive(t, f.FlusterCluster, "b")
	assert.True(t, monotonic(status(t, f.FlusterCluster, "b").Since), "since when it lives")
	require.NoError(t, f.Close())
	for _, e := range events {
		assert.True(t, monotonic(e.At))
		assert.GreaterOrEqual(t, e.Wait, time.Duration(0))
	}
	assert.NotEmpty(t, events)
}
