package redistest

import (
	"context"
	"time"

	"github.com/gomodule/redigo/redis"
)

// PoolOptions is what a test may want to choose about a pool. Its zero value is
// a pool without limits whose time-outs are one second each.
type PoolOptions struct {
	// Connect, Read and Write are the connections' time-outs. Zero means 1 s,
	// negative means none.
	Connect, Read, Write time.Duration

	// MaxIdle, MaxActive and Wait are the pool's own; but MaxIdle 0 means 64.
	MaxIdle, MaxActive int
	Wait               bool
}

func (o PoolOptions) dialOptions() []redis.DialOption {
	limit := func(d time.Duration) time.Duration {
		if d == 0 {
			return time.Second
		}
		return max(d, 0)
	}
	return []redis.DialOption{
		redis.DialConnectTimeout(limit(o.Connect)),
		redis.DialReadTimeout(limit(o.Read)),
		redis.DialWriteTimeout(limit(o.Write)),
	}
}

func (o PoolOptions) pool(dial func(context.Context, PoolOptions) (redis.Conn, error)) *redis.Pool {
	p := &redis.Pool{
		MaxIdle:     o.MaxIdle,
		MaxActive:   o.MaxActive,
		Wait:        o.Wait,
		DialContext: func(ctx context.Context) (redis.Conn, error) { return dial(ctx, o) },
	}
	if p.MaxIdle == 0 {
		p.MaxIdle = 64
	}
	return p
}
