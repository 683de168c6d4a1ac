package main

import (
	"context"
	"fmt"

	goredis "github.com/redis/go-redis/v9"
)

// goRedisRing is go-redis's Ring as it is without options.
type goRedisRing struct{ *goredis.Ring }

// openRing leaves the number of connections to go-redis, whose pools have ten for
// each processor.
func openRing(t target) (client, error) {
	shards := make(map[string]string, len(t.addrs))
	for _, addr := range t.addrs {
		shards[addr] = addr
	}
	return &goRedisRing{goredis.NewRing(&goredis.RingOptions{Addrs: shards, TLSConfig: t.cert.Config()})}, nil
}

// Get implements client.
func (r *goRedisRing) Get(key string) ([]byte, error) {
	return r.Ring.Get(context.Background(), key).Bytes()
}

// Set implements client.
func (r *goRedisRing) Set(key string, value []byte) error {
	return r.Ring.Set(context.Background(), key, value, 0).Err()
}

// MGet splits the keys, as the Ring itself doesn't, and asks all shards at once.
func (r *goRedisRing) MGet(keys []string) ([][]byte, error) {
	groups, err := split(keys, r.GetShardClientForKey)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	return values, atOnce(groups, func(g group[*goredis.Client]) error {
		own, err := g.node.MGet(context.Background(), g.keys...).Result()
		if err != nil {
			return err
		}
		for i, at := range g.places {
			text, ok := own[i].(string)
			if !ok {
				return fmt.Errorf("the value of %s is %T", g.keys[i], own[i])
			}
			values[at] = []byte(text)
		}
		return nil
	})
}

// PipeGet implements pipeliner.
func (r *goRedisRing) PipeGet(keys []string) ([][]byte, error) {
	pipe, gets := r.Pipeline(), make([]*goredis.StringCmd, len(keys))
	for i, key := range keys {
		gets[i] = pipe.Get(context.Background(), key)
	}
	if _, err := pipe.Exec(context.Background()); err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for i, get := range gets {
		var err error
		if values[i], err = get.Bytes(); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// PipeSet implements pipeliner.
func (r *goRedisRing) PipeSet(keys []string, value []byte) error {
	pipe := r.Pipeline()
	for _, key := range keys {
		pipe.Set(context.Background(), key, value, 0)
	}
	_, err := pipe.Exec(context.Background())
	return err
}

// Close implements client.
func (r *goRedisRing) Close() { _ = r.Ring.Close() }
