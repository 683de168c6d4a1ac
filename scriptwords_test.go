package fluster_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// servers' words for a command that they did not run.
var refusals = []string{
	"LOADING Redis is loading the dataset in memory",
	"BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
	"READONLY You can't write against a read only replica.",
	"MISCONF Redis is configured to save RDB snapshots",
	"OOM command not allowed when used memory > 'maxmemory'.",
	"NOREPLICAS Not enough good replicas to write.",
	"NOAUTH Authentication required.",
	"ERR max number of clients reached",
}

// liar counts how often it ran under its key, and then says what it is told to.
const liar = "redis.call('INCR', KEYS[1]) return redis.error_reply(ARGV[1])"

// waysToRun are the ways in which a cluster runs a command by itself.
var waysToRun = map[string]func(ctx context.Context, c *fluster.FlusterCluster, key, cmd string, args ...any) error{
	"Do": func(ctx context.Context, c *fluster.FlusterCluster, _, cmd string, args ...any) error {
		_, err := c.Do(ctx, cmd, args...)
		return err
	},
	"Do of a connection": func(_ context.Context, c *fluster.FlusterCluster, _, cmd string, args ...any) error {
		conn := c.Get()
		defer conn.Close()
		_, err := conn.Do(cmd, args...)
		return err
	},
	"a pipeline": func(_ context.Context, c *fluster.FlusterCluster, _, cmd string, args ...any) error {
		conn := c.Get()
		defer conn.Close()
		err := conn.Send(cmd, args...)
		if err == nil {
			_, err = conn.Receive()
		}
		return err
	},
	"Each": func(ctx context.Context, c *fluster.FlusterCluster, key, cmd string, args ...any) error {
		_, err := c.Each(ctx, fluster.NodeOf(key), cmd, args...)
		return err
	},
}

func TestAScriptThatSpeaksLikeAServerIsNotSafeToRetry(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{})
	_, err := f.Do(t.Context(), "FUNCTION", "LOAD",
		"#!lua name=lib\nredis.register_function('liar', function(KEYS, ARGV) "+liar+" end)")
	require.NoError(t, err)
	sha, err := f.Do(t.Context(), "SCRIPT", "LOAD", liar)
	require.NoError(t, err)
	calls := 0
	for way, run := range waysToRun {
		for cmd, what := range map[string]any{"EVAL": liar, "EVALSHA": sha, "FCALL": "liar", "fcall": "liar"} {
			for _, words := range refusals {
				key := fmt.Sprint("ran:", calls)
				calls++
				err := run(t.Context(), f.FlusterCluster, key, cmd, what, 1, key, words)
				require.ErrorIs(t, err, redis.Error(words), "%s of %s", cmd, way)
				assert.False(t, fluster.SafeToRetry(err), "%s of %s: %s", cmd, way, words)
				assert.True(t, fluster.MaybeExecuted(err), "%s of %s: %s", cmd, way, words)
				n, err := redis.Int(f.Do(t.Context(), "GET", key))
				require.NoError(t, err)
				require.Equal(t, 1, n, "it ran once")
			}
		}
	}
	requireNoPenalties(t, f.FlusterCluster)
}

func TestWhatOtherCommandsAreRefusedWithIsSafeToRetry(t *testing.T) {
	redistest.NoLeaks(t)
	fake := redistest.NewFake(t)
	c := newCluster(t, fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: fake.Pool(redistest.PoolOptions{})}}})
	for way, run := range waysToRun {
		for _, words := range refusals {
			require.NoError(t, run(t.Context(), c, "k", "EXISTS", "k"))
			fake.Handle(func(cmd []string) []byte {
				if cmd[0] == "INCR" || cmd[0] == "EVAL" {
					return redistest.Error(words)
				}
				return nil
			})
			err := run(t.Context(), c, "k", "INCR", "k")
			require.ErrorIs(t, err, redis.Error(words), way)
			assert.True(t, fluster.SafeToRetry(err), "%s: %s", way, words)
			assert.False(t, fluster.MaybeExecuted(err), "%s: %s", way, words)

			err = run(t.Context(), c, "k", "EVAL", "return 1", 1, "k")
			var reply redis.Error
			require.True(t, errors.As(err, &reply))
			assert.False(t, fluster.SafeToRetry(err), "nobody can tell whose words these are: %v", err)
		}
	}
}

func TestAScriptsOtherWordsAreAnAnswer(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{})
	_, err := f.Do(t.Context(), "EVAL", liar, 1, "k", "WRONG thing")
	assert.Equal(t, redis.Error("WRONG thing"), err, "bare, as it came")
	assert.False(t, fluster.MaybeExecuted(err))
	assert.False(t, fluster.SafeToRetry(err))
}
