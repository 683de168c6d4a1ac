package fluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

// askings are what callers do. Each uses keys of its own, one of each node, and claims
// what it heard of each.
var askings = map[string]func(ctx context.Context, o *oracle, at string, keys []string){
	"INCR": func(ctx context.Context, o *oracle, at string, keys []string) {
		_, err := o.Do(ctx, "INCR", keys[0])
		o.claim(claim{what: "INCR " + keys[0], at: at, err: err})
	},
	"GET": func(ctx context.Context, o *oracle, at string, keys []string) {
		_, err := o.Do(ctx, "GET", keys[0])
		o.claim(claim{what: "GET " + keys[0], at: at, err: err, read: true})
	},
	"INCR by who leaves": func(ctx context.Context, o *oracle, at string, keys []string) {
		ctx, cancel := context.WithTimeout(ctx, time.Duration(rand.IntN(500))*time.Microsecond)
		defer cancel()
		_, err := o.Do(ctx, "INCR", keys[0])
		o.claim(claim{what: "INCR " + keys[0], at: at, err: err})
	},
	"DEL": func(ctx context.Context, o *oracle, at string, keys []string) {
		_, err := o.Do(ctx, "DEL", keys[0], keys[1], keys[2])
		o.claim(split("DEL", at, keys, err, false)...)
	},
	"MSET": func(ctx context.Context, o *oracle, at string, keys []string) {
		_, err := o.Do(ctx, "MSET", keys[0], 1, keys[1], 2, keys[2], 3)
		o.claim(split("MSET", at, keys, err, false)...)
	},
	"MGET": func(ctx context.Context, o *oracle, at string, keys []string) {
		values, err := redis.Values(o.Do(ctx, "MGET", keys[0], keys[1], keys[2]))
		o.claim(split("MGET", at, keys, err, true)...)
		for i, value := range values {
			err, failed := value.(error)
			o.claim(claim{what: "MGET " + keys[i], at: at, err: err, read: true})
			if !failed && string(value.([]byte)) != keys[i] {
				o.claim(claim{what: "somebody else's reply", at: at})
			}
		}
	},
	"EVALSHA": func(ctx context.Context, o *oracle, at string, keys []string) {
		_, err := o.Do(ctx, "EVALSHA", tallyScript.Hash(), 1, keys[0])
		o.claim(claim{what: "EVAL " + keys[0], at: at, err: err})
	},
	"EVAL": func(ctx context.Context, o *oracle, at string, keys []string) {
		_, err := o.Do(ctx, "EVAL", tally, 1, keys[0])
		o.claim(claim{what: "EVAL " + keys[0], at: at, err: err})
	},
	"a pipeline": func(_ context.Context, o *oracle, at string, keys []string) {
		c := o.Get()
		defer c.Close()
		_ = c.Send("INCR", keys[0])
		_ = c.Send("EVALSHA", tallyScript.Hash(), 1, keys[0])
		_ = c.Send("DEL", keys[0], keys[1], keys[2])
		_ = c.Send("SET", keys[1], 1)
		_, err := c.Receive()
		o.claim(claim{what: "INCR " + keys[0], at: at, err: err})
		_, err = c.Receive()
		o.claim(claim{what: "EVAL " + keys[0], at: at, err: err})
		_, err = c.Receive()
		o.claim(split("DEL", at, keys, err, false)...)
		_, err = c.Receive()
		o.claim(claim{what: "SET " + keys[1], at: at, err: err})
	},
	"a pipeline's last": func(_ context.Context, o *oracle, at string, keys []string) {
		o.incrAndSet(at, keys[0], keys[0])
	},
	"a pipeline's last, elsewhere": func(_ context.Context, o *oracle, at string, keys []string) {
		o.incrAndSet(at, keys[0], keys[1])
	},
	"a transaction": func(_ context.Context, o *oracle, at string, keys []string) {
		c := o.Get()
		defer c.Close()
		_ = c.Send("MULTI")
		_ = c.Send("INCR", keys[0])
		_ = c.Send("SET", keys[0], 1)
		_ = c.Send("EXEC")
		var errs [4]error
		for i := range errs {
			_, errs[i] = c.Receive()
		}
		o.claim(claim{what: "INCR " + keys[0], at: at, err: errs[3]}, claim{what: "SET " + keys[0], at: at, err: errs[3]})
		for i, cmd := range []string{"INCR ", "SET "} { // QUEUED says nothing of what came of it
			if err := errs[1+i]; err != nil {
				o.claim(claim{what: cmd + keys[0], at: at, err: err})
			}
		}
	},
	"a transaction step by step": func(ctx context.Context, o *oracle, at string, keys []string) {
		c := o.Get()
		defer c.Close()
		_, _ = redis.DoContext(c, ctx, "MULTI")
		_, err := redis.DoContext(c, ctx, "INCR", keys[0])
		if err != nil {
			o.claim(claim{what: "INCR " + keys[0], at: at, err: err})
		}
		_, err = redis.DoContext(c, ctx, "EXEC")
		o.claim(claim{what: "INCR " + keys[0], at: at, err: err})
	},
}

// incrAndSet sends a command, and does another behind it.
func (o *oracle) incrAndSet(at, key, last string) {
	c := o.Get()
	defer c.Close()
	_ = c.Send("INCR", key)
	_, err := c.Do("SET", last, 1)
	o.claim(claim{what: "SET " + last, at: at, err: err})
	if err == nil {
		o.claim(claim{what: "INCR " + key, at: at})
	}
}

// round runs a crowd of callers, one of each asking and some more, while the
// connections to the first node are cut, and at times those to the others.
func (o *oracle) round(t *testing.T, at string, cut func(f *redistest.Fake)) {
	t.Helper()
	o.forget(0)
	for _, f := range o.fakes[:1+rand.IntN(len(o.fakes))] {
		cut(f)
	}
	var wg sync.WaitGroup
	for _, ask := range askings {
		keys := o.keys(t)
		wg.Go(func() { ask(t.Context(), o, at, keys) })
	}
	for range crowded - len(askings) {
		keys := o.keys(t)
		wg.Go(func() { askings["INCR"](t.Context(), o, at, keys) })
	}
	wg.Wait()
	for _, f := range o.fakes {
		f.Resume()
	}
}

// sweep returns every how many bytes a request is cut, and how far.
func sweep() (step, longest int) {
	if os.Getenv("FLUSTER_ORACLE") == "whole" {
		return 1, 1200
	}
	return 2, 600
}

func TestRow23WhatManyCallersOfSharedConnectionsHearOfCutCallsIsTrue(t *testing.T) {
	row := redistest.Faults(t, 23, "shared connections are cut at each byte", "a fake server that counts")
	o := newOracle(t)
	_, err := o.Do(t.Context(), "SCRIPT", "LOAD", tally)
	require.NoError(t, err)
	o.shares(t)
	step, longest := sweep()
	for n := 1 + rand.IntN(step); n <= longest; n += step {
		o.round(t, fmt.Sprintf("requests cut after %d bytes", n), func(f *redistest.Fake) { f.CutRequests(n) })
	}
	o.shares(t)
	for _, cmd := range []string{"INCR", "GET", "SET", "DEL", "MSET", "MGET", "EVAL", "EVALSHA", "SCRIPT", "MULTI", "EXEC"} {
		for n := range 5 {
			o.round(t, fmt.Sprintf("replies to %s cut after %d bytes", cmd, n), func(f *redistest.Fake) { f.CutReply(cmd, n) })
		}
	}
	o.shares(t)
	requireNoPenalties(t, o.FlusterCluster)
	require.NoError(t, o.Close())
	for _, f := range o.fakes {
		redistest.WaitFor(t, patient, func() bool { return f.Conns() == 0 }, "all is executed that ever will be")
	}
	maybe, safe := o.verify(t)
	t.Logf("%d claims: of %d commands nobody knows, %d did not run", len(o.claims), maybe, safe)
	row.Calls, row.Lost = len(o.claims), maybe+safe
	assert.Greater(t, maybe, 100)
	assert.Positive(t, safe)
}
