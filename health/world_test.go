package health_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
)

var (
	errRefused = errors.New("connection refused")
	errSilent  = errors.New("no answer")
	errLoading = errors.New("LOADING")
	errLogin   = errors.New("WRONGPASS")
	errEOF     = errors.New("EOF")
)

// behaviour is what a server does with a probe.
type behaviour func(ctx context.Context, req health.ProbeRequest) health.Evidence

func says(class health.Class, cause error) behaviour {
	return func(context.Context, health.ProbeRequest) health.Evidence {
		return health.Evidence{Class: class, Cause: cause}
	}
}

var (
	answers  = says(health.Alive, nil)
	dead     = says(health.Hard, errRefused)
	loading  = says(health.Refusing, errLoading)
	rejected = says(health.Misconfigured, errLogin)
)

// hangs never answers a probe, which ends with its context.
func hangs(ctx context.Context, _ health.ProbeRequest) health.Evidence {
	<-ctx.Done()
	return health.Evidence{Class: health.Timeout, Cause: errSilent}
}

// after answers like next, d later.
func after(d time.Duration, next behaviour) behaviour {
	return func(ctx context.Context, req health.ProbeRequest) health.Evidence {
		select {
		case <-time.After(d):
			return next(ctx, req)
		case <-ctx.Done():
			return hangs(ctx, req)
		}
	}
}

// droppedIdle has closed the kept connection, and does with a fresh one what
// next does.
func droppedIdle(next behaviour) behaviour {
	return func(ctx context.Context, req health.ProbeRequest) health.Evidence {
		if !req.Fresh {
			return health.Evidence{Class: health.Broken, Cause: errEOF}
		}
		return next(ctx, req)
	}
}

// server is a scripted node.
type server struct {
	mu       sync.Mutex
	does     behaviour
	requests []health.ProbeRequest
	times    []time.Time
	running  int
	most     int // probes that ran at once
}

func (s *server) probe(ctx context.Context, req health.ProbeRequest) health.Evidence {
	s.mu.Lock()
	does := s.does
	s.requests = append(s.requests, req)
	s.times = append(s.times, time.Now())
	s.running++
	s.most = max(s.most, s.running)
	s.mu.Unlock()
	ev := does(ctx, req)
	s.mu.Lock()
	s.running--
	s.mu.Unlock()
	return ev
}

func (s *server) now(does behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.does = does
}

func (s *server) probed() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.times...)
}

func (s *server) last() health.ProbeRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[len(s.requests)-1]
}

// world is a checker of scripted servers, and what it told its hooks.
type world struct {
	*health.Checker
	t       *testing.T
	servers []*server

	mu      sync.Mutex
	states  []health.State
	changes []health.Change
}

// live runs test in a bubble, with a started checker of n servers that answer.
func live(t *testing.T, n int, cfg health.Config, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, n, cfg)
		defer w.Close()
		w.Start()
		require.NoError(t, w.WaitReady(t.Context()))
		test(w)
	})
}

// newWorld returns a checker that is not started, whose jitter is always at
// its longest.
func newWorld(t *testing.T, n int, cfg health.Config) *world {
	return jitteredWorld(t, n, cfg, func() float64 { return 1 })
}

func jitteredWorld(t *testing.T, n int, cfg health.Config, jitter func() float64) *world {
	w := &world{t: t}
	var targets []health.Target
	for range n {
		s := &server{does: answers}
		w.servers = append(w.servers, s)
		targets = append(targets, health.Target{Name: string(rune('a' + len(targets))), Probe: s.probe})
	}
	checker, err := health.NewWithJitter(cfg, targets, health.Hooks{
		Publish: func(states []health.State) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.states = states
		},
		Changed: func(c health.Change) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changes = append(w.changes, c)
		},
	}, jitter)
	require.NoError(t, err)
	w.Checker = checker
	return w
}

// published is the state that Publish last got of a node.
func (w *world) published(node int) health.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.states == nil {
		return health.State{Live: true}
	}
	return w.states[node]
}

// transitions are the changes of a node, without those that let it stay out.
func (w *world) transitions(node int) []health.Change {
	w.mu.Lock()
	defer w.mu.Unlock()
	var changes []health.Change
	for _, c := range w.changes {
		if c.Node == node && !c.Still {
			changes = append(changes, c)
		}
	}
	return changes
}

// evidence is of the node's current generation.
func (w *world) evidence(node int, class health.Class, cause error) health.Evidence {
	return health.Evidence{Class: class, Cause: cause, Generation: w.Status(node).Generation}
}

func (w *world) report(node int, class health.Class, cause error) {
	w.Report(w.t.Context(), node, w.evidence(node, class, cause))
}

// timeout is a command, sent ago, that was not answered on a connection.
func (w *world) timeout(node int, conn uint64, ago time.Duration) health.Evidence {
	ev := w.evidence(node, health.Timeout, errSilent)
	ev.Conn, ev.Sent = conn, time.Now().Add(-ago)
	return ev
}

// reportAll reports all evidence at the same time and waits for it.
func (w *world) reportAll(node int, all []health.Evidence) {
	var reporters sync.WaitGroup
	for _, ev := range all {
		reporters.Go(func() { w.Report(w.t.Context(), node, ev) })
	}
	reporters.Wait()
}

// until waits for the node to be live or out, for at most bound, and returns
// how long that took.
func (w *world) until(node int, live bool, bound time.Duration) time.Duration {
	w.t.Helper()
	const step = time.Millisecond
	start := time.Now()
	for w.Status(node).Live != live {
		require.Less(w.t, time.Since(start), bound, "node %d is not in time: %+v", node, w.Status(node))
		time.Sleep(step)
	}
	return time.Since(start)
}
