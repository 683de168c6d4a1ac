package main

import (
	"fmt"
	"strings"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

// increments returns how often the server has executed INCR since it started.
func increments(conn redis.Conn) (int, error) {
	info, err := redis.String(conn.Do("INFO", "commandstats"))
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

// ranAgain returns how many calls of a load ran more than once, on one server or on
// several.
func ranAgain(servers []*redisserver.Server) (again int, err error) {
	ran := make(map[string]int)
	for _, s := range servers {
		if err := tally(s, ran); err != nil {
			return 0, err
		}
	}
	for _, times := range ran {
		if times > 1 {
			again++
		}
	}
	return again, nil
}

// tally adds to ran how often each call ran on the server.
func tally(s *redisserver.Server, ran map[string]int) error {
	conn, err := dial(s)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	keys, err := redis.Strings(conn.Do("KEYS", "call:*"))
	if err != nil || len(keys) == 0 {
		return err
	}
	times, err := redis.Ints(conn.Do("MGET", redis.Args{}.AddFlat(keys)...))
	if err != nil {
		return err
	}
	for i, key := range keys {
		ran[key] += times[i]
	}
	return nil
}
