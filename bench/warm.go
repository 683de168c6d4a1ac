package main

import "github.com/gomodule/redigo/redis"

// warm has every pool dial n connections, which are idle afterwards, so that no
// turn begins with dialing them: over TLS that takes longer than a turn.
func warm(n int, pools ...*redis.Pool) error {
	for _, pool := range pools {
		if err := warmOne(n, pool); err != nil {
			return err
		}
	}
	return nil
}

func warmOne(n int, pool *redis.Pool) error {
	for range n {
		conn := pool.Get()
		defer conn.Close() // when all are dialed
		if err := conn.Err(); err != nil {
			return err
		}
	}
	return nil
}
