package fanin_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/internal/redistest"
)

// setting is a number from the environment, or what is enough for every day.
func setting(t testing.TB, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}

// processorTime is what this process has used up.
func processorTime(t testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestManyWaitersTakeOneConnectionOfEachNodeAndNoProcessorTime(t *testing.T) {
	waiters := setting(t, "QUEUE_WAITERS", 150)
	s := openSite(t, 3, "")
	ctx, cancel := context.WithCancel(t.Context())
	var all []<-chan popped
	for i := range waiters {
		all = append(all, waiting(ctx, pop(t, s.FlusterCluster, fanin.BLPop(fmt.Sprint("q", i)))))
	}
	waitBlocked(t, waiters, s.servers...)
	for _, server := range s.servers {
		clients, err := strconv.Atoi(server.Info("clients")["connected_clients"])
		require.NoError(t, err)
		assert.LessOrEqual(t, clients, waiters+10, "with the probe's and those that ask")
	}
	watched := time.Duration(setting(t, "QUEUE_SECONDS", 1)) * time.Second
	used, begun := processorTime(t), time.Now()
	time.Sleep(watched) // nothing is to happen
	used = processorTime(t) - used
	t.Logf("%d waiters on %d nodes used %v in %v", waiters, len(s.servers), used, time.Since(begun))
	assert.Less(t, used, watched/2)

	begun = time.Now()
	cancel()
	for _, got := range all {
		require.ErrorIs(t, (<-got).err, context.Canceled)
	}
	t.Logf("all have ended within %v", time.Since(begun))
	for _, server := range s.servers {
		assert.Equal(t, "0", blocked(t, server))
		clients, err := strconv.Atoi(server.Info("clients")["connected_clients"])
		require.NoError(t, err)
		assert.LessOrEqual(t, clients, waiters+10, "with the one that unblocked")
	}
}

// wakes measures how long after its push an item is out, again and again.
func wakes(t testing.TB, n int, server *redistest.Server, wait func() func()) []time.Duration {
	conn, err := redis.Dial("tcp", server.Addr())
	require.NoError(t, err)
	defer conn.Close()
	var took []time.Duration
	for range n {
		taken := wait()
		waitBlocked(t, 1, server)
		begun := time.Now()
		require.NoError(t, conn.Send("RPUSH", "q", "x"))
		require.NoError(t, conn.Flush())
		taken()
		took = append(took, time.Since(begun))
		_, err := conn.Receive()
		require.NoError(t, err)
	}
	slices.Sort(took)
	return took
}

// wakesOf are those of a Popper, and wakesOfOne those of a plain BLPOP.
func wakesOf(t testing.TB, n int, p *fanin.Popper, server *redistest.Server) []time.Duration {
	return wakes(t, n, server, func() func() {
		got := waiting(t.Context(), p)
		return func() {
			for out := <-got; out.err != nil; out = <-got { // of a node that froze
				got = waiting(t.Context(), p)
			}
		}
	})
}

func wakesOfOne(t testing.TB, n int, server *redistest.Server) []time.Duration {
	conn, err := redis.Dial("tcp", server.Addr())
	require.NoError(t, err)
	defer conn.Close()
	return wakes(t, n, server, func() func() {
		got := make(chan error, 1)
		go func() {
			_, err := conn.Do("BLPOP", "q", 0)
			got <- err
		}()
		return func() { require.NoError(t, <-got) }
	})
}

func TestAPushWakesAWaiterAtOnceWhileTheOtherNodesAreSilent(t *testing.T) {
	for _, state := range []string{"idle", "frozen"} {
		t.Run(state, func(t *testing.T) {
			s := openSite(t, 10, "")
			p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
			wakesOf(t, 1, p, s.servers[0])
			waitBlocked(t, 0, s.servers...)
			if state == "frozen" {
				for _, server := range s.servers[1:] {
					server.Stop()
				}
			}
			plain := wakesOfOne(t, 50, s.servers[0])
			took := wakesOf(t, 50, p, s.servers[0])
			t.Logf("median %v, worst %v; of a plain BLPOP %v and %v", took[25], took[49], plain[25], plain[49])
			assert.Less(t, took[25], 5*time.Millisecond+5*plain[49], "median")
			for _, server := range s.servers[1:] {
				server.Cont()
			}
		})
	}
}

func BenchmarkWake(b *testing.B) {
	for _, nodes := range []int{1, 3, 10} {
		b.Run(fmt.Sprint("nodes=", nodes), func(b *testing.B) {
			s := openSite(b, nodes, "")
			p := pop(b, s.FlusterCluster, fanin.BLPop("q"))
			took := wakesOf(b, max(b.N, 20), p, s.servers[0])
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "median-µs")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
		})
	}
}
