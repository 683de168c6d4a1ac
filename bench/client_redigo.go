package main

import (
	"context"

	"github.com/cespare/xxhash/v2"
	"github.com/gomodule/redigo/redis"
)

// slotTable gives each slot, which is the top 16 bits of a key's xxHash64, to a
// node: what a program does that shards by hand, and does it well.
type slotTable [1 << 16]uint16

func newSlotTable(nodes int) *slotTable {
	t := new(slotTable)
	for slot := range t {
		t[slot] = uint16(slot % nodes)
	}
	return t
}

// at returns the node of key.
func (t *slotTable) at(key string) int { return int(t[xxhash.Sum64String(key)>>48]) }

// plainPools is redigo by hand: a pool for each server, and a table.
type plainPools struct {
	table *slotTable
	pools []*redis.Pool
}

func openPlain(addrs []string, maxIdle int) (client, error) {
	p := &plainPools{table: newSlotTable(len(addrs))}
	for _, addr := range addrs {
		p.pools = append(p.pools, newPool(addr, maxIdle))
	}
	return p, nil
}

// newPool returns the pool of a user who sets time-outs and nothing else.
func newPool(addr string, maxIdle int) *redis.Pool {
	return &redis.Pool{
		MaxIdle: maxIdle,
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", addr, redis.DialConnectTimeout(ioTimeout),
				redis.DialReadTimeout(ioTimeout), redis.DialWriteTimeout(ioTimeout))
		},
	}
}

// Get implements client.
func (p *plainPools) Get(key string) ([]byte, error) {
	return getFrom(p.pools[p.table.at(key)], key)
}

// getFrom is the round trip that all redigo clients make.
func getFrom(pool *redis.Pool, key string) ([]byte, error) {
	conn := pool.Get()
	value, err := redis.Bytes(conn.Do("GET", key))
	if closed := conn.Close(); err == nil {
		err = closed
	}
	return value, err
}

// Close implements client.
func (p *plainPools) Close() {
	for _, pool := range p.pools {
		_ = pool.Close()
	}
}
