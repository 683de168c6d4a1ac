package router_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fickle is an argument that counts how often it was asked what it is, and is
// something else each time.
type fickle struct{ times int }

func (a *fickle) RedisArg() any { a.times++; return fmt.Sprint("answer ", a.times) }

// roaming is a key that counts how often it was asked what it is, and is on another node
// each time.
type roaming struct{ times int }

func (k *roaming) RedisArg() any { k.times++; return []string{"", "a", "b", "c", "d"}[k.times] }

// alarm is an argument that panics.
type alarm struct{}

func (alarm) RedisArg() any { panic("an argument's own") }

// severalNodes are calls of which each of two nodes has a part.
var severalNodes = map[string]func(arg any) []any{
	"on all nodes":        func(arg any) []any { return []any{"ECHO", arg} },
	"split":               func(arg any) []any { return []any{"MSET", "a", arg, "b", 1} },
	"in steps":            func(arg any) []any { return []any{"MSETNX", "a", arg, "b", 1} },
	"a member on its way": func(arg any) []any { return []any{"SMOVE", "a:set", "b:set", arg} },
}

func TestAnArgumentIsAskedOnceForAllNodes(t *testing.T) {
	two := newTwins(t)
	for name, call := range severalNodes {
		arg := &fickle{}
		words := call(arg)
		_, err := two.router.Do(t.Context(), words[0].(string), words[1:])
		require.NoError(t, err, name)
		assert.Equal(t, 1, arg.times, name)
	}
	arg := &fickle{}
	for _, reply := range two.router.Fan(t.Context(), []int{0, 1}, "ECHO", []any{arg}) {
		text, err := redis.String(reply.Value, reply.Err)
		require.NoError(t, err)
		assert.Equal(t, "answer 1", text)
	}
}

func TestAnArgumentPanicsInItsCallersGoroutine(t *testing.T) {
	two := newTwins(t)
	for name, call := range severalNodes {
		words := call(alarm{})
		assert.PanicsWithValue(t, "an argument's own", func() {
			_, _ = two.router.Do(context.Background(), words[0].(string), words[1:])
		}, name)
	}
	assert.PanicsWithValue(t, "an argument's own", func() {
		two.router.Fan(context.Background(), []int{0, 1}, "ECHO", []any{alarm{}})
	})
}

// What an error tells of a command that was sent must not be read off arguments that
// their owner uses again. The race detector sees it if it is.
func TestAnErrorTellsTheKeyThatWasSent(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, f := fakes(t, 2, "")
		prepare(t, r)
		f[0].Crash()
		c := r.conn()
		defer c.Close()
		args := []any{"a:sent", "b"}
		send(t, c, "MGET", args...)
		received := make(chan error)
		go func() {
			_, err := c.Receive()
			received <- err
		}()
		args[0] = "a:again"
		requirePlaced(t, <-received, 0, `MGET "a:sent"`)
	})
}

func TestASplitCallHasTheLimitOfItsCaller(t *testing.T) {
	r, f := fakes(t, 2, "read_timeout=300ms")
	c := r.conn()
	defer c.Close()
	for _, key := range []string{"a", "b"} { // for connections that are used below
		_, err := redis.DoWithTimeout(c, patient, "GET", key)
		require.NoError(t, err)
	}
	r.share(t)
	f[0].Delay(700 * time.Millisecond)
	defer f[0].Resume()
	gone, err := redis.Int(redis.DoWithTimeout(c, patient, "DEL", "a", "b")) // which is not repeated
	require.NoError(t, err)
	assert.Zero(t, gone)
}
