package main

import (
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

// increments returns how often the server has executed INCR since it started.
func increments(s *redisserver.Server) (int, error) {
	info, err := redis.String(ask(s, "INFO", "commandstats"))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(info, "cmdstat_incr:calls=")
	if !found {
		return 0, nil
	}
	var n int
	_, err = fmt.Sscanf(rest, "%d", &n)
	return n, err
}

// counted returns the sum of all counters on all servers.
func counted(servers []*redisserver.Server) (sum int, err error) {
	for _, s := range servers {
		conn, err := dial(s)
		if err != nil {
			return 0, err
		}
		for i := range keys {
			if err := conn.Send("GET", fmt.Sprintf("counter:%d", i)); err != nil {
				break // Receive tells
			}
		}
		values, err := redis.Values(conn.Do(""))
		_ = conn.Close()
		if err != nil {
			return 0, err
		}
		for _, v := range values {
			n, err := redis.Int(v, nil)
			if err != nil && err != redis.ErrNil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}
