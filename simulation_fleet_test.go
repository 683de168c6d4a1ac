package fluster_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// scale is how large a simulation is: as large as a machine bears with "make
// simulate", smaller as one test among others, and small under the race detector,
// which bears some 8,000 goroutines.
func scale(whole, part, raced int) int {
	switch {
	case underRace:
		return raced
	case os.Getenv("FLUSTER_SIMULATE") == "whole":
		return whole
	}
	return part
}

// seedOfSim is the seed of the environment, or a new one.
func seedOfSim(t *testing.T) uint64 {
	seed := rand.Uint64()
	if s := os.Getenv("FLUSTER_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("FLUSTER_SEED=%d", seed)
	return seed
}

func TestAFleetSeesTheTruthWithinMaxWaitAndAnIntervalOfTheLastFault(t *testing.T) {
	seed := seedOfSim(t)
	nodes, clients := scale(100, 20, 8), scale(200, 40, 20)
	hours := time.Duration(scale(2, 2, 1)) * time.Hour
	cfg := health.Config{Interval: time.Minute, MaxWait: 10 * time.Second}
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, nodes, clients, cfg)
		begun := time.Now()
		over := make(chan struct{})
		go func() {
			defer close(over)
			s.fates(seed, begun.Add(hours))
		}()
		keys := make([]string, 50)
		for i := range keys {
			keys[i] = fmt.Sprintf("key:%d", i)
		}
		s.watch(t, over, func() { s.assertOnePlacement(t, keys) })

		time.Sleep(cfg.MaxWait + cfg.Interval + cfg.Interval/10 + 2*health.DefaultTimeout)
		s.assertAllLive(t, "after the last fault")
		s.assertOnePlacement(t, keys)
		s.assertProbesBounded(t, cfg, time.Since(begun))
		t.Logf("%d nodes, %d clients, %v: %d probes, %d penalties", nodes, clients, time.Since(begun), s.probes(), s.penalties())
		assert.NotZero(t, s.penalties(), "nothing happened")
	})
}

// watch runs check every half minute, until over is closed.
func (s *simulation) watch(t *testing.T, over <-chan struct{}, check func()) {
	t.Helper()
	for {
		select {
		case <-over:
			return
		case <-time.After(30 * time.Second):
			check()
		}
	}
}

// penalties returns how often any client penalized any node.
func (s *simulation) penalties() (n uint64) {
	for _, c := range s.clients {
		for _, st := range c.Nodes() {
			n += st.Penalties
		}
	}
	return n
}

// assertProbesBounded checks that nobody probed more than the configuration says:
// once an interval, which is cut by a tenth at most; and while a node is out, after
// waits that double up to MaxWait and are cut by half at most. A failure is followed
// by Failures probes at once, at most.
func (s *simulation) assertProbesBounded(t *testing.T, cfg health.Config, elapsed time.Duration) {
	t.Helper()
	growth := math.Log2(float64(cfg.MaxWait)/float64(health.DefaultMinWait)) + 2
	for i, c := range s.clients {
		var penalties, failures uint64
		for _, st := range c.Nodes() {
			penalties += st.Penalties
			failures += st.ProbeFailures
		}
		c.mu.Lock()
		out := c.out
		c.mu.Unlock()
		regular := float64(len(s.servers)) * (float64(elapsed)/(0.9*float64(cfg.Interval)) + 1)
		inTheBox := float64(penalties)*(growth+health.DefaultFailures) + float64(out)/(float64(cfg.MaxWait)/2)
		require.LessOrEqual(t, float64(c.probes()), regular+inTheBox+float64(failures)*health.DefaultFailures, "client %d", i)
		require.LessOrEqual(t, float64(failures), inTheBox+float64(len(s.servers))*health.DefaultFailures*elapsed.Hours()*4, "client %d", i)
	}
}

func TestRow52AHerdOfClientsDoesNotComeBackAsOneWave(t *testing.T) {
	seed := seedOfSim(t)
	clients := scale(5000, 1500, 300)
	row := redistest.Faults(t, 52, fmt.Sprintf("a node of %d clients is down for 30 s", clients), "simulated, in fake time")
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		s := newSimulation(t, 3, clients, health.Config{})
		time.Sleep(3 * time.Second)
		const down, grown = 30 * time.Second, 4 * time.Second // until then waits are short, and nobody far from the others
		died := time.Now()
		s.servers[0].Crash()
		for _, c := range s.clients {
			late := time.Duration(rnd.Int64N(int64(50 * time.Millisecond)))
			time.AfterFunc(late, func() { c.touch(t, c.Nodes()[0].Name) })
		}
		time.Sleep(down)
		returned := time.Now()
		s.servers[0].Resume()
		time.Sleep(health.DefaultMaxWait + health.DefaultTimeout)
		s.assertAllLive(t, "after the return")

		var releases, dials []time.Duration
		for _, c := range s.clients {
			c.mu.Lock()
			for _, e := range c.releases {
				releases = append(releases, e.At.Sub(returned))
			}
			for _, d := range c.dials {
				if since := d.at.Sub(died); d.node == 0 && since > grown && since < down {
					dials = append(dials, since)
				}
			}
			c.mu.Unlock()
		}
		require.Len(t, releases, clients, "each client takes it back once")
		wave, peak := biggest(releases, 100*time.Millisecond), biggest(dials, 10*time.Millisecond)
		t.Logf("%d clients: the biggest wave of returns in 100 ms %.1f %%, of probes in 10 ms %.2f %%, %.1f probes a client in %v, the last back after %v",
			clients, percent(wave, clients), percent(peak, clients), float64(len(dials))/float64(clients), down-grown, slices.Max(releases))
		row.Recovered = slices.Max(releases)
		row.Remark = fmt.Sprintf("at most %.1f %% of clients come back in 100 ms, and %.1f %% probe in 10 ms", percent(wave, clients), percent(peak, clients))
		assert.LessOrEqual(t, percent(wave, clients), 10.0)
		perBucket := float64(len(dials)) / float64((down-grown)/(10*time.Millisecond)) // few clients meet by chance
		assert.LessOrEqual(t, float64(peak), max(0.015*float64(clients), perBucket+6*math.Sqrt(perBucket)+4))
		assert.LessOrEqual(t, float64(len(dials)), 16.0*float64(clients))
	})
}

// touch sends a command to a node, so that the client sees what is the matter.
func (c *simulatedClient) touch(t *testing.T, name string) {
	n, ok := c.Node(name)
	if !assert.True(t, ok) {
		return
	}
	conn := n.Pool.Get()
	defer func() { _ = conn.Close() }()
	_, err := conn.Do("INCR", "k")
	assert.Error(t, err)
}

func percent(n, of int) float64 { return 100 * float64(n) / float64(of) }

// biggest returns how many of times fall in one window of that width, at most.
func biggest(times []time.Duration, width time.Duration) (most int) {
	slices.Sort(times)
	first := 0
	for i, at := range times {
		for at-times[first] >= width {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
