package fluster_test

import (
	"fmt"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
)

func TestTheWholeClusterIsOneRedis(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{})
	ctx := t.Context()
	var args []any
	var keys []any
	for i := range 100 {
		args = append(args, fmt.Sprintf("k:%d", i), i)
		keys = append(keys, fmt.Sprintf("k:%d", i))
	}
	ok, err := f.Do(ctx, "MSET", args...)
	require.NoError(t, err)
	assert.Equal(t, "OK", ok)
	vals, err := redis.Ints(f.Do(ctx, "MGET", keys...))
	require.NoError(t, err)
	assert.Equal(t, 99, vals[99])
	n, err := redis.Int(f.Do(ctx, "DBSIZE"))
	require.NoError(t, err)
	assert.Equal(t, 100, n)
	n, err = redis.Int(f.Do(ctx, "EXISTS", keys...))
	require.NoError(t, err)
	assert.Equal(t, 100, n)
	c := f.Get()
	for i := range 100 {
		require.NoError(t, c.Send("INCR", fmt.Sprintf("k:%d", i)))
	}
	require.NoError(t, c.Flush())
	for i := range 100 {
		n, err := redis.Int(c.Receive())
		require.NoError(t, err)
		require.Equal(t, i+1, n)
	}
	require.NoError(t, c.Send("MULTI"))
	require.NoError(t, c.Send("INCR", "{a}1"))
	require.NoError(t, c.Send("INCR", "{a}2"))
	r, err := redis.Ints(c.Do("EXEC"))
	require.NoError(t, err)
	assert.Equal(t, []int{1, 1}, r)
	_, err = c.Do("MULTI")
	require.NoError(t, err)
	for i := range 4 {
		_, err = c.Do("INCR", fmt.Sprintf("k:%d", i))
		t.Log(err)
	}
	_, err = c.Do("EXEC")
	assert.ErrorContains(t, err, "EXECABORT")
	s := redis.NewScript(1, "return {KEYS[1], ARGV[1]}")
	rs, err := redis.Strings(s.Do(c, "k:7", "hello"))
	require.NoError(t, err)
	assert.Equal(t, []string{"k:7", "hello"}, rs)
	require.NoError(t, c.Close())
	ps := redis.PubSubConn{Conn: f.Get()}
	require.NoError(t, ps.Subscribe("ch"))
	t.Log(ps.Receive())
	_, err = f.Do(ctx, "PUBLISH", "ch", "hi")
	require.NoError(t, err)
	t.Log(ps.Receive())
	require.NoError(t, ps.Close())
	_, err = f.Do(ctx, "FLUSHALL")
	require.NoError(t, err)
	_, err = f.Do(ctx, "RENAME", "k:1", "k:2")
	t.Log(err)
	_, err = f.Do(ctx, "NOSUCH", "k:1", "k:2")
	t.Log(err)
	_, err = f.Do(ctx, "GET")
	t.Log(err)
	for _, st := range f.Nodes() {
		assert.Equal(t, st.PoolStats.IdleCount, st.PoolStats.ActiveCount)
	}
}
