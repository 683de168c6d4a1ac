package router

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// grace is how long after the end of its context a call still tries to leave things
// in order: to put an item back, or to end a transaction.
const grace = 30 * time.Millisecond

// heldPrefix begins the key, on the node of the source, under which an item is held
// while it is moved to another node. The rest is unique to the move and ends with the
// source's own key.
const heldPrefix = "fluster:moving:"

// moveItem does LMOVE.
func (s *spread) moveItem(ctx context.Context) (any, error) {
	ends := map[string]string{"LEFT": "L", "RIGHT": "R"}
	from, to := ends[word(s.args[2])], ends[word(s.args[3])]
	if from == "" || to == "" {
		return nil, errSyntax
	}
	return s.popPush(ctx, from, to)
}

// popPush moves an item from one end, L or R, of the first list to an end of the
// second, and never has it in neither. Its first step takes it, at once, to a list of
// its own beside the first; so whatever ends the call, this process included, the item
// is there until it is known to be in the second list. For a moment it may be seen in
// both of these. If it cannot be put into the second list it goes back to its own end
// of the first, and if not even that can be done, the error names the list that it is
// held in. A process that ends in the middle leaves the item there.
func (s *spread) popPush(ctx context.Context, from, to string) (any, error) {
	if _, err := s.read(ctx, 1, "LLEN"); err != nil {
		return nil, s.unlessEmpty(ctx, err)
	}
	m := &move{spread: s, held: heldPrefix + rand.Text() + ":" + command.Text(s.key(0)), end: from}
	item, err := s.write(ctx, 0, "LMOVE", m.held, side[from], "LEFT")
	if err != nil {
		return nil, m.untake(ctx, err)
	}
	if item == nil {
		return nil, nil
	}
	if _, err := s.write(ctx, 1, to+"PUSH", item); err != nil {
		return m.putBack(ctx, item, err)
	}
	return item, m.letGo(ctx)
}

// move is an item on its way between lists of two nodes.
type move struct {
	*spread
	held any    // the key that holds the item
	end  string // of the first list, that it was taken from
}

var side = map[string]string{"L": "LEFT", "R": "RIGHT"}

// back moves what is held back to its end of the first list. It returns nil if
// nothing is.
func (m *move) back(ctx context.Context) (any, error) {
	return m.router.on(ctx, m.at[0], "LMOVE", []any{m.held, m.key(0), "LEFT", side[m.end]}, nil)
}

// untake sees to it that nothing was taken, when that failed with err, and returns
// what the call fails with.
func (m *move) untake(ctx context.Context, err error) error {
	if !node.MaybeExecuted(err) {
		return err
	}
	ctx, cancel := outlive(ctx)
	defer cancel()
	if item, lost := m.back(ctx); lost == nil && item != nil {
		return node.Unsent(err) // it was taken, and is where it was
	}
	return m.halfDone(err, "an item of %s may have been taken, and is then held in %s", m.where(0), m.place())
}

// putBack returns an item to the end that it was taken from, after the push
// elsewhere failed with err. If nobody knows whether the push was done all the
// same, the item may then be in both lists, rather than in none.
func (m *move) putBack(ctx context.Context, item any, err error) (any, error) {
	ctx, cancel := outlive(ctx)
	defer cancel()
	_, lost := m.back(ctx)
	switch {
	case lost != nil:
		return item, m.halfDone(err, "an item was taken from %s, not surely put into %s, and not surely put back (%v): if not, it is held in %s",
			m.where(0), m.where(1), lost, m.place())
	case node.MaybeExecuted(err):
		return nil, m.halfDone(err, "an item was put back into %s, and may be in %s too", m.where(0), m.where(1))
	}
	return nil, err
}

// letGo drops what is held, once it is in the second list.
func (m *move) letGo(ctx context.Context) error {
	ctx, cancel := outlive(ctx)
	defer cancel()
	if _, err := m.router.on(ctx, m.at[0], "UNLINK", []any{m.held}, nil); err != nil {
		return m.halfDone(err, "an item was moved from %s to %s, but may still be held in %s too", m.where(0), m.where(1), m.place())
	}
	return nil
}

// place names where the item is held.
func (m *move) place() string {
	return fmt.Sprintf("%q on %s", m.held, m.router.cluster.Name(m.at[0]))
}

// unlessEmpty returns what an LMOVE fails with whose second key was found wrong:
// nothing if the first list is empty, since a server looks at that first.
func (s *spread) unlessEmpty(ctx context.Context, wrong error) error {
	if !isReply(wrong) {
		return wrong
	}
	n, err := redis.Int64(s.read(ctx, 0, "LLEN"))
	switch {
	case err != nil:
		return err
	case n == 0:
		return nil
	}
	return wrong
}

// outlive returns a context that ends a grace after ctx does.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(grace, cancel) })
	return longer, func() { stop(); cancel() }
}

// moveMember does SMOVE. For a moment the member is in both sets. If somebody
// else removes it from the first one in this moment the reply is 0, as it is for
// all but one of those who move it at once, though the second set has it.
func (s *spread) moveMember(ctx context.Context) (any, error) {
	member := s.args[2]
	in, err := redis.Bool(s.read(ctx, 0, "SISMEMBER", member))
	if err != nil {
		return nil, err
	}
	if !in {
		return s.checkSets(ctx)
	}
	if _, err := s.write(ctx, 1, "SADD", member); err != nil {
		return nil, err
	}
	moved, err := s.write(ctx, 0, "SREM", member)
	if err != nil {
		return nil, s.halfDone(err, "the member was put into %s, but not surely removed from %s", s.where(1), s.where(0))
	}
	return moved, nil
}

// checkSets replies to an SMOVE whose member is not there: as a server does, it
// looks at the second key's type if the first exists.
func (s *spread) checkSets(ctx context.Context) (any, error) {
	exists, err := redis.Bool(s.read(ctx, 0, "EXISTS"))
	if err != nil || !exists {
		return int64(0), err
	}
	if _, err := s.read(ctx, 1, "SCARD"); err != nil {
		return nil, err
	}
	return int64(0), nil
}
