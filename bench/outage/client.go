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

// setting is how patient all clients are.
type setting struct {
	Name        string
	limit, beat time.Duration // zero: each client's own default
}

var (
	byDefault = setting{Name: "each client at its defaults"}
	alike     = setting{Name: "the same time-outs for all", limit: 200 * time.Millisecond, beat: 100 * time.Millisecond}
)

// client sends commands to the servers of their keys.
type client interface {
	Do(ctx context.Context, cmd string, args ...any) (any, error)
	Close() error
}

// kind is a way to reach several servers.
type kind struct {
	Name  string
	whole bool // it takes commands whose keys are on several servers, or that have none
	open  func(addrs []string, s setting) (client, error)
}

// kinds are the clients that are compared: the one to beat, and the library's own two.
var kinds = []kind{
	{"go-redis Ring", true, openRing},
	{"`GetClient`", false, openPools},
	{"`Do`", true, openDo},
}

func openCluster(addrs []string, s setting) (*fluster.FlusterCluster, error) {
	limits := ""
	if s.limit > 0 {
		limits = fmt.Sprintf("?dial_timeout=%[1]v&read_timeout=%[1]v&write_timeout=%[1]v", s.limit)
	}
	nodes := make([]fluster.Node, len(addrs))
	for i, addr := range addrs {
		var err error
		nodes[i], err = fluster.ParseNode("redis://" + addr + limits)
		if err != nil {
			return nil, err
		}
	}
	return fluster.New(fluster.Config{Nodes: nodes, Health: health.Config{Interval: s.beat, Timeout: s.limit}})
}

func openDo(addrs []string, s setting) (client, error) { return openCluster(addrs, s) }

// pools sends commands over connections of the pools of GetClient.
type pools struct{ *fluster.FlusterCluster }

func openPools(addrs []string, s setting) (client, error) {
	c, err := openCluster(addrs, s)
	return pools{c}, err
}

func (p pools) Do(ctx context.Context, cmd string, args ...any) (any, error) {
	pool, err := p.GetClient(fmt.Sprint(args[0]))
	if err != nil {
		return nil, err
	}
	conn, err := pool.GetContext(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return redis.DoContext(conn, ctx, cmd, args...)
}

// shards is go-redis's Ring, with its own number of repeats.
type shards struct{ *goredis.Ring }

func openRing(addrs []string, s setting) (client, error) {
	o := &goredis.RingOptions{Addrs: make(map[string]string, len(addrs))}
	for i, addr := range addrs {
		o.Addrs["node-"+strconv.Itoa(i)] = addr
	}
	if s.limit > 0 {
		o.DialTimeout, o.ReadTimeout, o.WriteTimeout = s.limit, s.limit, s.limit
		o.HeartbeatFrequency = s.beat
		o.ContextTimeoutEnabled = true
		o.PoolSize = callers // nobody waits for a connection, as with the others
	}
	return shards{goredis.NewRing(o)}, nil
}

func (s shards) Do(ctx context.Context, cmd string, args ...any) (any, error) {
	return s.Ring.Do(ctx, append([]any{cmd}, args...)...).Result()
}
