package router

import (
	"context"
	"fmt"
	"slices"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/node"
)

// maxWords is how many words of data go into one command. It is even, so that no
// pair is torn.
const maxWords = 2000

// storeSet does SUNIONSTORE, SINTERSTORE and SDIFFSTORE: it reads the sets, each
// at a moment of its own, combines them here, and stores the result.
func (s *spread) storeSet(ctx context.Context) (any, error) {
	members, err := s.combined(ctx)
	if err != nil {
		return nil, err
	}
	return s.store(ctx, 0, "SADD", members)
}

// storeSortedSet is storeSet for ZUNIONSTORE, ZINTERSTORE and ZDIFFSTORE.
func (s *spread) storeSortedSet(ctx context.Context) (any, error) {
	members, err := s.combined(ctx)
	if err != nil {
		return nil, err
	}
	return s.storeScores(ctx, 0, members)
}

// combined returns what there is to store under the first key.
func (s *spread) combined(ctx context.Context) ([]any, error) {
	sources, err := s.router.fetch(ctx, s.call, s.keys[1:])
	if err != nil {
		return nil, node.Unsent(err)
	}
	return redis.Values(s.info.Combine(s.args, sources))
}

// storeRange does ZRANGESTORE, and the commands that store what is near a place.
func (s *spread) storeRange(ctx context.Context, source, dest int) (any, error) {
	members, err := s.found(ctx, source, dest, "ZRANGE", "WITHSCORES")
	if err != nil {
		return nil, err
	}
	return s.storeScores(ctx, dest, members)
}

// storeSorted does SORT with STORE. The patterns of BY and GET name keys that may
// be on any node, so a call with those is refused.
func (s *spread) storeSorted(ctx context.Context, parts []part) (any, error) {
	if s.info.ReachesBeyond(s.args) {
		return nil, fmt.Errorf("%w, and its patterns find keys of one node only", s.router.crossNode(s.call, parts))
	}
	items, err := s.found(ctx, 0, 1, "LRANGE")
	if err != nil {
		return nil, err
	}
	return s.store(ctx, 1, "RPUSH", items)
}

// found returns what a call finds in its one source. The source's own node does
// it, so that syntax, types and scores are as exact as there: it stores the result
// under a temporary key, which is read and removed in the same transaction.
func (s *spread) found(ctx context.Context, source, dest int, read string, with ...any) ([]any, error) {
	there := temporary()
	args := slices.Clone(s.args)
	args[s.keys[dest]] = there
	replies, err := s.router.atomically(ctx, s.at[source],
		step{s.cmd, args},
		step{read, append([]any{there, 0, -1}, with...)},
		step{"UNLINK", []any{there}})
	if err == nil {
		err = firstError(replies)
	}
	if err != nil {
		return nil, node.Unsent(err)
	}
	return redis.Values(replies[1], nil)
}

// storeScores stores a sorted set: its members, and the score after each.
func (s *spread) storeScores(ctx context.Context, dest int, members []any) (any, error) {
	for i := 0; i+1 < len(members); i += 2 {
		members[i], members[i+1] = members[i+1], members[i]
	}
	words, err := s.store(ctx, dest, "ZADD", members)
	return words / 2, err
}

// store makes key dest one that holds the given words and nothing else, whatever
// it was before, and returns their number. Without any it deletes the key. Others
// see it as it was or as it is to be, since all is one transaction.
func (s *spread) store(ctx context.Context, dest int, add string, words []any) (int64, error) {
	key := s.key(dest)
	steps := []step{{"DEL", []any{key}}}
	for some := range slices.Chunk(words, maxWords) {
		steps = append(steps, step{add, append([]any{key}, some...)})
	}
	replies, err := s.router.atomically(ctx, s.at[dest], steps...)
	if err != nil {
		return 0, err
	}
	if err := firstError(replies); err != nil {
		return 0, s.halfDone(err, "%s was deleted, and not written in full", s.where(dest))
	}
	return int64(len(words)), nil
}
