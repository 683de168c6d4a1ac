package router

import (
	"context"
	"slices"

	"github.com/redisfluster/fluster/internal/node"
)

// countSketches does PFCOUNT: it writes nothing that lasts.
func (s *spread) countSketches(ctx context.Context) (any, error) {
	count, err := s.withSketches(ctx)
	return count, node.Unsent(err)
}

// withSketches runs the call on the node of its first key, which for PFMERGE is
// the destination, with the sketches of other nodes beside it under temporary
// keys: all in one transaction, after each was read at a moment of its own.
func (s *spread) withSketches(ctx context.Context) (any, error) {
	guests, err := s.sketches(ctx)
	if err != nil {
		return nil, err
	}
	args := slices.Clone(s.args)
	var steps []step
	removal := step{cmd: "UNLINK"}
	for k, g := range guests {
		if s.at[k] == s.at[0] {
			continue
		}
		args[s.keys[k]] = g.key
		removal.args = append(removal.args, g.key)
		if g.cmd != "" {
			steps = append(steps, step{g.cmd, []any{g.key, g.value}})
		}
	}
	own := len(steps)
	steps = append(steps, step{s.cmd, args}, removal)
	replies, err := s.router.atomically(ctx, s.at[0], steps...)
	if err != nil {
		return nil, err
	}
	if err := firstError(replies); err != nil {
		return nil, err
	}
	return replies[own], nil
}

// guest is a key of another node, as it is written beside the others.
type guest struct {
	key   string
	cmd   string // that writes it, "" if it does not exist
	value any
}

// sketches reads the keys of other nodes. A sketch is a string; a key of another
// type becomes a list, so that the server finds it wrong in its turn.
func (s *spread) sketches(ctx context.Context) ([]guest, error) {
	guests, errs := make([]guest, len(s.keys)), make([]error, len(s.keys))
	concurrently(len(s.keys), func(k int) {
		if s.at[k] == s.at[0] {
			return
		}
		value, err := s.router.Do(ctx, "GET", []any{s.key(k)})
		switch {
		case replied(err, "WRONGTYPE"):
			guests[k] = guest{temporary(), "RPUSH", ""}
		case err != nil:
			errs[k] = node.Unsent(err)
		case value == nil:
			guests[k] = guest{key: temporary()}
		default:
			guests[k] = guest{temporary(), "SET", value}
		}
	})
	return guests, firstOf(errs)
}
