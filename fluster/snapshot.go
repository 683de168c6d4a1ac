package fluster

import (
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/ring"
)

// snapshot is all that a call needs to find its node. It is replaced whole when
// a node is penalized or released, and never changed.
type snapshot struct {
	view ring.View
	live []int         // the nodes that live, in the order of Config.Nodes
	err  error         // what a call gets that finds no node
	over chan struct{} // closed when another snapshot has taken its place
}

// Locate returns the node of key, by its place in Config.Nodes.
func (s *snapshot) Locate(key string) (int, error) {
	i := s.view.Locate(key)
	if i < 0 {
		return 0, s.err
	}
	return i, nil
}

// Live returns the nodes that live. It must not be changed.
func (s *snapshot) Live() ([]int, error) { return s.live, s.err }

// nowhere is the view of a closed cluster.
type nowhere struct{}

// Locate returns -1.
func (nowhere) Locate(string) int { return -1 }

// allLive is the snapshot that a cluster begins with.
func (c *FlusterCluster) allLive() *snapshot {
	s := &snapshot{view: c.ring.View(nil), over: make(chan struct{})}
	for i := range c.nodes {
		s.live = append(s.live, i)
	}
	return s
}

// publish makes states what every call sees. It is called by the checker under
// its lock, in the order of the changes, and does no I/O. A node takes part before
// a snapshot sends anybody to it, and refuses only when none does any more.
func (c *FlusterCluster) publish(states []health.State) {
	c.tell(states, true)
	c.replace(c.snapshotOf(states))
	c.tell(states, false)
}

// replace puts s in the place of the present snapshot. It has one caller at a time.
func (c *FlusterCluster) replace(s *snapshot) {
	close(c.snapshot.Swap(s).over)
}

// tell tells the nodes that live, or those that are out, their states.
func (c *FlusterCluster) tell(states []health.State, live bool) {
	for i, st := range states {
		if st.Live == live {
			c.members[i].SetState(st)
		}
	}
}

func (c *FlusterCluster) snapshotOf(states []health.State) *snapshot {
	live := make([]bool, len(states))
	s := &snapshot{over: make(chan struct{})}
	for i, st := range states {
		live[i] = st.Live
		if st.Live {
			s.live = append(s.live, i)
		}
	}
	s.view = c.ring.View(live)
	if len(s.live) == 0 {
		s.err = c.emptyError(states)
	}
	return s
}

func (c *FlusterCluster) emptyError(states []health.State) error {
	e := &emptyError{}
	for i, st := range states {
		e.names = append(e.names, c.nodes[i].Name)
		e.causes = append(e.causes, st.Cause)
	}
	return e
}

// changed follows publish, with no lock held: whoever waits for a node that was
// found silent is cut loose, and the change is told.
func (c *FlusterCluster) changed(ch health.Change) {
	c.members[ch.Node].Sever()
	c.events.tell(ch)
}
