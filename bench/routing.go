package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"

	"github.com/redisfluster/fluster/bench/internal/contest"
	"github.com/redisfluster/fluster/bench/internal/report"
	"github.com/redisfluster/fluster/fluster"
	flusterring "github.com/redisfluster/fluster/ring"
)

// never is longer than any run. No router dials, and none is probed.
const never = 1000 * time.Hour

// router turns keys into nodes.
type router struct {
	name string
	// pass looks every key up once and returns something that depends on each
	// result, so that no look-up is left out. The loop is the router's own, so
	// that no call between it and the look-up is measured.
	pass  func(keys []string) (int, error)
	close func()
}

// Positions in what openRouters returns.
const (
	floorRouter = iota
	viewRouter
	clusterRouter
	ringRouter
)

func openRouters(nodes int) ([]router, error) {
	view, err := newViewRouter(nodes)
	if err != nil {
		return nil, err
	}
	cluster, err := newClusterRouter(nodes)
	if err != nil {
		return nil, err
	}
	return []router{
		floorRouter:   newFloorRouter(nodes),
		viewRouter:    view,
		clusterRouter: cluster,
		ringRouter:    newRingRouter(nodes),
	}, nil
}

// newFloorRouter is what no placement by hash can beat.
func newFloorRouter(nodes int) router {
	table := newSlotTable(nodes)
	return router{"floor: xxHash64 and one load", func(keys []string) (sum int, _ error) {
		for _, key := range keys {
			sum += table.at(key)
		}
		return sum, nil
	}, func() {}}
}

func newViewRouter(nodes int) (router, error) {
	members := make([]flusterring.Node, nodes)
	for i := range members {
		members[i].Name = nodeName(i)
	}
	ring, err := flusterring.Balanced{}.Build(members)
	if err != nil {
		return router{}, err
	}
	view := ring.View(nil)
	return router{"fluster ring.Balanced", func(keys []string) (sum int, _ error) {
		for _, key := range keys {
			sum += view.Locate(key)
		}
		return sum, nil
	}, func() {}}, nil
}

// newClusterRouter is a cluster whose probes hang for good, so that all nodes
// keep their good name.
func newClusterRouter(nodes int) (router, error) {
	cfg := fluster.Config{}
	cfg.Health.Interval, cfg.Health.Timeout = never, never
	for i := range nodes {
		pool := &redis.Pool{DialContext: func(ctx context.Context) (redis.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}}
		cfg.Nodes = append(cfg.Nodes, fluster.Node{Name: nodeName(i), Pool: pool})
	}
	cluster, err := fluster.New(cfg)
	if err != nil {
		return router{}, err
	}
	return router{"fluster GetClient", func(keys []string) (sum int, _ error) {
		for _, key := range keys {
			pool, err := cluster.GetClient(key)
			if err != nil {
				return 0, err
			}
			sum += pool.MaxIdle
		}
		return sum, nil
	}, func() { _ = cluster.Close() }}, nil
}

// newRingRouter is a Ring without heartbeats.
func newRingRouter(nodes int) router {
	shards := make(map[string]string, nodes)
	for i := range nodes {
		// An address and no name: go-redis looks names up when a shard is made.
		shards[nodeName(i)] = fmt.Sprintf("10.0.%d.%d:6379", i/256, i%256)
	}
	ring := goredis.NewRing(&goredis.RingOptions{
		Addrs:              shards,
		HeartbeatFrequency: never,
		Dialer: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		},
	})
	return router{"go-redis Ring GetShardClientForKey", func(keys []string) (sum int, _ error) {
		for _, key := range keys {
			shard, err := ring.GetShardClientForKey(key)
			if err != nil {
				return 0, err
			}
			if shard != nil {
				sum++
			}
		}
		return sum, nil
	}, func() { _ = ring.Close() }}
}

func nodeName(i int) string { return fmt.Sprintf("node-%d:6379", i) }

// routingEstimate is how long compareRouting should take: most of it goes to the
// Ring with many nodes.
func routingEstimate(s settings) time.Duration {
	const perKey = 500 * time.Nanosecond // over all routers, on average
	return time.Duration(len(s.nodes)*(s.rounds+1)*s.routingKeys) * perKey
}

// compareRouting measures the look-up of keys at each number of nodes, and writes
// a table. It has no outcomes, which are of commands.
func compareRouting(ctx context.Context, s settings, out io.Writer, progress *progress) ([]outcome, error) {
	keys := randomKeys(s.routingKeys)
	table := &report.Table{
		Title:  "Key to node",
		Header: []string{"what", "nodes", "ns/key", "× floor", "Ring ÷ it", "allocs/key"},
		Remark: fmt.Sprintf("%d random keys of %d to %d bytes, one goroutine, in each of %d rounds.",
			len(keys), minKey, maxKey, s.rounds),
	}
	for _, nodes := range s.nodes {
		progress.say("key to node, %d nodes", nodes)
		if err := routeAmong(ctx, table, nodes, keys, s.rounds); err != nil {
			return nil, fmt.Errorf("%d nodes: %w", nodes, err)
		}
		progress.finish(routingEstimate(s) / time.Duration(len(s.nodes)))
	}
	return nil, writeAll(out, table)
}

// routeAmong adds the rows for one number of nodes.
func routeAmong(ctx context.Context, table *report.Table, nodes int, keys []string, rounds int) error {
	routers, err := openRouters(nodes)
	if err != nil {
		return err
	}
	var entrants []entrant
	for _, r := range routers {
		defer r.close()
		entrants = append(entrants, entrant{Name: r.name, Measure: func(context.Context) (sample, error) {
			m := startMeter()
			_, err := r.pass(keys)
			return m.stop().per(len(keys)), err
		}})
	}
	results, err := contest.Run(ctx, rounds, entrants)
	if err != nil {
		return err
	}
	floor, ring := times(results[floorRouter]), times(results[ringRouter])
	for i, r := range routers {
		took := times(results[i])
		table.Add(r.name, fmt.Sprint(nodes), report.Figure(median(took)), report.Ratio(ratio(took, floor)),
			report.Ratio(ratio(ring, took)), report.Count(median(allocs(results[i]))))
	}
	return nil
}
