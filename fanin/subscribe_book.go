package fanin

import (
	"errors"
	"time"
)

// errDown is why messages may be missing that were published where a channel is, or
// was, at home, before it was seen here that a node had come or gone.
var errDown = errors.New("fanin: a node was down")

// book knows what is to be subscribed to at which node, what is, and since when not.
// It reads no clock and does no I/O: who uses it tells it the time, and what happened,
// and does what is due. It is for one goroutine at a time.
type book struct {
	overlap time.Duration
	locate  func(channel string) string // the node's name; empty if none lives
	live    map[string]bool
	topics  map[topic]*interest
	lines   map[string]*line // by node
}

// interest is one topic that somebody wants.
type interest struct {
	asked    time.Time
	home     string // the node where a channel belongs; empty for patterns
	footings map[string]*footing
}

// footing is a topic at one node.
type footing struct {
	wanted bool
	until  time.Time // if not zero, when it is not wanted any more
	since  time.Time // from when messages may be missing; zero while none is
	cause  error     // why
}

// line is the connection to a node.
type line struct {
	good     time.Time // when that was sent what was answered last
	wires    map[topic]*wire
	waiting  int     // confirmations that are due
	restored []topic // confirmed, and not told yet
	since    time.Time
	cause    error
}

// wire is a topic on a connection.
type wire struct {
	on      bool // it was subscribed to last, not unsubscribed from
	sent    time.Time
	waiting int
}

func (w *wire) confirmed() bool { return w != nil && w.on && w.waiting == 0 }

func newBook(overlap time.Duration, locate func(string) string) *book {
	return &book{
		overlap: overlap, locate: locate,
		live: map[string]bool{}, topics: map[topic]*interest{}, lines: map[string]*line{},
	}
}

// ask adds topics. For the nodes that live now nothing can be missing yet.
func (b *book) ask(topics []topic, now time.Time) {
	for _, t := range topics {
		if b.topics[t] != nil {
			continue
		}
		i := &interest{asked: now, footings: map[string]*footing{}}
		b.topics[t] = i
		if t.kind != byPattern {
			if i.home = b.locate(t.name); i.home != "" {
				i.footings[i.home] = &footing{wanted: true}
			}
			continue
		}
		for node := range b.live {
			i.footings[node] = &footing{wanted: true}
		}
	}
}

// drop takes topics away.
func (b *book) drop(topics []topic) {
	for _, t := range topics {
		delete(b.topics, t)
	}
}

// view takes note of the nodes that live now, and returns what is missing for a
// channel that has found itself at a node where it is subscribed to already.
func (b *book) view(live []string, now time.Time) []Gap {
	b.live = make(map[string]bool, len(live))
	for _, node := range live {
		b.live[node] = true
	}
	var gaps []Gap
	for t, i := range b.topics {
		b.doubt(t, i)
		if t.kind == byPattern {
			b.spread(i)
		} else if gap, missing := b.move(t, i, now); missing {
			gaps = append(gaps, gap)
		}
	}
	return gaps
}

// doubt notes that messages may be missing from a node that is out before a topic
// was ever subscribed to there.
func (b *book) doubt(t topic, i *interest) {
	for node, s := range i.footings {
		if !b.live[node] && s.since.IsZero() && !b.confirmed(t, node) {
			s.since, s.cause = i.asked, errDown
		}
	}
}

// spread wants a pattern at every node that lives. At one that was not there before,
// everything is missing since it was asked for.
func (b *book) spread(i *interest) {
	for node := range b.live {
		if i.footings[node] == nil {
			i.footings[node] = &footing{wanted: true, since: i.asked, cause: errDown}
		}
	}
}

// move takes a channel to its home, if that is another one now. The old home is kept
// for a while: others may not have seen yet what has changed.
func (b *book) move(t topic, i *interest, now time.Time) (gap Gap, missing bool) {
	home, old := b.locate(t.name), i.home
	if home == "" || home == old {
		return gap, false
	}
	i.home = home
	since := b.missingSince(t, i, old)
	s := i.footings[home]
	if s == nil {
		s = &footing{}
		i.footings[home] = s
	}
	s.wanted, s.until = true, time.Time{}
	if former := i.footings[old]; former != nil {
		b.leave(t, old, former, now)
	}
	switch {
	case !b.confirmed(t, home):
		s.since, s.cause = since, errDown
	case old != "" && !b.live[old]:
		return Gap{Node: home, Topics: topicsOf([]topic{t}), Since: since, Until: now, Cause: errDown}, true
	}
	return gap, false
}

// missingSince returns from when messages of a channel may be missing that moves from
// old to where it is at home now: since the one of the two nodes that was out, and
// may have been out longer than is known here, was good.
func (b *book) missingSince(t topic, i *interest, old string) time.Time {
	from := i.home
	if old != "" && !b.live[old] {
		from = old
	}
	return b.good(t, i, from)
}

// good returns the last moment when a topic was known to be subscribed to at a node.
func (b *book) good(t topic, i *interest, node string) time.Time {
	if b.confirmed(t, node) {
		l := b.lines[node]
		return latest(l.good, l.wires[t].sent)
	}
	if s := i.footings[node]; s != nil && !s.since.IsZero() {
		return s.since
	}
	return i.asked
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// leave ends a footing after a while, or at once if its node is out and there is no
// connection that it could go on over.
func (b *book) leave(t topic, node string, s *footing, now time.Time) {
	if b.live[node] || b.confirmed(t, node) {
		s.until = now.Add(b.overlap)
	} else {
		s.wanted = false
	}
}

func (b *book) confirmed(t topic, node string) bool {
	l := b.lines[node]
	return l != nil && l.wires[t].confirmed()
}

// expire ends the footings whose time is over, and returns when the next one's is, or
// the zero time.
func (b *book) expire(now time.Time) (next time.Time) {
	for t, i := range b.topics {
		for node, s := range i.footings {
			switch {
			case s.until.IsZero():
			case now.Before(s.until):
				if next.IsZero() || s.until.Before(next) {
					next = s.until
				}
			default:
				s.since, s.cause = b.good(t, i, node), errDown
				s.wanted, s.until = false, time.Time{}
			}
		}
	}
	return next
}

// needs reports whether there is something to subscribe to at a node.
func (b *book) needs(node string) bool {
	for _, i := range b.topics {
		if s := i.footings[node]; s != nil && s.wanted {
			return true
		}
	}
	return false
}

// unconfirmed returns the topics that are not subscribed to yet where they should be:
// a channel at its home, a pattern at every node that lives.
func (b *book) unconfirmed() []topic {
	var all []topic
	for t, i := range b.topics {
		if !b.stands(t, i) {
			all = append(all, t)
		}
	}
	return all
}

func (b *book) stands(t topic, i *interest) bool {
	if t.kind != byPattern {
		return b.confirmed(t, i.home)
	}
	for node := range b.live {
		if !b.confirmed(t, node) {
			return false
		}
	}
	return len(b.live) > 0
}
