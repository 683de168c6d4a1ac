package main

import (
	"context"
	"errors"
	"time"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

// fault is something that happens to one server of three, or to all.
type fault struct {
	name   string
	all    bool // it happens to every server, and what counts is the time since its end
	idle   bool // nobody calls meanwhile, and what counts is the time since its end
	last   time.Duration
	inject injection
}

// injection begins a fault.
type injection func(context.Context, *redisserver.Server) (heal, error)

// heal ends a fault. It is nil if that ends by itself.
type heal func(context.Context) error

// outage is how long what does not end by itself lasts; long is longer than three
// heartbeats of a Ring at its defaults take to fail.
const (
	outage = 2 * time.Second
	long   = 22 * time.Second
)

var faults = []fault{
	{name: "nothing, for 2 s", last: outage, inject: nothing},
	{name: "kill -9, restart after 2 s", last: outage, inject: kill},
	{name: "SHUTDOWN, restart after 2 s", last: outage, inject: shutdown},
	{name: "SIGSTOP, SIGCONT after 2 s", last: outage, inject: freeze},
	{name: "SIGSTOP, SIGCONT after 22 s", last: long, inject: freeze},
	{name: "all three killed, restart after 2 s (times since then)", all: true, last: outage, inject: kill},
	{name: "restart while connections are idle", idle: true, inject: kill},
	{name: "flapping: six times 300 ms down, 300 ms up", inject: flap},
	{name: "CLIENT KILL of all clients", inject: tell("CLIENT", "KILL", "TYPE", "normal")},
	{name: "CLIENT PAUSE ALL of 400 ms", last: 400 * time.Millisecond, inject: tell("CLIENT", "PAUSE", 400, "ALL")},
	{name: "CLIENT PAUSE WRITE of 2 s", last: outage, inject: tell("CLIENT", "PAUSE", outage.Milliseconds(), "WRITE")},
	{name: "LOADING for 2 s", last: outage, inject: reload},
	{name: "BUSY: a script runs for 2 s", last: outage, inject: runScript},
	{name: "READONLY: a replica for 2 s", last: outage, inject: demote},
	{name: "full for 2 s (maxclients), after CLIENT KILL", last: outage, inject: fill},
}

func (f fault) String() string { return f.name }

// hit returns the servers that the fault happens to.
func (f fault) hit(servers []*redisserver.Server) []*redisserver.Server {
	if f.all {
		return servers
	}
	return servers[1:2]
}

// sinceEnd reports whether times count from the fault's end.
func (f fault) sinceEnd() bool { return f.all || f.idle }

// inflict lets the fault happen to servers, last, and end.
func (f fault) inflict(ctx context.Context, servers []*redisserver.Server) error {
	var heals []heal
	var failed error
	for _, s := range servers {
		h, err := f.inject(ctx, s)
		failed = errors.Join(failed, err)
		if h != nil {
			heals = append(heals, h)
		}
	}
	if failed == nil {
		failed = sleep(ctx, f.last)
	}
	return errors.Join(failed, atOnce(heals, func(h heal) error { return h(ctx) }))
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
