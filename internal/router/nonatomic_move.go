package router

import (
	"context"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/node"
)

// grace is how long after the end of its context a call still tries to put an
// item back.
const grace = 30 * time.Millisecond

// moveItem does LMOVE.
func (s *spread) moveItem(ctx context.Context) (any, error) {
	ends := map[string]string{"LEFT": "L", "RIGHT": "R"}
	from, to := ends[word(s.args[2])], ends[word(s.args[3])]
	if from == "" || to == "" {
		return nil, errSyntax
	}
	return s.popPush(ctx, from, to)
}

// popPush takes an item from one end, L or R, of the first list, and puts it at
// an end of the second. For a moment it is in neither, and if this process ends
// in this moment, or the reply to the pop is lost, so is the item. If it cannot be
// put into the second list it is put back into the first; if not even that can
// be done, it is the reply beside the error.
func (s *spread) popPush(ctx context.Context, from, to string) (any, error) {
	if _, err := s.read(ctx, 1, "LLEN"); err != nil {
		return nil, s.unlessEmpty(ctx, err)
	}
	item, err := s.write(ctx, 0, from+"POP")
	if err != nil || item == nil {
		return nil, err
	}
	if _, err := s.write(ctx, 1, to+"PUSH", item); err != nil {
		return s.putBack(ctx, from, item, err)
	}
	return item, nil
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

// putBack returns an item to the end that it was taken from, after the push
// elsewhere failed with err. If nobody knows whether the push was done all the
// same, the item may then be in both lists, rather than in none.
func (s *spread) putBack(ctx context.Context, end string, item any, err error) (any, error) {
	ctx, cancel := outlive(ctx, grace)
	defer cancel()
	_, lost := s.write(ctx, 0, end+"PUSH", item)
	switch {
	case lost != nil:
		return item, s.halfDone(err, "an item was taken from %s, not surely put into %s, and not surely put back (%v)",
			s.where(0), s.where(1), lost)
	case node.MaybeExecuted(err):
		return nil, s.halfDone(err, "an item was put back into %s, and may be in %s too", s.where(0), s.where(1))
	}
	return nil, err
}

// outlive returns a context that ends some time after ctx does.
func outlive(ctx context.Context, by time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(by, cancel) })
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
