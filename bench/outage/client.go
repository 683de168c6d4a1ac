package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
)

// What all clients are given: how long they wait for a server, and how often they
// look after it.
const (
	limit = 200 * time.Millisecond
	beat  = 100 * time.Millisecond
)

// client counts.
type client interface {
	Incr(key string) error
	Close() error
}

// kinds are the clients that are compared, the library's own first.
var kinds = []struct {
	name string
	open func(addrs []string) (client, error)
}{
	{"`Do`", openDo},
	{"`GetClient`", openPools},
	{"go-redis Ring", openRing},
}

func openCluster(addrs []string) (*fluster.FlusterCluster, error) {
	nodes := make([]fluster.Node, len(addrs))
	for i, addr := range addrs {
		var err error
		nodes[i], err = fluster.ParseNode(fmt.Sprintf("redis://%s?dial_timeout=%[2]v&read_timeout=%[2]v&write_timeout=%[2]v", addr, limit))
		if err != nil {
			return nil, err
		}
	}
	c, err := fluster.New(fluster.Config{Nodes: nodes, Health: health.Config{Interval: beat, Timeout: limit}})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c, c.WaitReady(ctx)
}

// doer counts with Do.
type doer struct{ *fluster.FlusterCluster }

func openDo(addrs []string) (client, error) {
	c, err := openCluster(addrs)
	return doer{c}, err
}

func (d doer) Incr(key string) error {
	_, err := d.Do(context.Background(), "INCR", key)
	return err
}

// pools counts over connections of pools.
type pools struct{ *fluster.FlusterCluster }

func openPools(addrs []string) (client, error) {
	c, err := openCluster(addrs)
	return pools{c}, err
}

func (p pools) Incr(key string) error {
	pool, err := p.GetClient(key)
	if err != nil {
		return err
	}
	conn := pool.Get()
	defer func() { _ = conn.Close() }()
	_, err = redis.Int(conn.Do("INCR", key))
	return err
}

// shards is go-redis's Ring: its own number of repeats, the others' time-outs and beat.
type shards struct{ *goredis.Ring }

func openRing(addrs []string) (client, error) {
	o := &goredis.RingOptions{
		Addrs:                 make(map[string]string, len(addrs)),
		HeartbeatFrequency:    beat,
		DialTimeout:           limit,
		ReadTimeout:           limit,
		WriteTimeout:          limit,
		ContextTimeoutEnabled: true,
	}
	for i, addr := range addrs {
		o.Addrs["node-"+strconv.Itoa(i)] = addr
	}
	return shards{goredis.NewRing(o)}, nil
}

func (s shards) Incr(key string) error { return s.Ring.Incr(context.Background(), key).Err() }
