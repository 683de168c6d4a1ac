package fluster

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/redisfluster/fluster/health"
)

// Event is a node's way into the penalty box or out of it.
type Event struct {
	// Node is the node.
	Node Node

	// Live is false if the node was penalized and true if it was released.
	Live bool

	// At is when it happened.
	At time.Time

	// Cause is why the node was penalized; for a release, what it was out for.
	Cause error

	// Wait is the time from a penalty to the first probe that may end it.
	Wait time.Duration
}

// herald tells changes to the logger and to the event callback, in order, from a
// goroutine of its own, so that neither can hold up the cluster. Changes come no
// faster than nodes are probed, so what waits to be told is not bounded.
type herald struct {
	// Immutable after newHerald.
	nodes   []Node
	logger  *slog.Logger
	onEvent func(Event)
	wake    chan struct{} // something waits, or closed is set; holds one
	done    chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex // protects following fields
	waiting []health.Change
	closed  bool
}

func newHerald(nodes []Node, logger *slog.Logger, onEvent func(Event)) *herald {
	return &herald{
		nodes: nodes, logger: logger, onEvent: onEvent,
		wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
}

// mute reports that nobody listens.
func (h *herald) mute() bool { return h.logger == nil && h.onEvent == nil }

func (h *herald) start() {
	if h.mute() {
		close(h.done)
		return
	}
	go h.run()
}

// tell queues ch. It does not block.
func (h *herald) tell(ch health.Change) {
	if h.mute() {
		return
	}
	h.mu.Lock()
	h.waiting = append(h.waiting, ch)
	h.mu.Unlock()
	h.rouse()
}

func (h *herald) rouse() {
	select {
	case h.wake <- struct{}{}:
	default:
	}
}

// close tells what still waits, and returns when that is done.
func (h *herald) close() {
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.rouse()
	<-h.done
}

func (h *herald) run() {
	defer close(h.done)
	for range h.wake {
		changes, closed := h.take()
		for _, ch := range changes {
			h.log(ch)
			h.call(ch)
		}
		if closed {
			return
		}
	}
}

func (h *herald) take() ([]health.Change, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	changes := h.waiting
	h.waiting = nil
	return changes, h.closed
}

func (h *herald) log(ch health.Change) {
	if h.logger == nil {
		return
	}
	level, what := slog.LevelWarn, "node is down"
	switch {
	case ch.Live:
		level, what = slog.LevelInfo, "node is back"
	case ch.Still:
		level, what = slog.LevelInfo, "node is still down"
	}
	n := h.nodes[ch.Node]
	attrs := []slog.Attr{slog.String("node", n.Name), slog.String("addr", n.Addr), slog.Any("cause", ch.Cause)}
	if !ch.Live {
		attrs = append(attrs, slog.Duration("wait", ch.Wait))
	}
	h.logger.LogAttrs(context.Background(), level, "fluster: "+what, attrs...)
}

func (h *herald) call(ch health.Change) {
	if h.onEvent == nil || ch.Still {
		return
	}
	h.onEvent(Event{Node: h.nodes[ch.Node], Live: ch.Live, At: ch.At, Cause: ch.Cause, Wait: ch.Wait})
}
