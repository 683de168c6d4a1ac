package fanin

import (
	"context"
	"errors"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
)

const (
	// linger is how long pops go on waiting at the nodes when the last caller has gone.
	// One who comes back sooner finds them in place; one who takes longer must not keep
	// from others what is pushed meanwhile.
	linger = 20 * time.Millisecond

	// drainLimit is how long a node may take to answer CLIENT UNBLOCK, and then the pop
	// that it unblocks.
	drainLimit = time.Second
)

// lingerLocked has the nodes recalled a while after the last caller has gone.
func (p *Popper) lingerLocked() {
	if len(p.callers) > 0 || p.fault != nil {
		return
	}
	p.idleSince = time.Now()
	if p.lingering == nil {
		p.lingering = time.AfterFunc(linger, p.lingered)
	}
}

// lingered recalls the nodes, or waits on if somebody has come and gone meanwhile.
func (p *Popper) lingered() {
	p.mu.Lock()
	defer p.mu.Unlock()
	rest := linger - time.Since(p.idleSince)
	if len(p.callers) == 0 && rest > 0 {
		p.lingering.Reset(rest)
		return
	}
	p.lingering = nil
	if len(p.callers) == 0 {
		p.recallLocked()
	}
}

// recallLocked ends everything that is under way at the nodes, and returns it.
func (p *Popper) recallLocked() []*stay {
	var ending []*stay
	for _, l := range p.lanes {
		if l.stay != nil {
			l.stay.recallLocked()
			ending = append(ending, l.stay)
		}
	}
	return ending
}

func (s *stay) recallLocked() {
	if s.recalled {
		return
	}
	s.recalled = true
	s.unwant()
	if s.asking {
		s.answered, s.released = make(chan struct{}), make(chan struct{})
		go s.release()
	}
}

// await waits for the end of a stay that was recalled. It does not wait long for one
// under which nothing was popped: a pool's dial function without a context may hang.
func (s *stay) await() {
	limit := time.NewTimer(drainLimit)
	defer limit.Stop()
	select {
	case <-s.done:
		return
	case <-limit.C:
	}
	s.popper.mu.Lock()
	popped := s.answered != nil // also if the reply has just come, and is yet to be given out
	s.popper.mu.Unlock()
	if popped {
		<-s.done
	}
}

// release gets the last reply of a pop that is under way: it unblocks it, and cuts it
// off if the node turns out to be silent. If the node cannot be told, the pop's round
// ends by itself.
func (s *stay) release() {
	defer close(s.released)
	if s.id == 0 {
		return
	}
	grace, due := s.unblock()
	if !due {
		return
	}
	limit := time.NewTimer(grace)
	defer limit.Stop()
	select {
	case <-s.answered:
	case <-limit.C:
		s.cut()
	}
}

// unblock tells the server to end the wait, again and again until there is one: the
// command may be on its way. It reports whether an answer is due, and within what time.
func (s *stay) unblock() (grace time.Duration, due bool) {
	begun := time.Now()
	for pause := time.Millisecond; time.Since(begun) < drainLimit; pause = min(2*pause, 50*time.Millisecond) {
		hit, err := unblock(s.lane.node.Pool, s.id)
		var silent *fluster.NodeError
		switch {
		case errors.As(err, &silent), errors.Is(err, errUntold):
			s.unsure = true
			return drainLimit - time.Since(begun), true
		case err != nil:
			s.refused(err)
			return 0, false
		case hit:
			return drainLimit, true
		}
		select {
		case <-s.answered:
			return 0, false
		case <-time.After(pause):
		}
	}
	return 0, false
}

// refused notes a server that does not unblock, so that its next rounds are short.
func (s *stay) refused(err error) {
	s.popper.mu.Lock()
	defer s.popper.mu.Unlock()
	s.lane.deaf = isReply(err)
}

// settle waits until nobody unblocks the connection any more, since its next user may
// want to block. If that is not sure to be over, the pool is made to drop it.
func (s *stay) settle(conn redis.Conn) {
	s.popper.mu.Lock()
	released := s.released
	s.popper.mu.Unlock()
	if released == nil {
		return
	}
	<-released
	if s.unsure {
		over, cancel := context.WithCancel(context.Background())
		cancel()
		// Nothing is sent, but a connection that was to leave a state and did not is
		// not used again.
		_, _ = redis.DoContext(conn, over, "UNWATCH")
	}
}
