package main

import (
	"context"

	goredis "github.com/redis/go-redis/v9"
)

// goRedisRing is go-redis's Ring as it is without options.
type goRedisRing struct{ *goredis.Ring }

// openRing leaves the number of idle connections to go-redis, whose pools have
// ten for each processor.
func openRing(addrs []string, _ int) (client, error) {
	shards := make(map[string]string, len(addrs))
	for _, addr := range addrs {
		shards[addr] = addr
	}
	return &goRedisRing{goredis.NewRing(&goredis.RingOptions{Addrs: shards})}, nil
}

// Get implements client.
func (r *goRedisRing) Get(key string) ([]byte, error) {
	return r.Ring.Get(context.Background(), key).Bytes()
}

// Close implements client.
func (r *goRedisRing) Close() { _ = r.Ring.Close() }
