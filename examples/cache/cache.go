package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/gomodule/redigo/redis"
	"golang.org/x/sync/singleflight"

	"github.com/redisfluster/fluster/fluster"
)

// cache keeps values that are dear to compute. A node that fails costs it what that
// node kept, and never an answer: what the cache cannot give is computed.
type cache struct {
	cluster *fluster.FlusterCluster
	expiry  time.Duration // of a value; also how old one may be that an outage left behind
	compute func(ctx context.Context, key string) (string, error)
	flights singleflight.Group
}

// get returns the value of key: kept, or computed, by one caller of this process at a
// time while the others wait for it. A caller whose ctx ends leaves; the computation
// goes on for the others.
func (c *cache) get(ctx context.Context, key string) (string, error) {
	flight := c.flights.DoChan(key, func() (any, error) {
		return c.load(context.WithoutCancel(ctx), key)
	})
	select {
	case landed := <-flight:
		value, _ := landed.Val.(string)
		return value, landed.Err
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// load returns what is kept, or computes it and keeps it. The node's URL bounds how
// long it may take to find out that a node does not answer.
func (c *cache) load(ctx context.Context, key string) (string, error) {
	kept, err := redis.String(c.cluster.Do(ctx, "GET", key))
	if err == nil {
		return kept, nil
	}
	value, failed := c.compute(ctx, key)
	if failed != nil {
		return "", failed
	}
	if errors.Is(err, redis.ErrNil) || fluster.SafeToRetry(err) { // otherwise the node is slow: do not wait for it twice
		_, _ = c.cluster.Do(ctx, "SET", key, value, "PX", c.lifetime().Milliseconds())
	}
	return value, nil
}

// lifetime spreads what was kept in the same moment, so that it does not expire in
// the same moment too.
func (c *cache) lifetime() time.Duration {
	return c.expiry - rand.N(c.expiry/10)
}
