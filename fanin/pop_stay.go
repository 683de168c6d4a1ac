package fanin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/node"
)

const (
	// round is how long a node is told to wait for an item, give or take a tenth.
	// Longer rounds cost less while all is quiet; shorter ones find sooner that a
	// connection leads nowhere, and rid the server sooner of a client that is gone.
	round = 5 * time.Second

	// shortRound is for nodes that cannot be unblocked.
	shortRound = time.Second

	// roundMargin is how long after its round a reply may come.
	roundMargin = 2 * time.Second

	firstPause, longestPause = 10 * time.Millisecond, time.Second
)

// lane is one node's part of a Popper, whose mu protects all but node.
type lane struct {
	node fluster.Node

	live  bool
	stay  *stay // nil if nothing is under way
	holds int   // outcomes that nobody has taken yet
	turn  int   // rounds so far
	deaf  bool  // it refused to unblock

	failures  int       // since it answered last
	notBefore time.Time // when to try again, if there are
	told      string    // the failure that was told last
}

// recovered forgets what went wrong.
func (l *lane) recovered() {
	l.failures, l.notBefore, l.told = 0, time.Time{}, ""
}

// stay is the time that a Popper spends at a node over one connection, round after
// round, with a goroutine of its own. It ends when it fails, when it is recalled, or
// when the node is penalized.
type stay struct {
	popper *Popper
	lane   *lane

	wanted context.Context // ends with the recall: of all but a pop
	unwant context.CancelFunc
	pop    context.Context // ends with the cut: of a pop whose reply nobody waits for any more
	cut    context.CancelFunc
	wake   chan struct{} // when parked; has room for one
	done   chan struct{} // closed at the end

	// Protected by the Popper's mu.
	parked, asking, recalled bool
	id                       int64         // of the connection, for CLIENT UNBLOCK; 0 if it has none
	answered                 chan struct{} // closed when the pop is over; made by the recall of one under way
	released                 chan struct{} // closed when nobody unblocks the connection any more; likewise
	unsure                   bool          // somebody may do so all the same; owned by who closes released
}

// begin begins a stay. The caller holds mu.
func (p *Popper) begin(l *lane) {
	s := &stay{popper: p, lane: l, wake: make(chan struct{}, 1), done: make(chan struct{})}
	s.wanted, s.unwant = context.WithCancel(context.Background())
	s.pop, s.cut = context.WithCancel(context.Background())
	l.stay = s
	go s.run()
}

func (s *stay) run() {
	defer s.end()
	if !s.pause() {
		return
	}
	conn, err := s.lane.node.Pool.GetContext(s.wanted)
	if err != nil {
		s.failed(s.blame("connect", err))
		return
	}
	defer conn.Close()
	err = s.introduce(conn)
	for err == nil && s.next() {
		err = s.ask(conn)
	}
	if err != nil {
		s.failed(err)
	}
	s.settle(conn)
}

// end makes place for the next stay, and begins it if somebody waits.
func (s *stay) end() {
	p := s.popper
	p.mu.Lock()
	defer p.mu.Unlock()
	s.lane.stay = nil
	s.unwant()
	s.cut()
	close(s.done)
	p.followLocked()
	p.askLocked()
}

// pause waits until the node may be tried again, and reports whether that is still
// wanted then.
func (s *stay) pause() bool {
	s.popper.mu.Lock()
	d := time.Until(s.lane.notBefore)
	s.popper.mu.Unlock()
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.wanted.Done():
		return false
	}
}

// introduce asks what the server knows the connection by, if it tells.
func (s *stay) introduce(conn redis.Conn) error {
	id, err := redis.Int64(redis.DoContext(conn, s.wanted, "CLIENT", "ID"))
	var of *fluster.NodeError
	if errors.As(err, &of) {
		return node.Unsent(err) // a pop was not
	}
	s.popper.mu.Lock()
	defer s.popper.mu.Unlock()
	s.id = id
	return nil
}

// next waits until the node is to be asked. It reports false if the stay is over.
func (s *stay) next() bool {
	p := s.popper
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		p.followLocked()
		switch {
		case s.recalled || !s.lane.live || p.fault != nil:
			return false
		case len(p.callers) > 0 && s.lane.holds == 0:
			s.asking = true
			s.lane.turn++
			return true
		}
		s.parked = true
		p.mu.Unlock()
		select {
		case <-s.wake:
		case <-s.wanted.Done():
		}
		p.mu.Lock()
	}
}

// ask has the node wait for one round, and gives out what it pops.
func (s *stay) ask(conn redis.Conn) error {
	source, wait := s.popper.source, s.round()
	begun := time.Now()
	cmd, args := source.command(s.lane.turn, wait) // only this goroutine takes turns
	reply, err := redis.DoContext(conn, node.WithReadLimit(s.pop, wait+roundMargin), cmd, args...)
	var items []Item
	if err == nil {
		if items, err = source.items(reply); err != nil {
			err = node.Begun(err)
		}
	}
	early := len(items) == 0 && time.Since(begun) < wait/2
	s.heard(items, err == nil && !early)
	switch {
	case err != nil:
		return s.mend(conn, s.blame(cmd, err))
	case early:
		return errEarly
	}
	return nil
}

func (s *stay) round() time.Duration {
	s.popper.mu.Lock()
	defer s.popper.mu.Unlock()
	d := round
	if s.id == 0 || s.lane.deaf {
		d = shortRound
	}
	return d - d/10 + rand.N(d/5)
}

// heard ends a round, and gives out its items.
func (s *stay) heard(items []Item, well bool) {
	p := s.popper
	p.mu.Lock()
	defer p.mu.Unlock()
	s.asking = false
	if s.answered != nil {
		close(s.answered)
	}
	if well {
		s.lane.recovered()
	}
	for _, it := range items {
		it.Node = s.lane.node
		p.giveLocked(outcome{item: it, lane: s.lane})
	}
}

// mend does at the node what the source knows against a refusal, such as to create a
// consumer group.
func (s *stay) mend(conn redis.Conn, err error) error {
	r, ok := s.popper.source.(remedy)
	if !ok || !isReply(err) {
		return err
	}
	cmds := r.remedy(err)
	for _, cmd := range cmds {
		if _, failed := redis.DoContext(conn, s.wanted, cmd[0].(string), cmd[1:]...); failed != nil && !r.harmless(failed) {
			return errors.Join(err, s.blame(cmd[0].(string), node.Unsent(failed)))
		}
	}
	if len(cmds) > 0 {
		return errMended
	}
	return err
}

// errMended and errEarly end a stay whose node is to be asked again: after a remedy, and
// after it said at once that there is nothing, which it might do for ever. That is
// nobody's business, nor is the pause that follows.
var errMended, errEarly = errors.New("mended"), errors.New("it did not wait")

// errSilent is why a pop was given up.
var errSilent = errors.New("no answer after CLIENT UNBLOCK")

// blame returns err with the node that it is of.
func (s *stay) blame(cmd string, err error) error {
	var of *fluster.NodeError
	if !errors.As(err, &of) {
		return fmt.Errorf("fanin: node %s: %s: %w", s.lane.node, cmd, err)
	}
	if s.pop.Err() != nil {
		cut := *of
		cut.Err = errSilent
		return &cut
	}
	return err
}

// failed notes that the node cannot be asked, and tells it if that is news. A node
// that is penalized for it is no news, unless it may have popped something.
func (s *stay) failed(err error) {
	p, l := s.popper, s.lane
	maybe, kind := fluster.MaybeExecuted(err), kindOf(err)
	early := errors.Is(err, errEarly)
	p.mu.Lock()
	defer p.mu.Unlock()
	if !maybe && s.recalled && (errors.Is(err, context.Canceled) || early) {
		return // our own doing
	}
	l.notBefore = time.Now().Add(pauseAfter(l.failures))
	l.failures++
	p.followLocked()
	if !maybe && (errors.Is(err, errMended) || early || kind == l.told || !l.live || p.fault != nil) {
		return
	}
	if !maybe {
		l.told = kind
	}
	p.giveLocked(outcome{item: Item{Node: l.node}, err: err, lane: l})
}

// kindOf tells failures apart: the same one is told once.
func kindOf(err error) string {
	var reply redis.Error
	var of *fluster.NodeError
	switch {
	case errors.As(err, &reply):
		return string(reply)
	case errors.As(err, &of):
		return "unreachable" // the causes have ports and times in them
	}
	return err.Error()
}

// pauseAfter returns how long to leave a node alone that failed after so many
// failures in a row.
func pauseAfter(failures int) time.Duration {
	if failures == 0 {
		return 0 // a connection breaks now and then
	}
	d := min(firstPause<<min(failures-1, 16), longestPause)
	return d/2 + rand.N(d/2)
}

func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}
