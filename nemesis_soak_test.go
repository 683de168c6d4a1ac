package fluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// oneTry bounds a call that is tried once: a dial that may have to wait for others',
// a write, a read, and the verdict on what failed.
const oneTry = 4*200*time.Millisecond + 100*time.Millisecond

// soak is callers of every kind and what they were told.
type soak struct {
	*fleet
	r                         *trial
	calls, acked, maybe, safe atomic.Int64
	byPool, byDo, byPipeline  maximum
}

// call makes one call, or one pipeline of calls.
func (s *soak) call(rnd *rand.Rand) {
	begun := time.Now()
	key := func() string { return fmt.Sprintf("counter:%d", rnd.IntN(1000)) }
	switch rnd.IntN(3) {
	case 0:
		_, err := do(s.FlusterCluster, key(), "INCR")
		s.byPool.note(time.Since(begun))
		s.tell(err)
	case 1:
		_, err := s.Do(context.Background(), "INCR", key())
		s.byDo.note(time.Since(begun))
		s.tell(err)
	case 2:
		conn := s.Get()
		defer conn.Close()
		const length = 10
		for range length {
			_ = conn.Send("INCR", key())
		}
		_ = conn.Flush()
		for range length {
			_, err := redis.Int(conn.Receive())
			s.tell(err)
		}
		s.byPipeline.note(time.Since(begun))
	}
}

// tell counts what came of one INCR.
func (s *soak) tell(err error) {
	s.calls.Add(1)
	switch {
	case err == nil:
		s.acked.Add(1)
	case fluster.MaybeExecuted(err):
		s.maybe.Add(1)
		s.r.said.print(err)
	default:
		s.safe.Add(1)
		assert.True(s.r.t, fluster.SafeToRetry(err), "%v", err)
		// Hundreds of callers who fail at once and call again at once would leave the
		// processors to nobody else, the probes that bring nodes back included.
		time.Sleep(time.Millisecond)
	}
}

// faults are what may befall a server, and pass.
var faults = []func(s *redistest.Server, pause func()){
	func(s *redistest.Server, pause func()) { s.Kill(); pause(); s.Restart() },
	func(s *redistest.Server, pause func()) { s.Stop(); pause(); s.Cont() },
	func(s *redistest.Server, _ func()) { _, _ = s.Try("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes") },
	func(s *redistest.Server, _ func()) { _, _ = s.Try("CLIENT", "PAUSE", 300, "ALL") },
	func(s *redistest.Server, pause func()) {
		_, _ = s.Try("REPLICAOF", "127.0.0.1", 1)
		pause()
		_, _ = s.Try("REPLICAOF", "NO", "ONE")
	},
}

// usage is what a process takes.
type usage struct {
	heap        uint64
	descriptors int
}

func (u *usage) sample() {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u.heap, u.descriptors = max(u.heap, m.HeapAlloc), max(u.descriptors, redistest.OpenFDs())
}

// FLUSTER_SOAK says for how long, as in Go (10m); a few seconds otherwise.
func TestCallsOfEveryKindKeepTheirPromisesUnderAFaultEverySecond(t *testing.T) {
	lasting, goroutines, nodes := 3*time.Second, 128, 3
	if text := os.Getenv("FLUSTER_SOAK"); text != "" {
		var err error
		lasting, err = time.ParseDuration(text)
		require.NoError(t, err)
		goroutines, nodes = manyCallers, 5
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := beginTrial(t, 0, "a fault every second", fmt.Sprintf("at random, seed %d", seed))
	f := r.fleet(nodes, builders[1], fluster.Config{Health: brisk}, "--appendonly", "yes", "--appendfsync", "always")
	s := &soak{fleet: f, r: r}
	var sources []*rand.Rand
	for g := range goroutines {
		sources = append(sources, rand.New(rand.NewPCG(seed, uint64(g))))
	}
	stop := atOnce(goroutines, func(g int) bool { s.call(sources[g]); return true })
	defer stop()

	rnd := rand.New(rand.NewPCG(seed, 1<<32))
	var early, late usage
	begun, befallen := time.Now(), 0
	for ; time.Since(begun) < lasting; befallen++ {
		next := time.Now().Add(time.Second)
		faults[rnd.IntN(len(faults))](f.servers[rnd.IntN(nodes)], func() {
			time.Sleep(50*time.Millisecond + time.Duration(rnd.Int64N(int64(700*time.Millisecond)))) // the fault lasts
		})
		if time.Since(begun) < lasting/2 {
			early.sample()
		} else {
			late.sample()
		}
		time.Sleep(time.Until(next)) // one every second
	}
	for i := range nodes {
		waitLive(t, f.FlusterCluster, nodeName(i))
	}
	stop()
	t.Logf("%d faults; %d calls: %d acknowledged, %d may have run, %d did not; longest by pool %v, Do %v, pipeline %v; heap %d and %d KiB, descriptors %d and %d; the machine stalled for %v at most",
		befallen, s.calls.Load(), s.acked.Load(), s.maybe.Load(), s.safe.Load(), s.byPool.get(), s.byDo.get(), s.byPipeline.get(),
		early.heap>>10, late.heap>>10, early.descriptors, late.descriptors, s.r.slack())
	s.verify(early, late)
}

// verify checks what held all the time.
func (s *soak) verify(early, late usage) {
	t := s.r.t
	t.Helper()
	counted := int64(s.r.rightOwners(s.fleet))
	assert.GreaterOrEqual(t, counted, s.acked.Load(), "something is lost that was acknowledged")
	assert.LessOrEqual(t, counted, s.acked.Load()+s.maybe.Load(), "something ran twice")
	s.r.within(oneTry, s.byPool.get(), "a call over a pool")
	s.r.within(3*oneTry, s.byDo.get(), "a call of Do, with two repeats")
	// One pipeline may meet several of the machine's stalls: its nodes are waited for in turn.
	s.r.within(2*oneTry+3*s.r.slack(), s.byPipeline.get(), "a pipeline, and its end")
	assert.LessOrEqual(t, late.heap, early.heap+early.heap/2+32<<20, "memory grows")
	assert.LessOrEqual(t, late.descriptors, 2*early.descriptors+128, "descriptors grow")
	s.r.onlyOut(s.FlusterCluster, allNames(len(s.servers))...)
}

func allNames(n int) (names []string) {
	for i := range n {
		names = append(names, nodeName(i))
	}
	return names
}
