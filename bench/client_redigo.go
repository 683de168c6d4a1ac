package main

import (
	"context"

	"github.com/cespare/xxhash/v2"
	"github.com/gomodule/redigo/redis"
)

// slotTable gives each slot, which is the top 16 bits of a key's xxHash64, to a
// node: what a program does that shards by hand, and does it well. A byte is enough for
// each; of more than 256 nodes, which only the floor of look-ups has, others are left out.
type slotTable [1 << 16]uint8

func newSlotTable(nodes int) *slotTable {
	t := new(slotTable)
	for slot := range t {
		t[slot] = uint8(slot % min(nodes, 1<<8))
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

func openPlain(t target) (client, error) { return newPlainPools(t) }

// openProxied is one pool, whose server is the proxy.
func openProxied(t target) (client, error) {
	if t.proxy == "" {
		return nil, nil
	}
	t.addrs = []string{t.proxy}
	return newPlainPools(t)
}

func newPlainPools(t target) (*plainPools, error) {
	p := &plainPools{table: newSlotTable(len(t.addrs))}
	for _, addr := range t.addrs {
		p.pools = append(p.pools, newPool(addr, t))
	}
	if err := warm(t.idle(), p.pools...); err != nil {
		p.Close()
		return nil, err
	}
	return p, nil
}

// newPool returns the pool of a user who sets time-outs and, only where there are
// more callers than connections can be, a limit.
func newPool(addr string, t target) *redis.Pool {
	pool := &redis.Pool{
		MaxIdle: t.idle(),
		DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", addr, redis.DialConnectTimeout(ioTimeout),
				redis.DialReadTimeout(ioTimeout), redis.DialWriteTimeout(ioTimeout),
				redis.DialUseTLS(t.cert != nil), redis.DialTLSConfig(t.cert.Config()))
		},
	}
	if t.callers > maxConns {
		pool.MaxActive, pool.Wait = maxConns, true
	}
	return pool
}

func (p *plainPools) poolOf(key string) (*redis.Pool, error) { return p.pools[p.table.at(key)], nil }

// Get implements client.
func (p *plainPools) Get(key string) ([]byte, error) { return getFrom(p.pools[p.table.at(key)], key) }

// Set implements client.
func (p *plainPools) Set(key string, value []byte) error {
	return setIn(p.pools[p.table.at(key)], key, value)
}

// MGet implements client.
func (p *plainPools) MGet(keys []string) ([][]byte, error) { return mgetFrom(keys, p.poolOf) }

// PipeGet implements pipeliner.
func (p *plainPools) PipeGet(keys []string) ([][]byte, error) { return pipeGetFrom(keys, p.poolOf) }

// PipeSet implements pipeliner.
func (p *plainPools) PipeSet(keys []string, value []byte) error {
	return pipeSetIn(keys, value, p.poolOf)
}

// Close implements client.
func (p *plainPools) Close() {
	for _, pool := range p.pools {
		_ = pool.Close()
	}
}

// plainInTurn asks one node after the other.
type plainInTurn struct{ *plainPools }

func openPlainInTurn(t target) (client, error) {
	pools, err := newPlainPools(t)
	return &plainInTurn{pools}, err
}

// MGet implements client.
func (p *plainInTurn) MGet(keys []string) ([][]byte, error) { return mgetInTurn(keys, p.poolOf) }
