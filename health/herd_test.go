package health

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// herd is clients that all lose a server within 50 ms, each with a second server that
// lives.
type herd struct {
	cfg     Config
	outage  time.Duration
	frozen  bool // and not dead, so that probes hang until they time out, or it thaws
	clients int
	back    []time.Duration // by client, since the outage began
	probes  []time.Duration
}

// run lets the server be out, and every client find it again.
func (h *herd) run(random *rand.Rand) {
	for range h.clients {
		g := newGroup(h.cfg, 2, random.Float64, epoch)
		m := g.nodes[0]
		now := epoch.Add(time.Duration(random.Int64N(int64(50 * ms))))
		g.report(now, 0, Evidence{Class: Hard, Cause: errFault})
		for !m.state.Live {
			now = m.next(now)
			m.begin(now)
			h.probes = append(h.probes, now.Sub(epoch))
			var ev Evidence
			now, ev = h.answer(now)
			g.finish(now, 0, ev)
		}
		h.back = append(h.back, now.Sub(epoch))
	}
}

// answer returns when a probe that begins now ends, and how.
func (h *herd) answer(now time.Time) (time.Time, Evidence) {
	up := epoch.Add(h.outage)
	switch {
	case !now.Before(up):
		return now, Evidence{Class: Alive}
	case !h.frozen:
		return now, Evidence{Class: Hard, Cause: errFault}
	case now.Add(h.cfg.Timeout).Before(up):
		return now.Add(h.cfg.Timeout), Evidence{Class: Timeout, Cause: errFault}
	default:
		return up, Evidence{Class: Alive}
	}
}

func TestManyClientsDoNotComeBackAsOneWave(t *testing.T) {
	const seed = 20
	t.Logf("seed %d", seed)
	for name, h := range map[string]*herd{
		"to a dead server":                        {outage: 30 * time.Second},
		"to a frozen one":                         {outage: 30 * time.Second, frozen: true},
		"to a frozen one, when waits are short":   {outage: 30 * time.Second, frozen: true, cfg: Config{MaxWait: 2 * time.Second}},
		"to one that was frozen for a while only": {outage: 10 * time.Second, frozen: true},
	} {
		t.Run(name, func(t *testing.T) {
			h.cfg, h.clients = h.cfg.withDefaults(), 5000
			h.run(rand.New(rand.NewPCG(seed, seed)))
			last := slices.Max(h.back) - h.outage
			wave := crowd(h.back, 100*ms)
			t.Logf("biggest wave %d of %d, last back after %v, %d probes", wave, h.clients, last, len(h.probes))
			assert.LessOrEqual(t, last, h.cfg.MaxWait)
			assert.LessOrEqual(t, wave, h.clients/10, "clients back within the same 100 ms")
			if h.cfg.MaxWait < DefaultMaxWait {
				return
			}
			assert.LessOrEqual(t, len(h.probes)/h.clients, 12, "probes of each client")
			settled := slices.DeleteFunc(h.probes, func(at time.Duration) bool { return at < 5*time.Second })
			assert.LessOrEqual(t, crowd(settled, 10*ms), h.clients*15/1000, "probes within the same 10 ms")
		})
	}
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
