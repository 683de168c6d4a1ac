package fanin

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/fluster"
)

// How long a link waits before it dials a node again that lives. The first wait is
// short, since a connection may have been lost for no fault of the node's.
const (
	firstWait = 10 * time.Millisecond
	maxWait   = time.Second
)

// namesAtOnce bounds how long a command is.
const namesAtOnce = 1000

// link keeps a connection to one node while the node lives and there is something to
// subscribe to, and longer if the connection works on after that.
type link struct {
	sub  *Subscription
	node fluster.Node
	wake chan struct{} // has one slot: look at what is due
}

// run makes one connection after another.
func (l *link) run() {
	wait := firstWait
	for l.goesOn() {
		begun := time.Now()
		if err := l.session(); err == nil {
			continue
		}
		if time.Since(begun) > maxWait {
			wait = firstWait
		}
		pause := time.NewTimer(wait/2 + rand.N(wait))
		select {
		case <-pause.C:
		case <-l.sub.ctx.Done():
		}
		pause.Stop()
		wait = min(2*wait, maxWait)
	}
}

// goesOn reports whether another connection is wanted. If not, the link is out of the
// list: it is made anew if need be.
func (l *link) goesOn() bool {
	s := l.sub
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() == nil && s.book.live[l.node.Name] && s.book.needs(l.node.Name) {
		return true
	}
	delete(s.linked, l.node.Name)
	delete(s.faults, l.node.Name)
	return false
}

// session is the life of one connection. It returns nil when nothing is wanted of the
// node any more.
//
// The connection comes from the pool's dial function and not from the pool. So it does
// not take the place of those that commands need, and Close ends it at once, where a
// pool would ask the server for the end of all subscriptions and wait for the answer.
func (l *link) session() error {
	s := l.sub
	conn, err := l.node.Pool.DialContext(s.ctx)
	if err != nil {
		s.noteFault(l.node.Name, err)
		return err
	}
	defer context.AfterFunc(s.ctx, func() { _ = conn.Close() })()
	s.noteOpen(l.node.Name)
	var broken error
	born, over := time.Now(), make(chan struct{})
	go func() {
		defer close(over)
		broken = l.read(conn, born)
	}()
	err = l.write(conn, born, over)
	_ = conn.Close()
	<-over
	if err == nil {
		err = broken
	}
	s.noteLost(l.node.Name, err)
	if errors.Is(err, errUnwanted) {
		return nil
	}
	return err
}

// errUnwanted ends a connection over which nothing is wanted any more.
var errUnwanted = errors.New("fanin: nothing is subscribed to")

// write sends what is due, and pings. It returns nil when reading is over.
func (l *link) write(conn redis.Conn, born time.Time, over <-chan struct{}) error {
	pings := time.NewTicker(l.sub.options.Ping)
	defer pings.Stop()
	for {
		on, off, wanted := l.sub.due(l.node.Name, time.Now())
		if !wanted {
			return errUnwanted
		}
		if err := errors.Join(send(conn, off, false), send(conn, on, true)); err != nil {
			return err
		}
		select {
		case <-l.wake:
		case <-pings.C:
			_ = conn.Send("PING", int64(time.Since(born)))
			if err := conn.Flush(); err != nil {
				return err
			}
		case <-over:
			return nil
		}
	}
}

// send subscribes to topics, or unsubscribes from them.
func send(conn redis.Conn, topics []topic, on bool) error {
	byVerb := map[string][]any{}
	for _, t := range topics {
		verb := verbs[t.kind].off
		if on {
			verb = verbs[t.kind].on
		}
		byVerb[verb] = append(byVerb[verb], t.name)
	}
	for verb, names := range byVerb {
		for some := range slices.Chunk(names, namesAtOnce) {
			if err := conn.Send(verb, some...); err != nil {
				return err
			}
		}
	}
	if len(topics) == 0 {
		return nil
	}
	return conn.Flush()
}

// read takes what the server sends until the connection breaks, is silent for too
// long, or brings an error reply, such as one that a channel may not be read.
func (l *link) read(conn redis.Conn, born time.Time) error {
	for {
		reply, err := redis.ReceiveWithTimeout(conn, 3*l.sub.options.Ping)
		if err != nil {
			return err
		}
		if err := l.take(reply, born); err != nil {
			return err
		}
	}
}

// take handles one reply.
func (l *link) take(reply any, born time.Time) error {
	parts, isArray := reply.([]any)
	if !isArray { // to PING while nothing is subscribed to
		parts = []any{[]byte("pong"), reply}
	}
	texts := make([]string, len(parts))
	for i, p := range parts {
		texts[i], _ = redis.String(p, nil) // the number in a confirmation does not matter
	}
	switch {
	case len(texts) == 2 && texts[0] == "pong":
		return l.pong(texts[1], born)
	case len(texts) == 3 && texts[0] == "message":
		l.sub.deliver(Message{Node: l.node.Name, Channel: texts[1], Data: []byte(texts[2])})
	case len(texts) == 3 && texts[0] == "smessage":
		l.sub.deliver(Message{Node: l.node.Name, Channel: texts[1], Data: []byte(texts[2]), shard: true})
	case len(texts) == 4 && texts[0] == "pmessage":
		l.sub.deliver(Message{Node: l.node.Name, Pattern: texts[1], Channel: texts[2], Data: []byte(texts[3])})
	case len(texts) == 3:
		return l.confirmed(texts[0], texts[1])
	default:
		return fmt.Errorf("fanin: node %s sent what is no message: %.80q", l.node.Name, texts)
	}
	return nil
}

// pong takes the answer to a ping, which says when it was sent.
func (l *link) pong(stamp string, born time.Time) error {
	age, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return fmt.Errorf("fanin: node %s answered PING with %.40q", l.node.Name, stamp)
	}
	l.sub.noteAnswer(l.node.Name, born.Add(time.Duration(age)))
	return nil
}

// confirmed takes a confirmation.
func (l *link) confirmed(verb, name string) error {
	for k, v := range verbs {
		if strings.EqualFold(verb, v.on) || strings.EqualFold(verb, v.off) {
			l.sub.noteConfirmed(l.node.Name, topic{kind(k), name})
			return nil
		}
	}
	return fmt.Errorf("fanin: node %s sent what is no confirmation: %.40q", l.node.Name, verb)
}
