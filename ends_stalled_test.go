package fluster_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
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
}

// stalled is a child process that calls.
type stalled struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	said  *bufio.Scanner
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
			return s
		}
	}
	c.t.Fatalf("the child says nothing: %v", c.said.Err())
	return s
}

// stop stops the child for some time.
func (c *stalled) stop(d time.Duration) {
	c.t.Helper()
	require.NoError(c.t, c.cmd.Process.Signal(syscall.SIGSTOP))
	time.Sleep(d) // the span that it misses
	require.NoError(c.t, c.cmd.Process.Signal(syscall.SIGCONT))
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
		if r.slack() < quick.Read {
			assert.LessOrEqual(t, benched(before, after), 1, "%v", after.Causes)
		}
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
	assert.LessOrEqual(t, benched(before, after), 1, "%v", after.Causes)
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
