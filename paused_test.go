package fluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// A server whose writes are paused answers PING and every read, so that neither a
// probe nor the readers see what the writers do.
func TestRow11AServerThatLeavesWritesWaitingIsOutUntilItWrites(t *testing.T) {
	for name, open := range map[string]func(testing.TB, fluster.Config) *fleet{
		"pools of the user's": func(t testing.TB, cfg fluster.Config) *fleet { return startFleet(t, 3, quick, cfg) },
		"pools from URLs": func(t testing.TB, cfg fluster.Config) *fleet {
			return openFleet(t, 3, "&read_timeout=200ms", cfg)
		},
	} {
		t.Run(name, func(t *testing.T) {
			row := beginTrial(t, 11, "writes wait, reads and PING do not: "+name, "CLIENT PAUSE WRITE")
			f := open(t, fluster.Config{Health: health.Config{Interval: 100 * time.Millisecond, Timeout: 200 * time.Millisecond}})
			l := startLoad(t, f.FlusterCluster, 16)
			readers := make(chan struct{})
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					select {
					case <-readers:
						return
					default:
						_, _ = do(f.FlusterCluster, "counter:1", "GET")
					}
				}
			}()
			l.goOn(t, 100)
			f.servers[1].Do("CLIENT", "PAUSE", 60000, "WRITE")
			waitDown(t, f.FlusterCluster, "b")
			probes := status(t, f.FlusterCluster, "b").Probes
			redistest.WaitFor(t, patient, func() bool { return status(t, f.FlusterCluster, "b").Probes >= probes+4 }, "four more probes")
			st := status(t, f.FlusterCluster, "b")
			assert.False(t, st.Live)
			assert.Equal(t, uint64(1), st.Penalties, "PING lets it out")

			f.servers[1].Do("CLIENT", "UNPAUSE")
			healed := time.Now()
			waitLive(t, f.FlusterCluster, "b")
			row.Recovered = time.Since(healed)
			l.goOn(t, 100)
			close(readers)
			<-done
			failed := l.finish()
			row.Calls, row.Lost, row.Longest = l.calls, len(failed), l.longest
			require.NotEmpty(t, failed)
			for _, call := range failed {
				assert.NotEqual(t, fluster.SafeToRetry(call.err), fluster.MaybeExecuted(call.err), "%v", call.err)
			}
			row.onlyOut(f.FlusterCluster, "b")
		})
	}
}
