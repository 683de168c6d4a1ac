package fanin

import (
	"errors"
	"sync"
	"time"
)

// errSlow is why messages were dropped.
var errSlow = errors.New("fanin: messages came faster than they were received")

// inbox holds what waits to be received, up to a limit. What is too much is dropped,
// the oldest first, and counted.
type inbox struct {
	limit int
	ready chan struct{} // has one slot, which is full when there may be something

	mu    sync.Mutex // protects following fields
	ring  []letter   // grows up to limit
	first int        // of those in ring
	count int
	lost  *losses // nil if nothing was dropped since it was told last
}

// letter is one piece of news and when it came.
type letter struct {
	news News
	at   time.Time
}

// losses are what was dropped.
type losses struct {
	gap    Gap
	topics map[topic]bool
}

func newInbox(limit int) *inbox {
	return &inbox{limit: limit, ready: make(chan struct{}, 1)}
}

// put adds what came at that time.
func (b *inbox) put(n News, at time.Time) {
	b.mu.Lock()
	if b.count == b.limit {
		b.dropLocked()
	}
	if b.count == len(b.ring) {
		b.growLocked()
	}
	b.ring[(b.first+b.count)%len(b.ring)] = letter{n, at}
	b.count++
	b.mu.Unlock()
	b.signal()
}

// growLocked makes room for more.
func (b *inbox) growLocked() {
	ring := make([]letter, min(b.limit, max(16, 2*len(b.ring))))
	for i := range b.count {
		ring[i] = b.ring[(b.first+i)%len(b.ring)]
	}
	b.ring, b.first = ring, 0
}

// dropLocked drops the oldest.
func (b *inbox) dropLocked() {
	if b.lost == nil {
		b.lost = &losses{topics: map[topic]bool{}}
	}
	b.lost.add(b.popLocked())
}

func (b *inbox) popLocked() letter {
	l := b.ring[b.first]
	b.ring[b.first] = letter{}
	b.first = (b.first + 1) % len(b.ring)
	b.count--
	return l
}

// take returns the oldest, or before that what was dropped. ok is false if there is
// nothing.
func (b *inbox) take() (n News, ok bool) {
	b.mu.Lock()
	switch {
	case b.lost != nil:
		n, ok = b.lost.told(), true
		b.lost = nil
	case b.count > 0:
		n, ok = b.popLocked().news, true
	}
	more := b.count > 0
	b.mu.Unlock()
	if more { // for another receiver
		b.signal()
	}
	return n, ok
}

func (b *inbox) signal() {
	select {
	case b.ready <- struct{}{}:
	default:
	}
}

// add takes over what was dropped.
func (l *losses) add(d letter) {
	node, since, until := "", d.at, d.at
	var topics []topic
	switch n := d.news.(type) {
	case Message:
		l.gap.Dropped++
		node, topics = n.Node, []topic{n.topic()}
	case Gap:
		node, since, topics = n.Node, n.Since, n.Topics.list()
		until = latest(n.Since, n.Until)
	}
	if len(l.topics) == 0 {
		l.gap.Node, l.gap.Since = node, since
	}
	if l.gap.Node != node {
		l.gap.Node = ""
	}
	if since.Before(l.gap.Since) {
		l.gap.Since = since
	}
	l.gap.Until = latest(l.gap.Until, until)
	for _, t := range topics {
		l.topics[t] = true
	}
}

func (l *losses) told() Gap {
	var all []topic
	for t := range l.topics {
		all = append(all, t)
	}
	l.gap.Topics, l.gap.Cause = topicsOf(all), errSlow
	return l.gap
}

// topic returns what the message came by.
func (m Message) topic() topic {
	switch {
	case m.Pattern != "":
		return topic{byPattern, m.Pattern}
	case m.shard:
		return topic{byShardChannel, m.Channel}
	}
	return topic{byChannel, m.Channel}
}
