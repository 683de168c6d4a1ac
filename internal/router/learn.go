package router

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/redisfluster/fluster/internal/command"
)

// learned holds the commands that a server described, such as a module's. Its
// zero value is empty. It is safe for concurrent use.
type learned struct {
	mu     sync.Mutex
	byName map[string]*command.Info // nil for one that no server knows
}

// learn asks a live node what an unknown command is, once. What it does not know
// either is refused.
func (r *Router) learn(ctx context.Context, cmd string, unknown error) (*command.Info, error) {
	name := strings.ToUpper(cmd)
	r.learned.mu.Lock()
	info, asked := r.learned.byName[name]
	r.learned.mu.Unlock()
	if !asked {
		var err error
		if info, err = r.describe(ctx, name); err != nil {
			return nil, err
		}
	}
	if info == nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, unknown)
	}
	return info, nil
}
