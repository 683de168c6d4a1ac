package router_test

import (
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/router"
)

func TestAKeyOfACallersOwnTypeIsAskedOnce(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, f := fakes(t, 3, "read_timeout=30s&write_timeout=30s")
		prepare(t, r)
		key := &roaming{}
		_, err := r.Do(t.Context(), "SET", []any{key, 1})
		require.NoError(t, err)
		assert.Equal(t, 1, key.times)
		n, err := redis.Int(r.Do(t.Context(), "EXISTS", []any{"a"}))
		require.NoError(t, err)
		assert.Equal(t, 1, n, "the key is not where it is looked for")
		assert.Equal(t, 1, f[0].Executed("SET"))
	})
}

func TestAnArgumentOfACallersOwnTypeIsAskedOnceThoughTheCallIsRepeated(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, f := fakes(t, 1, "read_timeout=30s&write_timeout=30s")
		prepare(t, r)
		f[0].CutReply("HGET", 1)
		arg := &fickle{}
		_, err := r.Do(router.WithRetry(t.Context(), router.Retry{MinWait: 1}), "HGET", []any{"a", arg})
		require.Error(t, err)
		assert.Equal(t, 3, f[0].Executed("HGET"))
		assert.Equal(t, 1, arg.times)
	})
}

// Over a connection of a pool the method is called while the command is written, so that
// the half of it stays in the buffer for whoever has the connection next. (Redigo alone
// does the same.)
func TestAnArgumentThatPanicsSpoilsNoConnectionForOthers(t *testing.T) {
	r, _ := fakes(t, 1, "read_timeout=30s&write_timeout=30s")
	_, err := r.Do(t.Context(), "SET", []any{"a", 1})
	require.NoError(t, err)
	assert.PanicsWithValue(t, "an argument's own", func() { _, _ = r.Do(t.Context(), "SET", []any{"a", alarm{}}) })
	for range 3 {
		n, err := redis.Int(r.Do(t.Context(), "INCR", []any{"a"}))
		require.NoError(t, err)
		assert.Positive(t, n)
	}
}
