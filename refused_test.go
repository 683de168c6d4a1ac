package fluster_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
)

func TestWhatWouldChangeOnePooledConnectionIsRefused(t *testing.T) {
	f := openFleet(t, 2, "", fluster.Config{})
	for _, s := range f.servers {
		s.Do("CONFIG", "RESETSTAT")
	}
	for line, advice := range map[string]string{
		"CLIENT SETNAME me":         "client_name",
		"client setname me":         "client_name",
		"CLIENT SETINFO LIB-NAME x": "what dials the pool",
		"CLIENT NO-EVICT ON":        "what dials the pool",
		"CLIENT NO-TOUCH ON":        "what dials the pool",
		"CLIENT CACHING YES":        "what dials the pool",
		"CLIENT REPLY OFF":          "the reply to each command",
		"CLIENT TRACKING ON":        "the library speaks the protocol",
		"HELLO 3":                   "the library speaks the protocol",
		"SELECT 1":                  "node's URL",
		"AUTH secret":               "node's URL",
		"RESET":                     "what dials the pool",
		"MONITOR":                   "dial the node for it",
		"QUIT":                      "Close",
		"SCRIPT DEBUG YES":          "connection",
	} {
		for way, run := range waysToRun {
			words := strings.Fields(line)
			args := make([]any, len(words)-1)
			for i, w := range words[1:] {
				args[i] = w
			}
			err := run(t.Context(), f.FlusterCluster, "k", words[0], args...)
			require.ErrorIs(t, err, fluster.ErrRefused, "%s by %s", line, way)
			assert.True(t, fluster.SafeToRetry(err))
			if way != "Each" {
				assert.ErrorContains(t, err, advice, line)
				assert.NotContains(t, err.Error(), "own pool can do it", "it would be as bad there")
			}
		}
	}
	for _, s := range f.servers {
		for _, cmd := range []string{"client|setname", "client|no-evict", "client|reply", "select"} {
			assert.Zero(t, s.Executed(cmd), cmd)
		}
	}
}

func TestACopyIntoAnotherDatabaseIsRefusedAsAMoveIs(t *testing.T) {
	f := openFleet(t, 1, "", fluster.Config{NonAtomic: true})
	_, err := f.Do(t.Context(), "SET", "a", "1")
	require.NoError(t, err)
	for _, args := range [][]any{{"a", "b", "DB", 1}, {"a", "b", "REPLACE", "db", "0"}, {"a", "b", []byte("Db"), 1, "REPLACE"}} {
		_, err := f.Do(t.Context(), "COPY", args...)
		require.ErrorIs(t, err, fluster.ErrRefused, "%v", args)
		assert.ErrorContains(t, err, "database")
	}
	_, err = f.Do(t.Context(), "MOVE", "a", 1)
	require.ErrorIs(t, err, fluster.ErrRefused)
	assert.Zero(t, f.servers[0].Executed("copy"))

	reply, err := f.Do(t.Context(), "COPY", "a", "db")
	require.NoError(t, err)
	assert.Equal(t, int64(1), reply, "a key may be called like the option")
	_, err = f.Do(t.Context(), "COPY", "a", "b", "DB")
	assert.ErrorContains(t, err, "ERR syntax error")
}

func TestACommandWithoutANameIsRefused(t *testing.T) {
	f := openFleet(t, 2, "", fluster.Config{})
	_, err := f.Each(t.Context(), fluster.LiveNodes(), "")
	require.ErrorIs(t, err, fluster.ErrRefused)
	_, err = f.Do(t.Context(), "")
	require.ErrorIs(t, err, fluster.ErrRefused)
}
