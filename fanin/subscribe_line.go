package fanin

import "time"

// open notes a new connection to a node.
func (b *book) open(node string) {
	b.lines[node] = &line{wires: map[topic]*wire{}}
}

// due returns what is to be sent over the connection to a node, and takes it for
// sent.
func (b *book) due(node string, now time.Time) (on, off []topic) {
	l := b.lines[node]
	for t, i := range b.topics {
		s, w := i.footings[node], l.wires[t]
		if s != nil && s.wanted && (w == nil || !w.on) {
			on = append(on, t)
			l.send(t, true, now)
		}
	}
	for t, w := range l.wires {
		if w.on && !b.wants(t, node) {
			off = append(off, t)
			l.send(t, false, now)
		}
	}
	return on, off
}

// wants reports whether a topic should be subscribed to at a node.
func (b *book) wants(t topic, node string) bool {
	i := b.topics[t]
	return i != nil && i.footings[node] != nil && i.footings[node].wanted
}

func (l *line) send(t topic, on bool, now time.Time) {
	w := l.wires[t]
	if w == nil {
		w = &wire{}
		l.wires[t] = w
	}
	w.on, w.sent = on, now
	w.waiting++
	l.waiting++
}

// confirm notes that a server has confirmed the oldest command for a topic that was
// not confirmed yet. It returns true when it was the last one that was due.
func (b *book) confirm(node string, t topic) bool {
	l := b.lines[node]
	w := l.wires[t]
	if w == nil || w.waiting == 0 {
		return false
	}
	w.waiting--
	l.waiting--
	switch i := b.topics[t]; {
	case w.waiting > 0:
	case !w.on:
		delete(l.wires, t)
	case i != nil && i.footings[node] != nil && !i.footings[node].since.IsZero():
		l.restore(t, i.footings[node])
	}
	return l.waiting == 0
}

// restore notes that nothing is missing of a topic any more.
func (l *line) restore(t topic, s *footing) {
	l.restored = append(l.restored, t)
	if l.since.IsZero() || s.since.Before(l.since) {
		l.since, l.cause = s.since, s.cause
	}
	s.since, s.cause = time.Time{}, nil
}

// restored returns the gap that has ended with what was confirmed over the connection
// to a node, once.
func (b *book) restored(node string, now time.Time) (gap Gap, told bool) {
	l := b.lines[node]
	if len(l.restored) == 0 {
		return gap, false
	}
	gap = Gap{Node: node, Topics: topicsOf(l.restored), Since: l.since, Until: now, Cause: l.cause}
	l.restored, l.since, l.cause = nil, time.Time{}, nil
	return gap, true
}

// answered notes the answer to what was sent at that time.
func (b *book) answered(node string, sent time.Time) {
	l := b.lines[node]
	l.good = latest(l.good, sent)
}

// lost notes that the connection to a node is gone, and returns the gap that begins.
// Where a topic is only kept for a while, it makes none until it is there again.
func (b *book) lost(node string, cause error) (gap Gap, told bool) {
	l := b.lines[node]
	gap = Gap{Node: node, Cause: cause}
	var topics []topic
	for t, i := range b.topics {
		s := i.footings[node]
		if s == nil || !l.wires[t].confirmed() {
			continue
		}
		s.since, s.cause = b.good(t, i, node), cause
		if !s.until.IsZero() {
			continue
		}
		topics = append(topics, t)
		if gap.Since.IsZero() || s.since.Before(gap.Since) {
			gap.Since = s.since
		}
	}
	delete(b.lines, node)
	gap.Topics = topicsOf(topics)
	return gap, len(topics) > 0
}
