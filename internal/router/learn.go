package router

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

const (
	// describeWithin bounds a question to the nodes. Whoever asks may hold the only
	// connection that a full pool has.
	describeWithin = time.Second
	// unknownFor is for how long a command that no node knew is not asked about
	// again: a module may be loaded later.
	unknownFor = time.Minute
	// maxLearned bounds how many commands are remembered, typing errors included,
	// and maxCommand how long their names may be.
	maxLearned = 1000
	maxCommand = 128
)

// learned holds the commands that a server described, such as a module's. Its
// zero value is empty. It is safe for concurrent use.
type learned struct {
	mu     sync.Mutex // protects following fields
	byName map[string]lesson
	asked  map[string]*question // those that nobody has answered yet
}

// lesson is what was learned of one name.
type lesson struct {
	info  *command.Info // nil for one that no node knew
	until time.Time     // for how long that holds
}

// question is what one caller asks for all who want to know.
type question struct {
	done chan struct{} // closed when the others are set
	info *command.Info // nil if no node knows
	err  error         // why it got no answer
	over bool          // because its caller's context was over
}

// look returns what is known of a name. If nothing is, it returns the question that
// is being asked, or a new one that the caller is to ask.
func (l *learned) look(name string) (known *lesson, q *question, own bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at, ok := l.byName[name]; ok && (at.info != nil || time.Now().Before(at.until)) {
		return &at, nil, false
	}
	if q := l.asked[name]; q != nil {
		return nil, q, false
	}
	if l.asked == nil {
		l.asked, l.byName = make(map[string]*question), make(map[string]lesson)
	}
	q = &question{done: make(chan struct{})}
	l.asked[name] = q
	return nil, q, true
}

// settle ends a question, and remembers the answer, if it got one.
func (l *learned) settle(name string, q *question) {
	l.mu.Lock()
	delete(l.asked, name)
	if q.err == nil {
		l.makeRoomLocked()
		l.byName[name] = lesson{q.info, time.Now().Add(unknownFor)}
	}
	l.mu.Unlock()
	close(q.done)
}

// makeRoomLocked forgets a name if there are many: one that is no command, rather
// than one that is.
func (l *learned) makeRoomLocked() {
	if len(l.byName) < maxLearned {
		return
	}
	var least string
	for name, at := range l.byName {
		least = name
		if at.info == nil {
			break
		}
	}
	delete(l.byName, least)
}

func (l *learned) forget(name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.byName, name)
}

// learn asks the nodes that live what an unknown command is, once for all who ask at
// the same time. What none of them knows is refused.
func (r *Router) learn(ctx context.Context, cmd string, unknown error) (*command.Info, error) {
	name := strings.ToUpper(cmd)
	if len(name) > maxCommand {
		return nil, fmt.Errorf("%w: %w", ErrRefused, unknown)
	}
	info, err := r.learnAbout(ctx, name)
	if err != nil {
		return nil, err
	}
	if info == nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, unknown)
	}
	return info, nil
}

func (r *Router) learnAbout(ctx context.Context, name string) (*command.Info, error) {
	known, q, own := r.learned.look(name)
	if known != nil {
		return known.info, nil
	}
	limited, cancel := context.WithTimeout(ctx, describeWithin)
	defer cancel()
	for known == nil {
		if own {
			q.info, q.err = r.describe(limited, name)
			q.over = ctx.Err() != nil
			r.learned.settle(name, q)
			return q.info, q.err
		}
		select {
		case <-q.done:
		case <-limited.Done():
			return nil, fmt.Errorf("fluster: %s: no node has said what it is: %w", name, limited.Err())
		}
		if !q.over {
			return q.info, q.err
		}
		known, q, own = r.learned.look(name)
	}
	return known.info, nil
}

// describe asks one live node, and if that does not know, the others.
func (r *Router) describe(ctx context.Context, name string) (*command.Info, error) {
	live, err := r.cluster.View().Live()
	if err != nil {
		return nil, err
	}
	info, err := r.describeOn(ctx, live[0], name)
	if info != nil {
		return info, nil
	}
	infos, errs := make([]*command.Info, len(live)), make([]error, len(live))
	errs[0] = err
	concurrently(len(live)-1, func(i int) {
		infos[i+1], errs[i+1] = r.describeOn(ctx, live[i+1], name)
	})
	for _, info := range infos {
		if info != nil {
			return info, nil
		}
	}
	return nil, firstOf(errs)
}

// describeOn asks a node. It returns nil if that does not know.
func (r *Router) describeOn(ctx context.Context, n int, name string) (*command.Info, error) {
	entries, err := redis.Values(r.on(ctx, n, "COMMAND", []any{"INFO", name}, nil))
	if err != nil {
		return nil, node.Unsent(err)
	}
	if len(entries) != 1 || entries[0] == nil {
		return nil, nil
	}
	return command.Learn(entries[0])
}

// askKeys asks a live node where the keys of a call are that only a server can find,
// or the next if that one does not know the command.
func (r *Router) askKeys(ctx context.Context, c *call) ([]int, error) {
	if len(c.args) == 0 {
		return nil, nil
	}
	live, err := r.cluster.View().Live()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, describeWithin)
	defer cancel()
	question := append([]any{"GETKEYS", c.cmd}, c.args...)
	first := rand.IntN(len(live))
	for i := range live {
		var keys [][]byte
		keys, err = redis.ByteSlices(r.on(ctx, live[(first+i)%len(live)], "COMMAND", question, nil))
		switch {
		case err == nil:
			return c.positions(keys)
		case errors.Is(err, errNoKeys):
			return nil, nil
		case isReply(err) && !errors.Is(err, errNoCommand):
			return nil, err
		}
	}
	if errors.Is(err, errNoCommand) {
		r.learned.forget(c.name())
		return nil, fmt.Errorf("%w: no node that lives knows %s any more", ErrRefused, c.name())
	}
	return nil, node.Unsent(err)
}

// What COMMAND GETKEYS replies for a call without keys, and of an unknown command.
const (
	errNoKeys    = redis.Error("ERR The command has no key arguments")
	errNoCommand = redis.Error("ERR Invalid command specified")
)

// positions returns where some keys stand among the arguments.
func (c *call) positions(keys [][]byte) ([]int, error) {
	where := make(map[string][]int)
	for i, arg := range c.args {
		text := command.Text(arg)
		where[text] = append(where[text], i)
	}
	at := make([]int, len(keys))
	for i, key := range keys {
		places := where[string(key)]
		if len(places) == 0 {
			return nil, fmt.Errorf("%w: %s: its key %.40q is none of its arguments", ErrRefused, c.name(), key)
		}
		at[i] = places[0]
		if len(places) > 1 {
			where[string(key)] = places[1:]
		}
	}
	return at, nil
}
