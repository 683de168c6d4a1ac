package main

import (
	"cmp"
	"reflect"
	"slices"

	"github.com/gomodule/redigo/redis"
)

// poolOf tells which pool has a key.
type poolOf func(key string) (*redis.Pool, error)

// getFrom is the round trip that all pools of redigo make.
func getFrom(pool *redis.Pool, key string) ([]byte, error) {
	conn := pool.Get()
	value, err := redis.Bytes(conn.Do("GET", key))
	if closed := conn.Close(); err == nil {
		err = closed
	}
	return value, err
}

// setIn is the other one.
func setIn(pool *redis.Pool, key string, value []byte) error {
	conn := pool.Get()
	_, err := conn.Do("SET", key, value)
	if closed := conn.Close(); err == nil {
		err = closed
	}
	return err
}

// address is one of a pool, for an order among pools.
func address(pool *redis.Pool) uintptr { return reflect.ValueOf(pool).Pointer() }

// exchange borrows a connection for each group of keys, writes all of them, and
// reads only then: the best that can be done with pools, without a goroutine. All
// callers borrow in the same order, or pools with a limit would have them wait for
// each other.
func exchange(keys []string, of poolOf, send, receive func(redis.Conn, group[*redis.Pool]) error) error {
	groups, err := split(keys, of)
	if err != nil {
		return err
	}
	slices.SortFunc(groups, func(a, b group[*redis.Pool]) int { return cmp.Compare(address(a.node), address(b.node)) })
	conns := make([]redis.Conn, len(groups))
	for i, g := range groups {
		conns[i] = g.node.Get()
		defer conns[i].Close()
		if err := send(conns[i], g); err != nil {
			return err
		}
		if err := conns[i].Flush(); err != nil {
			return err
		}
	}
	for i, g := range groups {
		if err := receive(conns[i], g); err != nil {
			return err
		}
	}
	return nil
}

// mgetFrom is an MGET for each pool.
func mgetFrom(keys []string, of poolOf) ([][]byte, error) {
	values := make([][]byte, len(keys))
	err := exchange(keys, of, func(conn redis.Conn, g group[*redis.Pool]) error {
		return conn.Send("MGET", boxed(g.keys)...)
	}, func(conn redis.Conn, g group[*redis.Pool]) error {
		own, err := redis.ByteSlices(conn.Receive())
		if err != nil {
			return err
		}
		return place(values, g, own)
	})
	return values, err
}

// mgetInTurn is an MGET at one pool after the other.
func mgetInTurn(keys []string, of poolOf) ([][]byte, error) {
	groups, err := split(keys, of)
	if err != nil {
		return nil, err
	}
	values := make([][]byte, len(keys))
	for _, g := range groups {
		conn := g.node.Get()
		own, err := redis.ByteSlices(conn.Do("MGET", boxed(g.keys)...))
		conn.Close()
		if err != nil {
			return nil, err
		}
		if err := place(values, g, own); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// pipeGetFrom is a GET of each key, in a pipeline for each pool.
func pipeGetFrom(keys []string, of poolOf) ([][]byte, error) {
	values := make([][]byte, len(keys))
	err := exchange(keys, of, func(conn redis.Conn, g group[*redis.Pool]) error {
		for _, key := range g.keys {
			if err := conn.Send("GET", key); err != nil {
				return err
			}
		}
		return nil
	}, func(conn redis.Conn, g group[*redis.Pool]) (err error) {
		for _, at := range g.places {
			if values[at], err = redis.Bytes(conn.Receive()); err != nil {
				return err
			}
		}
		return nil
	})
	return values, err
}

// pipeSetIn is a SET of each key, in a pipeline for each pool.
func pipeSetIn(keys []string, value []byte, of poolOf) error {
	return exchange(keys, of, func(conn redis.Conn, g group[*redis.Pool]) error {
		for _, key := range g.keys {
			if err := conn.Send("SET", key, value); err != nil {
				return err
			}
		}
		return nil
	}, func(conn redis.Conn, g group[*redis.Pool]) error {
		for range g.keys {
			if _, err := conn.Receive(); err != nil {
				return err
			}
		}
		return nil
	})
}

// boxed returns keys as arguments. redis.Args.AddFlat does so by reflection, which takes
// twice the time.
func boxed(keys []string) []any {
	args := make([]any, len(keys))
	for i, key := range keys {
		args[i] = key
	}
	return args
}
