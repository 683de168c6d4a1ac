package node

import (
	"context"
	"time"
)

// readLimited is a context with a limit of its own for reading one reply.
type readLimited struct {
	context.Context
	limit time.Duration
}

// WithReadLimit returns a context for the DoContext of a node's connection that
// replaces the connection's own limit for reading the reply: for a command that
// may wait on the server. Zero means no limit but ctx's end.
func WithReadLimit(ctx context.Context, limit time.Duration) context.Context {
	return readLimited{ctx, limit}
}

// LimitsReads reports a context that WithReadLimit returned.
func LimitsReads(ctx context.Context) bool {
	_, own := ctx.(readLimited)
	return own
}
