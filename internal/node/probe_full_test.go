package node_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// A probe that gave its kept connection up first would get that one's place.
func TestAFreshProbeOfAFullServerFindsItFull(t *testing.T) {
	s := redistest.Start(t)
	eachPoolOf(t, s, func(t *testing.T, w *watched) {
		redistest.NoLeaks(t)
		own := s.Pool(redistest.PoolOptions{})
		defer own.Close()
		admin := own.Get()
		defer admin.Close()
		limit := func(n int) { require.NoError(t, second(admin.Do("CONFIG", "SET", "maxclients", n))) }
		require.Equal(t, health.Alive, w.Probe(t.Context(), health.ProbeRequest{Fresh: true}).Class)
		limit(2) // this client and the probe's
		for range 3 {
			assert.Equal(t, health.Soft, w.Probe(t.Context(), health.ProbeRequest{Fresh: true}).Class)
			assert.Equal(t, health.Alive, w.Probe(t.Context(), health.ProbeRequest{}).Class, "the kept one is still there")
		}
		limit(3)
		assert.Equal(t, health.Alive, w.Probe(t.Context(), health.ProbeRequest{Fresh: true}).Class)
		redistest.WaitFor(t, longEnough, func() bool { // the one that is kept now has taken the old one's place
			return w.Probe(t.Context(), health.ProbeRequest{Fresh: true}).Class == health.Alive
		}, "only one is kept")
		limit(10_000)
	})
}

// eachPoolOf runs a test with a watched node of a real server for each way of dialing.
func eachPoolOf(t *testing.T, s *redistest.Server, test func(t *testing.T, w *watched)) {
	t.Run("dialed by the library", func(t *testing.T) { test(t, watchURL(t, s.URL(), "")) })
	t.Run("dialed by the user", func(t *testing.T) { test(t, watchPool(t, s.Pool(unhurried))) })
}
