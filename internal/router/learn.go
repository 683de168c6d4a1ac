package router

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
)

// describeWithin bounds the question. Whoever asks may hold the only connection that
// a full pool has.
const describeWithin = time.Second

// maxLearned bounds how many commands are remembered, typing errors included.
const maxLearned = 1000

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

// describe asks a live node, and remembers the answer.
func (r *Router) describe(ctx context.Context, name string) (*command.Info, error) {
	live, err := r.cluster.View().Live()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, describeWithin)
	defer cancel()
	entries, err := redis.Values(r.on(ctx, live[0], "COMMAND", []any{"INFO", name}, nil))
	if err != nil {
		return nil, err
	}
	var info *command.Info
	if len(entries) == 1 && entries[0] != nil {
		if info, err = command.Learn(entries[0]); err != nil {
			return nil, err
		}
	}
	r.learned.mu.Lock()
	defer r.learned.mu.Unlock()
	if r.learned.byName == nil || len(r.learned.byName) >= maxLearned {
		r.learned.byName = make(map[string]*command.Info)
	}
	r.learned.byName[name] = info
	return info, nil
}
