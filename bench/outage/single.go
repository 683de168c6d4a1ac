package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

// single is a thing of which one call tells enough.
type single struct {
	name    string
	setting setting
	whole   bool // it is for clients that take commands with keys on several servers
	measure func(context.Context, kind, setting) (float64, error)
	write   func(float64) string
}

const trials = 100 // of calls with keys on three servers

var singles = []single{
	{"64 calls with contexts of 100 ms, on a server that just froze: the last is back after", byDefault, false, deadline, span},
	{"64 calls with contexts of 100 ms, and time-outs of 200 ms: the last is back after", alike, false, deadline, span},
	{"an INCR whose reply is lost runs", byDefault, false, loseReply, times},
	{"MGET of keys on three servers: wrong, and no error", byDefault, true, several("MGET", wrongValues), ofTrials},
	{"EXISTS of keys on three servers: wrong, and no error", byDefault, true, several("EXISTS", wrongCount), ofTrials},
	{"FLUSHDB, and no error: keys that are left", byDefault, true, flush, ofTrials},
}

func (s single) String() string { return s.name }

func times(x float64) string {
	if x == 1 {
		return "once"
	}
	return fmt.Sprintf("%.0f times", x)
}

func ofTrials(x float64) string { return fmt.Sprintf("%.0f of %d", x, trials) }

// withServers calls use with a client and its three servers.
func withServers(ctx context.Context, k kind, s setting, use func(*contestant) (float64, error)) (float64, error) {
	c := &contestant{kind: k, setting: s}
	defer c.close()
	if err := c.open(ctx); err != nil {
		return 0, err
	}
	return use(c)
}

// deadline returns how long the last of many calls takes whose contexts end while
// their server is frozen.
func deadline(ctx context.Context, k kind, s setting) (float64, error) {
	const limit = 100 * time.Millisecond
	return withServers(ctx, k, s, func(c *contestant) (float64, error) {
		homes, err := c.place(ctx, 4*callers)
		if err != nil {
			return 0, err
		}
		keys := homes[1][:callers]
		call := func(key string) error { _, err := c.client.Do(ctx, "INCR", key); return err }
		if err := atOnce(keys, call); err != nil { // so that there are connections
			return 0, err
		}
		if err := c.servers[1].Signal(syscall.SIGSTOP); err != nil {
			return 0, err
		}
		begun := time.Now()
		_ = atOnce(keys, func(key string) error {
			ctx, cancel := context.WithTimeout(ctx, limit)
			defer cancel()
			_, err := c.client.Do(ctx, "INCR", key)
			return err
		})
		return float64(time.Since(begun)), nil
	})
}

// place sets n keys, each to its own number, and returns those of each server.
func (c *contestant) place(ctx context.Context, n int) (homes [][]string, err error) {
	for i := range n {
		if _, err := c.client.Do(ctx, "SET", fmt.Sprint(i), i); err != nil {
			return nil, err
		}
	}
	for _, s := range c.servers {
		keys, err := redis.Strings(ask(s, "KEYS", "*"))
		if err != nil {
			return nil, err
		}
		homes = append(homes, keys)
	}
	return homes, nil
}

// loseReply returns how often a call runs whose reply never comes.
func loseReply(ctx context.Context, k kind, s setting) (float64, error) {
	m, err := startMute(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = m.Close() }()
	c, err := k.open([]string{m.Addr().String()}, s)
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	if _, err := c.Do(ctx, "INCR", "n"); err == nil {
		return 0, fmt.Errorf("no error though there was no reply")
	}
	return float64(m.ran.Load()), nil
}

// several returns how many replies to calls with keys on three servers are wrong. An
// error is not wrong.
func several(cmd string, wrong func(reply any, keys []any) bool) func(context.Context, kind, setting) (float64, error) {
	return func(ctx context.Context, k kind, s setting) (float64, error) {
		return withServers(ctx, k, s, func(c *contestant) (float64, error) {
			homes, err := c.place(ctx, 5*trials)
			if err != nil {
				return 0, err
			}
			n := 0
			for i := range trials {
				keys := []any{homes[0][i%len(homes[0])], homes[1][i%len(homes[1])], homes[2][i%len(homes[2])]}
				reply, err := c.client.Do(ctx, cmd, keys...)
				if err == nil && wrong(reply, keys) {
					n++
				}
			}
			return float64(n), nil
		})
	}
}

// wrongValues reports whether a reply is not every key's value, which is the key.
func wrongValues(reply any, keys []any) bool {
	values, ok := reply.([]any)
	if !ok || len(values) != len(keys) {
		return true
	}
	for i, v := range values {
		if fmt.Sprintf("%s", v) != keys[i] {
			return true
		}
	}
	return false
}

// wrongCount reports whether a reply is not the number of keys.
func wrongCount(reply any, keys []any) bool { return reply != int64(len(keys)) }

// flush returns how many keys are left when all should be gone.
func flush(ctx context.Context, k kind, s setting) (float64, error) {
	return withServers(ctx, k, s, func(c *contestant) (float64, error) {
		if _, err := c.place(ctx, trials); err != nil {
			return 0, err
		}
		if _, err := c.client.Do(ctx, "FLUSHDB"); err != nil {
			return 0, err
		}
		return remaining(c.servers)
	})
}

func remaining(servers []*redisserver.Server) (float64, error) {
	sum := 0
	for _, s := range servers {
		n, err := redis.Int(ask(s, "DBSIZE"))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return float64(sum), nil
}
