package fluster_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
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
	nodes, clients := scale(200, 20, 8), scale(200, 40, 20)
	hours := time.Duration(scale(2, 2, 1)) * time.Hour
	cfg := defaultHealth(health.DefaultMaxWait)
	cfg.Interval = time.Duration(scale(2, 1, 1)) * time.Minute // some 3 million probes
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, nodes, clients, cfg)
		over := make(chan struct{})
		go func() {
			defer close(over)
			s.fates(seed, s.begun.Add(hours))
		}()
		views := 0
		s.watch(t, over, func() { views = max(views, len(s.assertOnePlacement(t))) })

		time.Sleep(cfg.MaxWait + cfg.Interval + cfg.Interval/10 + 2*health.DefaultTimeout)
		s.assertAllLive(t, "after the last fault")
		require.Len(t, s.assertOnePlacement(t), 1, "all see the same nodes")
		s.assertProbesBounded(t, cfg)
		wave := 0
		for node := range s.servers {
			wave = max(wave, s.assertNoWave(t, node))
		}
		t.Logf("%d nodes, %d clients, %v: %d probes, %d penalties, %d views at once, %d back within %v", nodes, clients, time.Since(s.begun), s.probes(), s.penalties(), views, wave, wide)
		assert.NotZero(t, s.penalties(), "nothing happened")
		assert.Greater(t, views, 1, "everybody saw the same at all times")
	})
}

// assertNoWave checks that no more clients took a node back at the same time than 10 %,
// and what chance adds to that in a small fleet. It returns how many did.
func (s *simulation) assertNoWave(t *testing.T, node int) int {
	t.Helper()
	const windows = 10_000
	var releases []time.Duration
	for _, c := range s.clients {
		releases = append(releases, c.releasesOf(node, s.begun)...)
	}
	wave := biggest(releases, wide)
	assert.LessOrEqual(t, float64(wave), crowd(len(s.clients), 0.1, windows), "%s came back to so many at once", nameOfSim(node))
	return wave
}

// releasesOf returns when the client took a node back, counted from since.
func (c *simulatedClient) releasesOf(node int, since time.Time) (times []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.releases {
		if e.Node.Name == nameOfSim(node) {
			times = append(times, e.At.Sub(since))
		}
	}
	return times
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
func (s *simulation) assertProbesBounded(t *testing.T, cfg health.Config) {
	t.Helper()
	elapsed := time.Since(s.begun)
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

// herd is what became of many clients in an outage of one node.
type herd struct {
	clients  int
	pings    []time.Duration // that the node got while it was up, since the clients began
	dials    []time.Duration // by clients that had it out, since the outage began
	releases []time.Duration // since it ended
}

// settling is how long clients get before the outage: the first probe dials.
const settling = 2 * time.Second

// stampede lets a node of that many clients be out, and everybody notice: a dead one at
// once, by a call, and a frozen one by probes.
func stampede(t *testing.T, f fleetOutage, up time.Duration) *herd {
	seed, h := seedOfSim(t), &herd{clients: f.clients}
	synctest.Test(t, func(t *testing.T) {
		s := newSimulation(t, 3, f.clients, f.health)
		pings := &ledgerOfSim{}
		s.servers[0].Handle(pings.note)
		time.Sleep(up)
		h.pings = pings.since(s.begun)
		began := time.Now()
		if f.frozen {
			s.servers[0].Hang()
		} else {
			s.servers[0].Crash()
			s.touchAll(t, rand.New(rand.NewPCG(seed, 1)))
		}
		time.Sleep(f.outage)
		ended := time.Now()
		s.servers[0].Resume()
		time.Sleep(f.health.MaxWait + f.health.Timeout)
		s.assertAllLive(t, "after the return")
		for _, c := range s.clients {
			h.releases = append(h.releases, c.releasesOf(0, ended)...)
			h.dials = append(h.dials, c.dialsInTheBox(began, f.frozen)...)
		}
	})
	require.Len(t, h.releases, f.clients, "each client takes it back once")
	return h
}

// ledgerOfSim notes when a server got a PING. It answers nothing itself.
type ledgerOfSim struct {
	mu    sync.Mutex
	pings []time.Time
}

func (l *ledgerOfSim) note(cmd []string) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if cmd[0] == "PING" {
		l.pings = append(l.pings, time.Now())
	}
	return nil
}

func (l *ledgerOfSim) since(begun time.Time) (times []time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.pings {
		times = append(times, at.Sub(begun))
	}
	return times
}

// touchAll has every client notice soon that a node is dead.
func (s *simulation) touchAll(t *testing.T, rnd *rand.Rand) {
	for _, c := range s.clients {
		time.AfterFunc(time.Duration(rnd.Int64N(int64(noticing))), func() { c.touch(t, nameOfSim(0)) })
	}
}

// dialsInTheBox returns when the client dialed the node since it had it out: after a
// caller's dial of a dead one, or two more probes of a frozen one.
func (c *simulatedClient) dialsInTheBox(began time.Time, frozen bool) (times []time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range c.dials {
		if since := d.at.Sub(began); d.node == 0 && since >= 0 {
			times = append(times, since)
		}
	}
	if frozen {
		return times[2:]
	}
	return times[1:]
}

func TestRow52AHerdOfClientsDoesNotComeBackAsOneWave(t *testing.T) {
	clients := scale(5000, 1500, 300)
	row := redistest.Faults(t, 52, fmt.Sprintf("a node of %d clients is down for 30 s", clients), "simulated, in fake time")
	f := outageOf(clients, health.DefaultMaxWait, 30*time.Second, false)
	h := stampede(t, f, 3*time.Second)
	const grown = 4 * time.Second // until then waits are short, and nobody far from the others
	dials := slices.DeleteFunc(h.dials, func(at time.Duration) bool { return at < grown || at >= f.outage })
	wave, peak := biggest(h.releases, wide), biggest(dials, 10*time.Millisecond)
	t.Logf("%d clients: the biggest wave of returns in 100 ms %.1f %%, of probes in 10 ms %.2f %%, %.1f probes a client in %v, the last back after %v",
		clients, percent(wave, clients), percent(peak, clients), float64(len(dials))/float64(clients), f.outage-grown, slices.Max(h.releases))
	row.Recovered = slices.Max(h.releases)
	row.Remark = fmt.Sprintf("at most %.1f %% of clients come back in 100 ms, and %.1f %% probe in 10 ms", percent(wave, clients), percent(peak, clients))
	assert.LessOrEqual(t, percent(wave, clients), 10.0)
	usual := 0.008 * float64(clients) // in the busiest 10 ms; few clients meet by chance
	assert.LessOrEqual(t, float64(peak), usual+6*math.Sqrt(usual)+4)
	assert.LessOrEqual(t, float64(len(dials)), 16.0*float64(clients))
}

func TestAFleetOfThousandsComesBackInSmallWavesWhateverHappened(t *testing.T) {
	const long = 30 * time.Second
	for name, happen := range map[string]func(t *testing.T, s *simulation, rnd *rand.Rand){
		"a node dies": func(_ *testing.T, s *simulation, _ *rand.Rand) {
			s.servers[0].Crash()
			time.Sleep(long)
			s.servers[0].Resume()
		},
		"a node freezes": func(_ *testing.T, s *simulation, _ *rand.Rand) {
			s.servers[0].Hang()
			time.Sleep(long)
			s.servers[0].Resume()
		},
		"a node flaps": func(_ *testing.T, s *simulation, _ *rand.Rand) { s.flap(s.servers[0], long) },
		"some clients do not reach a node": func(t *testing.T, s *simulation, rnd *rand.Rand) {
			time.AfterFunc(long/2, func() {
				assert.Len(t, s.assertOnePlacement(t), 2, "those who reach it and those who do not")
			})
			s.part(rnd, 0, long)
		},
	} {
		t.Run(name, func(t *testing.T) {
			seed, clients, cfg := seedOfSim(t), scale(3000, 300, 100), defaultHealth(health.DefaultMaxWait)
			synctest.Test(t, func(t *testing.T) {
				s := newSimulation(t, 3, clients, cfg)
				time.Sleep(settling)
				happen(t, s, rand.New(rand.NewPCG(seed, 3)))
				time.Sleep(cfg.MaxWait + cfg.Interval + cfg.Interval/10 + 2*cfg.Timeout)
				s.assertAllLive(t, "after the fault")
				require.Len(t, s.assertOnePlacement(t), 1)
				s.assertProbesBounded(t, cfg)
				t.Logf("%d clients, %d penalties, %d probes, at most %d back within %v", clients, s.penalties(), s.probes(), s.assertNoWave(t, 0), wide)
				assert.NotZero(t, s.penalties(), "nobody noticed")
			})
		})
	}
}

func TestAFleetDoesWhatTheArithmeticSays(t *testing.T) {
	whole := scale(1, 0, 0) == 1
	for _, clients := range []int{scale(1000, 1000, 250), 5000} {
		for _, maxWait := range []time.Duration{health.DefaultMaxWait, 2 * time.Second} {
			for _, frozen := range []bool{false, true} {
				t.Run(fmt.Sprintf("%d clients, MaxWait %v, frozen %t", clients, maxWait, frozen), func(t *testing.T) {
					if !whole && (clients > 1000 || maxWait < health.DefaultMaxWait || frozen) {
						t.Skip("make simulate does this")
					}
					f := outageOf(clients, maxWait, 30*time.Second, frozen)
					if frozen {
						f.notice = noticedByProbes(f.health)
					}
					const up = settling + 4*time.Second
					f.model().assertLike(t, stampede(t, f, up), up)
				})
			}
		}
	}
}

// noticedByProbes is the density of when a frozen node is out that is not called: what is
// left of the interval at a random moment, and three probes that time out, the last of
// them after a short pause.
func noticedByProbes(cfg health.Config) density {
	const failures, pause = health.DefaultFailures, 15 * time.Millisecond
	i := cfg.Interval.Seconds()
	left := make(density, cells(cfg.Interval*11/10))
	for at := range left {
		x := (time.Duration(at) * cell).Seconds()
		left[at] = cell.Seconds() / i * min(1, (1.1*i-x)/(0.2*i))
	}
	return left.later(failures*cfg.Timeout + pause)
}

// assertLike checks a simulated herd against what is computed: shares of clients and
// probes per client to within chance, and crowds to what chance comes to once in millions.
func (c course) assertLike(t *testing.T, h *herd, up time.Duration) {
	t.Helper()
	n := float64(h.clients)
	crowded := func(what string, times []time.Duration, p float64, windows int) {
		t.Helper()
		got, want := float64(biggest(times, wide)), crowd(h.clients, p, windows)
		assert.LessOrEqual(t, got, crowd(h.clients, p, 1_000_000*windows), what)
		assert.GreaterOrEqual(t, got, want-3*math.Sqrt(n*p)-1, what)
		t.Logf("%s in %v: %.0f (computed: %.0f)", what, wide, got, want)
	}
	pings := slices.DeleteFunc(h.pings, func(at time.Duration) bool { return at < settling })
	assert.InDelta(t, n*(up-settling).Seconds()/c.health.Interval.Seconds(), len(pings), 2*math.Sqrt(n), "probes of the live node")
	crowded("probes of the live node", pings, wide.Seconds()/c.health.Interval.Seconds(), overlapping*int((up-settling)/wide))

	dials := densityOf(h.dials, h.clients)
	assert.Less(t, distance(c.probes, dials), chance/math.Sqrt(n), "probes of the node that is out, by time")
	t.Logf("dials a client: %.2f (computed: %.2f)", dials.share(0, time.Hour), c.probes.share(0, c.outage)+1)
	p, windows := c.probes.busiest(wide, 0, c.outage)
	crowded("probes of the node that is out", h.dials, p, windows)

	assert.Less(t, distance(c.returns, densityOf(h.releases, h.clients)), chance/math.Sqrt(n), "returns, by time")
	p, windows = c.returns.busiest(wide, 0, c.health.MaxWait)
	crowded("returns", h.releases, p, windows)
	last := slices.Max(h.releases)
	assert.LessOrEqual(t, last, c.health.MaxWait)
	assert.Greater(t, last, c.left(14), "the last is back") // earlier once in a million times
	t.Logf("the last is back after %v (computed: %v)", last, c.left(1))
}

// densityOf returns how often something happened per client.
func densityOf(times []time.Duration, clients int) density {
	d := make(density, cells(slices.Max(times))+1)
	for _, at := range times {
		d[cells(at)] += 1 / float64(clients)
	}
	return d
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
