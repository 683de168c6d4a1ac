package fanin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/redisfluster/fluster/fluster"
)

// The defaults of SubscribeOptions.
const (
	DefaultPing    = time.Second
	DefaultBuffer  = 8192
	DefaultOverlap = time.Minute
)

// ErrSubscriptionClosed is what Receive returns after Close.
var ErrSubscriptionClosed = errors.New("fanin: subscription is closed")

// SubscribeOptions is what may be chosen about a Subscription. The zero value is a
// good choice.
type SubscribeOptions struct {
	// Ping is how often each node is asked over the subscription's own connection
	// whether it still answers, which bounds how far a Gap reaches back. One that has
	// sent nothing for three times as long is given up, and another one is made. If
	// zero, DefaultPing is used.
	Ping time.Duration

	// Buffer is how many messages and gaps may wait to be received. When there are
	// more, the oldest are dropped, which a Gap tells with their number: it is
	// better to be late for old news than for all that follows, and a server cuts off
	// who does not read. If zero, DefaultBuffer is used.
	Buffer int

	// Overlap is how long a channel stays subscribed to where it was at home before,
	// if it can: publishers may see later than this process that its home has changed.
	// It should be longer than health.Config.MaxWait of the publishers' clusters. If
	// zero, DefaultOverlap is used.
	Overlap time.Duration
}

// Subscription receives what is published on all nodes of a cluster. It follows the
// nodes that live, and its methods may be used by any number of goroutines at once.
//
// It has one connection to each node where it has something to wait for, besides
// those of the node's pool.
type Subscription struct {
	// Immutable after Subscribe.
	cluster *fluster.FlusterCluster
	options SubscribeOptions
	inbox   *inbox
	ctx     context.Context // ends when the subscription is to end
	end     context.CancelCauseFunc
	wake    chan struct{} // has one slot: what is wanted has changed
	done    chan struct{} // closed when it has ended
	links   sync.WaitGroup

	mu     sync.Mutex // protects following fields
	book   *book
	linked map[string]*link // those that run, by node
	faults map[string]error // why there is no connection to a node, newest
	turn   chan struct{}    // closed at the next change of what is confirmed
}

// Subscribe subscribes to topics until ctx ends or the subscription is closed. It does
// no I/O and does not wait: WaitReady does. So it works while no node lives, too.
//
// A channel is subscribed to at the node that its name belongs to, a pattern at every
// live node, so that each message that FlusterCluster.Do publishes comes once, wherever
// the nodes of its channel's home come and go. Where messages may be missing, because a
// node or a connection was lost or a channel is at home elsewhere, a Gap says so. What
// was published before a topic was subscribed to for the first time is not missing.
//
// Redis's pub/sub keeps nothing, and a publisher goes by its own view of the nodes. As
// long as it takes another node for a channel's home than this process does, what it
// publishes there is lost, and no gap can tell of it unless this process sees the same
// change in the end. A channel that was at home elsewhere stays subscribed to there for
// SubscribeOptions.Overlap, which covers most of that. PUBLISH returns how many received
// a message; and patterns are subscribed to everywhere.
//
// While a node refuses one of the topics, such as by an access rule, there is none of
// them from that node; WaitReady says why.
func Subscribe(ctx context.Context, c *fluster.FlusterCluster, topics Topics, o SubscribeOptions) *Subscription {
	o.Ping = cmp.Or(max(o.Ping, 0), DefaultPing)
	o.Buffer = cmp.Or(max(o.Buffer, 0), DefaultBuffer)
	o.Overlap = cmp.Or(max(o.Overlap, 0), DefaultOverlap)
	s := &Subscription{
		cluster: c, options: o,
		inbox: newInbox(o.Buffer),
		wake:  make(chan struct{}, 1), done: make(chan struct{}),
		linked: map[string]*link{}, faults: map[string]error{}, turn: make(chan struct{}),
	}
	s.ctx, s.end = context.WithCancelCause(ctx)
	s.book = newBook(o.Overlap, func(channel string) string {
		n, _ := c.Locate(channel)
		return n.Name
	})
	nodes, _, _ := c.Live()
	s.book.view(namesOf(nodes), time.Now())
	s.book.ask(topics.list(), time.Now())
	go s.run()
	return s
}

func namesOf(nodes []fluster.Node) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Name
	}
	return names
}

// Add subscribes to more topics. It does not wait for that; WaitReady does.
func (s *Subscription) Add(topics Topics) {
	s.mu.Lock()
	s.book.ask(topics.list(), time.Now())
	s.mu.Unlock()
	signal(s.wake)
}

// Remove unsubscribes from topics. It does not wait for that, but what comes of them
// from now on is not received; what waits to be received already is.
func (s *Subscription) Remove(topics Topics) {
	s.mu.Lock()
	s.book.drop(topics.list())
	s.mu.Unlock()
	signal(s.wake)
}

func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Receive returns the next Message or Gap. It waits for one until ctx ends. When the
// subscription has ended, what has come by then is returned first, and then
// ErrSubscriptionClosed, the cause of the end of the context given to Subscribe, or
// fluster.ErrClosed if the cluster was closed.
func (s *Subscription) Receive(ctx context.Context) (News, error) {
	for {
		if n, ok := s.inbox.take(); ok {
			return n, nil
		}
		select {
		case <-s.inbox.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-s.done:
			if n, ok := s.inbox.take(); ok {
				return n, nil
			}
			return nil, context.Cause(s.ctx)
		}
	}
}

// WaitReady waits until everything that was asked for is subscribed to: each channel at
// its home, each pattern at all nodes that live. If ctx ends before, the error wraps
// that of ctx and says what was in the way. When the subscription has ended, it is that
// of Receive.
func (s *Subscription) WaitReady(ctx context.Context) error {
	for {
		s.mu.Lock()
		ready, turn := len(s.book.unconfirmed()) == 0, s.turn
		s.mu.Unlock()
		if ready {
			return nil
		}
		select {
		case <-turn:
		case <-s.done:
			return context.Cause(s.ctx)
		case <-ctx.Done():
			return s.notReady(ctx.Err())
		}
	}
}

// notReady says what is not subscribed to yet.
func (s *Subscription) notReady(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	causes := []error{err}
	for node, fault := range s.faults {
		causes = append(causes, fmt.Errorf("node %s: %w", node, fault))
	}
	return fmt.Errorf("fanin: %d topics are not subscribed to yet: %w", len(s.book.unconfirmed()), errors.Join(causes...))
}

// Close ends the subscription, closes its connections and waits for its goroutines, so
// for a pool's dial function that takes no context and hangs. It returns nil. Calling it
// again waits for the first call.
func (s *Subscription) Close() error {
	s.end(ErrSubscriptionClosed)
	<-s.done
	return nil
}

// run follows the nodes that live and what is asked for.
func (s *Subscription) run() {
	defer close(s.done)
	defer s.links.Wait()
	alarm := time.NewTimer(math.MaxInt64)
	defer alarm.Stop()
	for {
		nodes, changed, err := s.cluster.Live()
		if errors.Is(err, fluster.ErrClosed) {
			s.end(err)
			return
		}
		if next := s.update(nodes, time.Now()); !next.IsZero() {
			alarm.Reset(time.Until(next))
		}
		select {
		case <-changed:
		case <-s.wake:
		case <-alarm.C:
		case <-s.ctx.Done():
			return
		}
	}
}

// update settles what is wanted where, has it done, and returns when it is to be called
// again though nothing has happened.
func (s *Subscription) update(live []fluster.Node, now time.Time) (again time.Time) {
	s.mu.Lock()
	gaps := s.book.view(namesOf(live), now)
	again = s.book.expire(now)
	for _, l := range s.linked {
		signal(l.wake)
	}
	for _, n := range live {
		if s.linked[n.Name] == nil && s.book.needs(n.Name) {
			l := &link{sub: s, node: n, wake: make(chan struct{}, 1)}
			s.linked[n.Name] = l
			s.links.Go(l.run)
		}
	}
	s.turnLocked()
	for _, g := range gaps { // before mu is free: a later message of another link must not pass them
		s.inbox.put(g, now)
	}
	s.mu.Unlock()
	return again
}

// turnLocked tells those who wait for a change.
func (s *Subscription) turnLocked() {
	close(s.turn)
	s.turn = make(chan struct{})
}
