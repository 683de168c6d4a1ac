package fanin

import (
	"errors"

	"github.com/redisfluster/fluster/fluster"
)

// following is the cluster's word on who lives, as it was when last asked for.
type following struct {
	nodes   []fluster.Node
	changed <-chan struct{} // closed when it is out of date
	err     error
}

// refresh asks anew if the word is out of date, and reports whether it was.
func (f *following) refresh(cluster *fluster.FlusterCluster) bool {
	if f.changed != nil {
		select {
		case <-f.changed:
		default:
			return false
		}
	}
	f.nodes, f.changed, f.err = cluster.Live()
	return true
}

// followLocked takes note of who lives. A node that lives again is asked at once,
// whatever it said before.
func (p *Popper) followLocked() {
	if !p.following.refresh(p.cluster) {
		return
	}
	was := make(map[string]bool, len(p.lanes))
	for name, l := range p.lanes {
		was[name] = l.live
		l.live = false
	}
	for _, n := range p.following.nodes {
		l := p.lanes[n.Name]
		if l == nil {
			l = &lane{node: n}
			p.lanes[n.Name] = l
		}
		l.live = true
		if !was[n.Name] {
			l.recovered()
		}
	}
	p.noteFaultLocked(p.following.err)
}

// noteFaultLocked tells why no node is to be asked, once.
func (p *Popper) noteFaultLocked(err error) {
	if errors.Is(err, fluster.ErrClosed) {
		p.endLocked(err)
	} else if err != nil && !p.desolate {
		p.giveLocked(outcome{err: err})
	}
	p.desolate = err != nil
}

// follow takes note of who lives for those who wait, has the newcomers asked, and
// returns what is closed when others live.
func (p *Popper) follow() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.followLocked()
	p.askLocked()
	return p.following.changed
}

// askLocked has every live node asked that is not already and of which nothing is held,
// if anybody waits.
func (p *Popper) askLocked() {
	if len(p.callers) == 0 || p.fault != nil {
		return
	}
	for _, n := range p.following.nodes {
		l := p.lanes[n.Name]
		switch {
		case l.holds > 0:
		case l.stay == nil:
			p.begin(l)
		case l.stay.parked:
			l.stay.parked = false
			l.stay.wake <- struct{}{} // which has room for it
		}
	}
}
