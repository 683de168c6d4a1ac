package fluster_test

import (
	"context"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// someBuilders runs a row for pools of both kinds if there is time, and else for those
// of one.
func someBuilders(t *testing.T, mainly string, number int, fault, injected string, run func(r *trial, builder string)) {
	if wholeFaults {
		eachBuilder(t, number, fault, injected, run)
		return
	}
	t.Run(mainly, func(t *testing.T) {
		run(beginTrial(t, number, fault+": "+mainly, injected), mainly)
	})
}

// startRouted runs a load like startLoad, whose callers call Do.
func startRouted(t testing.TB, c *fluster.FlusterCluster, n int) *load {
	return startCalls(t, n, func(key string) error {
		_, err := redis.Int(c.Do(context.Background(), "INCR", key))
		return err
	})
}

// moreProbes waits until a node has been probed n times more.
func moreProbes(t testing.TB, c *fluster.FlusterCluster, name string, n uint64) {
	t.Helper()
	from := status(t, c, name).Probes
	redistest.WaitFor(t, patient, func() bool { return status(t, c, name).Probes >= from+n }, "%d more probes of node %s", n, name)
}

// noneLost checks that no call failed, unless the machine stalled for as long as a
// time-out.
func (r *trial) noneLost(failed []failedCall) {
	r.t.Helper()
	if r.slack() > quick.Read {
		return
	}
	for _, call := range failed {
		assert.NoError(r.t, call.err, "after %v", call.took)
	}
}

// stayedOut checks that a node is out, and went there once.
func (r *trial) stayedOut(c *fluster.FlusterCluster, name string) {
	r.t.Helper()
	st := status(r.t, c, name)
	assert.False(r.t, st.Live)
	if r.slack() < quick.Read {
		assert.Equal(r.t, uint64(1), st.Penalties, "it came and went")
	}
}

// kinds returns how often each error came up.
func kinds(failed []failedCall) map[string]int {
	times := make(map[string]int)
	for _, call := range failed {
		times[call.err.Error()]++
	}
	return times
}

// executed returns how often all servers together executed a command.
func (f *fleet) executed(cmd string) (n int) {
	for _, s := range f.servers {
		n += s.Executed(cmd)
	}
	return n
}

// clients returns how many connections a server has, this one included.
func clients(t testing.TB, s *redistest.Server) int {
	return figure(t, s, "clients", "connected_clients")
}

// connections returns how many connections a server has accepted, this one included.
func connections(t testing.TB, s *redistest.Server) int {
	return figure(t, s, "stats", "total_connections_received")
}

// figure returns one number of a server's INFO.
func figure(t testing.TB, s *redistest.Server, section, name string) int {
	t.Helper()
	n, err := strconv.Atoi(s.Info(section)[name])
	require.NoError(t, err)
	return n
}

// maximum is the longest of the times that many goroutines note.
type maximum struct{ most atomic.Int64 }

func (m *maximum) note(d time.Duration) {
	for {
		most := m.most.Load()
		if int64(d) <= most || m.most.CompareAndSwap(most, int64(d)) {
			return
		}
	}
}

func (m *maximum) get() time.Duration { return time.Duration(m.most.Load()) }
