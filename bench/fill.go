package main

import (
	"context"
	"fmt"
	"time"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

// fill empties every server and sets all keys on it, to values of size bytes:
// on each of them, since each client has its own idea of which server a key
// belongs to.
func fill(ctx context.Context, servers []*redisserver.Server, keys []string, size int) error {
	for _, s := range servers {
		if err := fillOne(ctx, s, keys, size); err != nil {
			return fmt.Errorf("fill %s: %w", s.Addr(), err)
		}
	}
	return nil
}

func fillOne(ctx context.Context, s *redisserver.Server, keys []string, size int) error {
	conn, err := s.Dial(ctx, 10*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Do("FLUSHALL"); err != nil {
		return err
	}
	value := make([]byte, size)
	for i, key := range keys {
		if err := conn.Send("SET", key, value); err != nil {
			return err
		}
		if i%1000 == 999 || i == len(keys)-1 {
			if _, err := conn.Do(""); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}
