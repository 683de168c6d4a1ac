package router

import (
	"context"
	"errors"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/node"
)

const (
	errNoKey  = redis.Error("ERR no such key")
	errSyntax = redis.Error("ERR syntax error")
)

var errChanged = errors.New("it was changed or removed by somebody else meanwhile, and was left as it is")

// rename does RENAME: type and time to live are kept. For a moment both keys
// exist. If somebody else changes the source in this moment it is not removed,
// and the error says so: no change is lost.
func (s *spread) rename(ctx context.Context) (any, error) {
	if _, err := s.transfer(ctx, true); err != nil {
		return nil, err
	}
	return "OK", nil
}

// renameIfFree does RENAMENX, as rename does RENAME.
func (s *spread) renameIfFree(ctx context.Context) (any, error) {
	free, err := s.transfer(ctx, false)
	if err != nil {
		return nil, err
	}
	return oneIf(free), nil
}

// copy does COPY within the database of the nodes. There is nothing to see
// between its steps.
func (s *spread) copy(ctx context.Context) (any, error) {
	replace := false
	for _, arg := range s.args[2:] {
		if word(arg) != "REPLACE" {
			return nil, errSyntax
		}
		replace = true
	}
	from, to, err := s.router.pair(ctx, s.at[0], s.at[1])
	if err != nil {
		return nil, err
	}
	defer giveBack(ctx, from, "")
	defer to.Close()
	copied, err := s.duplicate(ctx, from, to, replace)
	if errors.Is(err, errNoKey) {
		return int64(0), nil
	}
	if err != nil {
		return nil, err
	}
	return oneIf(copied), nil
}

func oneIf(yes bool) int64 {
	if yes {
		return 1
	}
	return 0
}

// transfer copies the first key to the second and removes it, if it is still what
// was copied. It reports false if the second exists, and must not be replaced.
func (s *spread) transfer(ctx context.Context, replace bool) (bool, error) {
	from, to, err := s.router.pair(ctx, s.at[0], s.at[1])
	if err != nil {
		return false, err
	}
	undo := "UNWATCH"
	defer func() { giveBack(ctx, from, undo) }()
	defer to.Close()
	if err := from.Send("WATCH", s.key(0)); err != nil {
		return false, node.Unsent(err)
	}
	copied, err := s.duplicate(ctx, from, to, replace)
	if err != nil || !copied {
		return false, err
	}
	undo = ""
	replies, err := pipelined(ctx, from, step{"MULTI", nil}, step{"UNLINK", []any{s.key(0)}}, step{"EXEC", nil})
	if err == nil && replies[len(replies)-1] == nil {
		err = errChanged
	}
	if err != nil {
		return false, s.halfDone(err, "%s was copied to %s, but not surely removed", s.where(0), s.where(1))
	}
	return true, nil
}

// duplicate copies the first key to the second, with its time to live. It reports
// false if the second exists, and must not be replaced.
func (s *spread) duplicate(ctx context.Context, from, to redis.Conn, replace bool) (bool, error) {
	replies, err := pipelined(ctx, from, step{"DUMP", []any{s.key(0)}}, step{"PTTL", []any{s.key(0)}})
	if err != nil {
		return false, node.Unsent(err)
	}
	dump := replies[len(replies)-2]
	ttl, err := redis.Int64(replies[len(replies)-1], nil)
	switch {
	case err != nil:
		return false, err
	case dump == nil, ttl == -2:
		return false, errNoKey
	}
	args := []any{s.key(1), expiry(ttl), dump}
	if replace {
		args = append(args, "REPLACE")
	}
	_, err = redis.DoContext(to, ctx, "RESTORE", args...)
	if replied(err, "BUSYKEY") {
		return false, nil
	}
	return err == nil, err
}

// expiry is what RESTORE takes for what PTTL replied: 0 is for ever there, and
// in the last millisecond here.
func expiry(ttl int64) int64 {
	if ttl < 0 {
		return 0
	}
	return max(ttl, 1)
}
