package router

import (
	"errors"
	"slices"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// SafeToRetry reports an error by which no part of its call can have been executed.
func SafeToRetry(err error) bool {
	if MaybeExecuted(err) {
		return false
	}
	var many *command.NodesError
	if errors.As(err, &many) {
		return !slices.ContainsFunc(many.Failed, func(f command.Reply) bool { return !SafeToRetry(f.Err) })
	}
	return node.SafeToRetry(err) || errors.Is(err, ErrNoNode) || errors.Is(err, ErrCrossNode) ||
		errors.Is(err, ErrRefused) || errors.Is(err, ErrConflict)
}

// MaybeExecuted reports an error by which some part of its call was executed, or may have
// been.
func MaybeExecuted(err error) bool {
	var many *command.NodesError
	if node.MaybeExecuted(err) || !errors.As(err, &many) {
		return node.MaybeExecuted(err)
	}
	return len(many.Failed) < many.Total ||
		slices.ContainsFunc(many.Failed, func(f command.Reply) bool { return MaybeExecuted(f.Err) })
}
