package main

import (
	"context"
	"fmt"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/bench/internal/contest"
	"github.com/redisfluster/fluster/bench/internal/report"
	"github.com/redisfluster/fluster/fluster"
)

// borrows is how many calls make a slice.
const borrows = 20_000

// compareBorrows measures what a pool does around a command: lend and take back
// a connection, and within that the check of an idle one.
func compareBorrows(ctx context.Context, s settings, addr string, progress *progress) (*report.Table, error) {
	t := target{addrs: []string{addr}, callers: 1}
	user := userNodes(t)
	parsed, err := parsedNodes(t)
	if err != nil {
		return nil, err
	}
	for _, nodes := range [][]fluster.Node{user, parsed} {
		cluster, err := openCluster(nodes, t.idle())
		if err != nil {
			return nil, err
		}
		defer cluster.Close()
	}
	byHand := newPool(addr, t)
	defer byHand.Close()

	progress.say("borrow a connection")
	entrants := []entrant{
		getAndClose(kindOf(plainID).name, byHand),
		getAndClose(kindOf(userPoolsID).name, user[0].Pool),
		getAndClose(kindOf(parsedPoolsID).name, parsed[0].Pool),
		check(kindOf(userPoolsID).name, user[0].Pool),
		check(kindOf(parsedPoolsID).name, parsed[0].Pool),
	}
	results, err := contest.Run(ctx, s.rounds, entrants)
	if err != nil {
		return nil, err
	}
	return borrowTable(s, entrants, results), nil
}

// borrowTable compares with the first entrant.
func borrowTable(s settings, entrants []entrant, results [][]sample) *report.Table {
	table := &report.Table{
		Title:  "Around the command",
		Header: []string{"what", "ns/call", "× plain Get and Close", "allocs/call"},
		Remark: fmt.Sprintf("One idle connection, one goroutine, no command; %d calls in each of %d rounds.", borrows, s.rounds),
	}
	base := times(results[0])
	for i, e := range entrants {
		took := times(results[i])
		table.Add(e.Name, report.Figure(median(took)), report.Ratio(ratio(took, base)),
			report.Count(median(allocs(results[i]))))
	}
	return table
}

// getAndClose borrows a connection and gives it back.
func getAndClose(name string, pool *redis.Pool) entrant {
	return entrant{Name: name + ": Get and Close", Measure: func(context.Context) (sample, error) {
		return repeat(func() error {
			conn := pool.Get()
			if err := conn.Err(); err != nil {
				return err
			}
			return conn.Close()
		})
	}}
}

// check is what the pool does before it lends an idle connection, to one that
// was dialed for this.
func check(name string, pool *redis.Pool) entrant {
	return entrant{Name: name + ": the check alone", Measure: func(ctx context.Context) (sample, error) {
		conn, err := pool.DialContext(ctx)
		if err != nil {
			return sample{}, err
		}
		defer conn.Close()
		return repeat(func() error { return pool.TestOnBorrow(conn, time.Time{}) })
	}}
}

// repeat makes a slice of many calls of f.
func repeat(f func() error) (sample, error) {
	m := startMeter()
	for range borrows {
		if err := f(); err != nil {
			return sample{}, err
		}
	}
	return m.stop().per(borrows), nil
}
