package router

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

var errTaken = errors.New("a key there came to exist meanwhile, so those there were not set")

// setAllOrNone does MSETNX: it looks at all keys, and then sets them node by
// node, where each sets its own at once and only if none of them exists even then.
// Between two nodes others see a part of them. The nodes are gone through in an
// order that is the same for all, so that of two calls with the same keys one is
// refused by the first node, with nothing done.
func (s *spread) setAllOrNone(ctx context.Context, parts []part) (any, error) {
	parts = slices.Clone(parts)
	slices.SortFunc(parts, func(a, b part) int { return cmp.Compare(a.node, b.node) })
	if exists, err := s.anyExists(ctx, parts); err != nil || exists {
		return int64(0), err
	}
	for i, p := range parts {
		set, err := redis.Bool(s.router.on(ctx, p.node, s.cmd, command.Pairs.Args(s.args, s.positions(p)), nil))
		switch {
		case err == nil && set:
		case err == nil && i == 0:
			return int64(0), nil
		case err == nil:
			return nil, s.halfSet(parts[:i], p, errTaken)
		case i == 0:
			return nil, err
		default:
			return nil, s.halfSet(parts[:i], p, err)
		}
	}
	return int64(1), nil
}

// halfSet is the error of a call whose keys are set on some nodes, when one more
// failed.
func (s *spread) halfSet(done []part, failed part, err error) error {
	names := make([]string, len(done))
	for i, p := range done {
		names[i] = s.router.cluster.Name(p.node)
	}
	return s.halfDone(err, "keys were set on %q, but not surely on %s", names, s.router.cluster.Name(failed.node))
}

// anyExists asks the nodes of all keys.
func (s *spread) anyExists(ctx context.Context, parts []part) (bool, error) {
	found, errs := make([]int64, len(parts)), make([]error, len(parts))
	concurrently(len(parts), func(i int) {
		var keys []any
		for _, pos := range s.positions(parts[i]) {
			keys = append(keys, s.args[pos])
		}
		found[i], errs[i] = redis.Int64(s.router.on(ctx, parts[i].node, "EXISTS", keys, nil))
	})
	return slices.Max(found) > 0, node.Unsent(firstOf(errs))
}

// positions are those of a part's keys in the arguments.
func (s *spread) positions(p part) []int {
	at := make([]int, len(p.keys))
	for i, k := range p.keys {
		at[i] = s.keys[k]
	}
	return at
}
