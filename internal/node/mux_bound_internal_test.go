package node

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

const patience = 30 * time.Second

// nodeOf returns a node of a fake server, whose calls share a connection from now on.
func nodeOf(t *testing.T, f *redistest.Fake, options string) *Node {
	t.Helper()
	return nodeAt(t, f.Addr(), options)
}

// nodeAt is nodeOf for any server.
func nodeAt(t *testing.T, addr, options string) *Node {
	t.Helper()
	e, err := ParseURL("redis://" + addr + options)
	require.NoError(t, err)
	p := e.NewPool()
	require.True(t, Claim(p))
	n := New(Config{Name: "a", Pool: p, Sink: func(context.Context, health.Evidence) {}, Timeout: patience})
	t.Cleanup(n.Close)
	n.shared.warmth.Store(1 << 30)
	_, _, err = n.Do(t.Context(), "PING", nil)
	require.NoError(t, err)
	return n
}

// look returns how much stands in the shared connection's buffer, for how much its
// buffers have room, and how many flushes are unanswered.
func (n *Node) look() (gathered, room, flights int) {
	m := n.shared.mux.Load()
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.gathered), cap(m.gathered) + cap(m.spare), m.flights.n
}

func TestCallersWaitOnceMuchHasGathered(t *testing.T) {
	redistest.NoLeaks(t)
	const callers = 400
	f := redistest.NewFake(t)
	n := nodeOf(t, f, "?read_timeout=0s&write_timeout=0s")
	m := n.shared.mux.Load()
	m.mu.Lock()
	m.flushing = true // as if a socket took nothing
	m.mu.Unlock()
	flush := sync.OnceFunc(func() {
		m.mu.Lock()
		m.flushing = false
		turn := m.leadLocked()
		m.mu.Unlock()
		m.flushApart(turn)
	})
	t.Cleanup(flush)
	n.shared.apart.Store(0) // the first call may have found the processors busy
	value := strings.Repeat("x", 15<<10)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var patient, leaving sync.WaitGroup
	call := func(wg *sync.WaitGroup, ctx context.Context, callers int, check func(error)) {
		for range callers {
			wg.Go(func() {
				_, _, err := n.Do(ctx, "SET", []any{"k", value})
				check(err)
			})
		}
	}
	n.shared.relieved.Store(true) // no other connection is to take its place while it is held up,
	for range maxBeside {         // and nobody to pass it by
		n.shared.beside.Add(1)
	}
	call(&patient, t.Context(), callers, func(err error) { assert.NoError(t, err) })
	full := func() bool {
		gathered, _, _ := n.look()
		return gathered >= maxGathered
	}
	redistest.WaitFor(t, patience, full, "nothing gathers")
	call(&leaving, ctx, callers, func(err error) {
		assert.ErrorIs(t, err, context.Canceled)
		assert.True(t, SafeToRetry(err), "what never was in the buffer counts as sent")
	})
	redistest.WaitFor(t, patience, func() bool { return n.shared.under.Load() == 2*callers+1 }, "not all call")
	gathered, _, _ := n.look()
	assert.Less(t, gathered, maxGathered+maxSharedSize+1<<10, "more than the bound has gathered")
	cancel()
	leaving.Wait()
	flush()
	patient.Wait()
	n.shared.beside.Store(0)
	n.shared.relieved.Store(false)
}

func TestCallsWhoseCallersHaveLeftAreBoundedToo(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	n := nodeOf(t, f, "?read_timeout=0s&write_timeout=0s")
	f.Hang()
	m := n.shared.mux.Load()
	m.mu.Lock()
	m.calls += maxUnanswered // as if so many had been made
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := m.do(ctx, "GET", []any{"k"})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.True(t, SafeToRetry(err))
	m.mu.Lock()
	m.calls -= maxUnanswered
	m.mu.Unlock()
	f.Resume()
	_, err = m.do(t.Context(), "PING", nil)
	require.NoError(t, err)
}

func TestWhatABurstTakesIsGivenBack(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	n := nodeOf(t, f, "?read_timeout=100ms")
	burst := func() {
		var wg sync.WaitGroup
		m := n.shared.mux.Load()
		for range 200 {
			wg.Go(func() {
				_, err := m.do(t.Context(), "ECHO", []any{strings.Repeat("x", 2<<10)})
				assert.NoError(t, err)
			})
		}
		wg.Wait()
	}
	_, room, _ := n.look()
	for room <= 2*modestBuffer { // until it has taken much
		burst()
		_, room, _ = n.look()
	}
	small := func() bool { _, room, _ := n.look(); return room <= 2*modestBuffer }
	redistest.WaitFor(t, patience, small, "an idle connection keeps what a burst took")
}

func TestABufferThatIsMuchTooLargeIsGivenBackUnderLoad(t *testing.T) {
	m := &mux{}
	large := make([]byte, 0, keptBuffer)
	kept := large
	for range 1000 {
		if kept = m.keptLocked(append(kept, "small"...)); cap(kept) < cap(large) {
			break
		}
	}
	assert.Zero(t, cap(kept))
	assert.Equal(t, cap(large), cap(m.keptLocked(large[:keptBuffer])), "one that is needed is kept")
	assert.Zero(t, cap(m.keptLocked(make([]byte, 0, keptBuffer+1))))
}
