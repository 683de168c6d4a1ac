package fluster

import (
	"context"
	"fmt"
	"time"

	"github.com/redisfluster/fluster/internal/router"
)

// Retry says how often, and how soon, a call of a cluster is repeated. It can make
// repeats fewer or more, but not what may be repeated: that is a command which
// cannot have run (SafeToRetry), or which only reads; and neither where a node is out
// whose keys no other node has, as under placements without fail-over. All repeats of a cluster, but
// those after a conflict, come out of one budget, a tenth of its calls and some for a
// start, so that they cannot keep a server down that is overloaded.
//
// The zero Retry is a good choice. In Config it stands for the defaults that are
// named below; in WithRetry a field that is zero leaves what held before.
type Retry struct {
	// Max is how often one call is repeated at most. Zero means twice, a negative
	// number never.
	Max int

	// SafeOnly does not repeat a read whose answer was lost, but only what cannot
	// have run.
	SafeOnly bool

	// MinWait is the pause before a call is repeated at the node where it has just
	// failed. The first repeat comes at once, as does one that goes to another
	// node. It doubles with each pause of a call, up to MaxWait, and up to a half
	// is taken off by chance. Zero means 10 ms.
	MinWait time.Duration

	// MaxWait bounds the pauses. Zero means 1 s.
	MaxWait time.Duration

	// Conflicts is how often Tx runs a transaction again whose watched keys were
	// changed. Zero means 10 times, a negative number never. It is the second time
	// that it pauses first.
	Conflicts int
}

// WithRetry returns a context within which calls of any cluster (Do, Tx, and
// DoContext of a connection) are repeated as retry says. It does not limit their
// time; that is for the context's deadline.
func WithRetry(ctx context.Context, retry Retry) context.Context {
	return router.WithRetry(ctx, router.Retry(retry))
}

// check refuses what makes no sense.
func (r Retry) check() error {
	switch {
	case r.MinWait < 0:
		return fmt.Errorf("fluster: Config.Retry.MinWait is %v; it must not be negative", r.MinWait)
	case r.MaxWait < 0:
		return fmt.Errorf("fluster: Config.Retry.MaxWait is %v; it must not be negative", r.MaxWait)
	}
	return nil
}
