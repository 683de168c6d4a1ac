package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

// contestant is a client with servers of its own.
type contestant struct {
	kind    kind
	setting setting
	servers []*redisserver.Server
	client  client
	load    *load
	turn    time.Duration // when its fault is after the first one's
	outcome outcome
}

// outcome is what a fault cost one client.
type outcome struct {
	Calls, Lost int
	Missed      int           // calls lost or late, and those that were due while one took so long
	Before      time.Duration // of the longest call before the fault: what the machine does
	Longest     time.Duration // of any call
	Trouble     time.Duration // until the last call ended that failed or was late; zero if none was
	Home        time.Duration // from the fault's end until its keys were there again; negative if they never were
	Again       int           // calls that ran more than once
	Example     string        // one of the errors
}

const (
	warm = 500 * time.Millisecond // before the fault
	calm = 300 * time.Millisecond // after the keys are home

	// apart is the time from one client's fault to the next one's: servers that die
	// and start together would take the processors from everybody's calls.
	apart = 100 * time.Millisecond
)

// openAll opens a client of each kind under each setting.
func openAll(ctx context.Context, settings []setting) (field []*contestant, err error) {
	for _, s := range settings {
		for _, k := range kinds {
			field = append(field, &contestant{kind: k, setting: s})
		}
	}
	if err := atOnce(field, func(c *contestant) error { return c.open(ctx) }); err != nil {
		closeAll(field)
		return nil, err
	}
	return field, nil
}

func closeAll(field []*contestant) {
	_ = atOnce(field, func(c *contestant) error { c.close(); return nil })
}

// atOnce does something to all items at the same time.
func atOnce[T any](items []T, do func(T) error) error {
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	for i, item := range items {
		wg.Go(func() { errs[i] = do(item) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// open starts three servers, which remember over a restart what they have counted,
// and a client for them.
func (c *contestant) open(ctx context.Context) (err error) {
	c.servers, err = redisserver.Start(ctx, 3, "--enable-debug-command", "yes", "--appendonly", "yes", "--appendfsync", "no")
	if err != nil {
		return err
	}
	c.client, err = c.kind.open(addresses(c.servers), c.setting)
	return err
}

func addresses(servers []*redisserver.Server) (addrs []string) {
	for _, s := range servers {
		addrs = append(addrs, s.Addr())
	}
	return addrs
}

func (c *contestant) close() {
	if c.client != nil {
		_ = c.client.Close()
	}
	redisserver.CloseAll(c.servers)
}

// happen lets the fault happen to all clients, each under load, and returns them with
// what it cost them.
func (f fault) happen(ctx context.Context, settings []setting) ([]*contestant, error) {
	field, err := openAll(ctx, settings)
	if err != nil {
		return nil, err
	}
	defer closeAll(field)
	for i, c := range field {
		c.load = startLoad(c.client)
		c.turn = time.Duration(i) * apart
	}
	return field, atOnce(field, func(c *contestant) error { return c.suffer(ctx, f) })
}

// suffer lets the fault happen and end, waits until the client is as before, and
// notes what it cost.
func (c *contestant) suffer(ctx context.Context, f fault) error {
	_ = sleep(ctx, warm+c.turn) // strike says so if ctx has ended
	before, begun, ended, err := c.strike(ctx, f)
	home := time.Duration(0)
	if err == nil {
		home, err = awaitHome(ctx, f.hit(c.servers))
	}
	r := c.load.finish()
	if err != nil {
		return fmt.Errorf("%s, %s: %w", c.kind.Name, c.setting.Name, err)
	}
	c.outcome = outcome{Calls: r.calls, Lost: r.lost, Missed: r.missed, Before: before, Longest: r.longest, Home: home}
	if r.example != nil {
		c.outcome.Example = r.example.Error()
	}
	if f.sinceEnd() {
		begun = ended
	}
	if !r.trouble.IsZero() {
		c.outcome.Trouble = max(r.trouble.Sub(begun), 0)
	}
	c.outcome.Again, err = ranAgain(c.servers)
	return err
}

// strike lets the fault happen and end, and returns when, and how long calls took before.
func (c *contestant) strike(ctx context.Context, f fault) (before time.Duration, begun, ended time.Time, err error) {
	if f.idle {
		resume := c.load.rest()
		defer resume()
	}
	before = c.load.begin().longest
	begun = time.Now()
	err = f.inflict(ctx, f.hit(c.servers))
	return before, begun, time.Now(), err
}

// tooLong is how long a client gets to come back.
const tooLong = 12 * time.Second

// awaitHome waits until each server counts again as it should, and a while longer. It
// returns how long that took, or a negative time if that was too long.
func awaitHome(ctx context.Context, servers []*redisserver.Server) (time.Duration, error) {
	healed := time.Now()
	for _, s := range servers {
		home, err := counts(ctx, s, healed.Add(tooLong))
		if err != nil || !home {
			return -1, err
		}
	}
	took := time.Since(healed)
	return took, sleep(ctx, calm)
}

// counts waits until the server has executed INCR so often that calls go there again.
func counts(ctx context.Context, s *redisserver.Server, until time.Time) (bool, error) {
	const enough = callers / 2
	conn, err := dial(s)
	if err != nil {
		return false, err
	}
	defer func() { _ = conn.Close() }()
	first := -1
	for time.Now().Before(until) {
		n, err := increments(conn)
		if isReply := redis.Error(""); err != nil && !errors.As(err, &isReply) {
			return false, err
		}
		if err == nil && first < 0 {
			first = n
		}
		if err == nil && n >= first+enough {
			return true, nil
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return false, err
		}
	}
	return false, nil
}
