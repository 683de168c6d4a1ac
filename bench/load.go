package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"
)

// valueSize is the length of every value.
const valueSize = 64

// fill sets all keys on every server, since each client has its own idea of
// which server a key belongs to.
func fill(ctx context.Context, addrs, keys []string) error {
	for _, addr := range addrs {
		if err := fillOne(ctx, addr, keys); err != nil {
			return fmt.Errorf("fill %s: %w", addr, err)
		}
	}
	return nil
}

func fillOne(ctx context.Context, addr string, keys []string) error {
	conn, err := redis.DialContext(ctx, "tcp", addr, redis.DialReadTimeout(10*time.Second))
	if err != nil {
		return err
	}
	defer conn.Close()
	value := make([]byte, valueSize)
	for i, key := range keys {
		if err := conn.Send("SET", key, value); err != nil {
			return err
		}
		if i%1000 == 999 || i == len(keys)-1 {
			if _, err := conn.Do(""); err != nil {
				return err
			}
		}
	}
	return nil
}

// load is callers that GET random keys from a client for a while.
type load struct {
	name    string // of the client, as a label in profiles
	client  client
	keys    []string
	callers int
	length  time.Duration
}

// run returns what was measured. It ends early, with an error, when a GET fails,
// and when ctx ends.
func (l *load) run(ctx context.Context) (sample, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		begin   = make(chan struct{})
		over    atomic.Bool
		total   atomic.Int64
		ready   sync.WaitGroup
		callers sync.WaitGroup
	)
	ready.Add(l.callers)
	for range l.callers {
		callers.Go(func() {
			pprof.SetGoroutineLabels(pprof.WithLabels(context.Background(), pprof.Labels("client", l.name)))
			random := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
			ready.Done()
			<-begin
			n, err := l.call(random, &over)
			if err != nil {
				cancel(err)
			}
			total.Add(int64(n))
		})
	}
	ready.Wait()
	m := startMeter()
	close(begin)
	select {
	case <-time.After(l.length):
	case <-ctx.Done():
	}
	over.Store(true)
	callers.Wait()
	return m.stop(int(total.Load())), context.Cause(ctx)
}

// call is one caller. It returns how often it got a value.
func (l *load) call(random *rand.Rand, over *atomic.Bool) (n int, err error) {
	for ; !over.Load(); n++ {
		key := l.keys[random.IntN(len(l.keys))]
		value, err := l.client.Get(key)
		if err != nil {
			return n, fmt.Errorf("GET %s: %w", key, err)
		}
		if len(value) != valueSize {
			return n, fmt.Errorf("GET %s: a value of %d bytes, not %d", key, len(value), valueSize)
		}
	}
	return n, nil
}
