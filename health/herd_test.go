package health

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestManyClientsDoNotComeBackAsOneWave simulates clients that all lose a
// server within 50 ms, for half a minute, each with a second server that
// lives.
func TestManyClientsDoNotComeBackAsOneWave(t *testing.T) {
	const (
		clients = 5000
		outage  = 30 * time.Second
		seed    = 20
	)
	random := rand.New(rand.NewPCG(seed, seed))
	t.Logf("seed %d", seed)
	back := make([]time.Duration, clients)
	probes := make([]time.Duration, 0, 12*clients)
	for i := range back {
		g := newGroup(Config{}.withDefaults(), 2, random.Float64, epoch)
		m := g.nodes[0]
		now := epoch.Add(time.Duration(random.Int64N(int64(50 * ms))))
		g.report(now, 0, Evidence{Class: Hard, Cause: errFault})
		for !m.state.Live {
			now = m.next(now)
			m.begin(now)
			probes = append(probes, now.Sub(epoch))
			if now.Sub(epoch) < outage {
				g.finish(now, 0, Evidence{Class: Hard, Cause: errFault})
			} else {
				g.finish(now, 0, Evidence{Class: Alive})
			}
		}
		back[i] = now.Sub(epoch)
	}

	assert.LessOrEqual(t, slices.Max(back), outage+DefaultMaxWait)
	wave := crowd(back, 100*ms)
	assert.LessOrEqual(t, wave, clients/10, "clients back within the same 100 ms")
	assert.LessOrEqual(t, len(probes)/clients, 12, "probes of each client")
	settled := slices.DeleteFunc(probes, func(at time.Duration) bool { return at < 5*time.Second })
	assert.LessOrEqual(t, crowd(settled, 10*ms), clients*15/1000, "probes within the same 10 ms")
	t.Logf("biggest wave %d of %d, last back after %v, %d probes", wave, clients, slices.Max(back)-outage, len(probes))
}

// crowd is the largest number of times within one window.
func crowd(times []time.Duration, window time.Duration) int {
	slices.Sort(times)
	most, first := 0, 0
	for i, at := range times {
		for at-times[first] >= window {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}
