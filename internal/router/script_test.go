package router_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const countSource = `return redis.call("INCRBY", KEYS[1], ARGV[1])`

var count = redis.NewScript(1, countSource)

func TestAScriptThatWasLoadedIsGivenToANodeThatForgotIt(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(testing.TB, *routed)) {
		r, s := servers(t, 2, "")
		c := r.conn()
		require.NoError(t, count.Load(c))
		for _, one := range s {
			one.Kill()
			one.Restart()
		}
		prepare(t, r)
		n, err := redis.Int(c.Do("EVALSHA", count.Hash(), 1, "a", 2))
		require.NoError(t, err)
		assert.Equal(t, 2, n, "by Do")
		assert.Equal(t, 1, s[0].Executed("script|load"))

		require.NoError(t, count.SendHash(c, "b", 3))
		require.NoError(t, count.SendHash(c, "b", 4))
		require.NoError(t, c.Send("GET", "b"))
		replies, err := redis.Ints(c.Do(""))
		require.NoError(t, err)
		assert.Equal(t, []int{3, 7, 7}, replies, "in a pipeline, in its turn")
		assert.Equal(t, 1, s[1].Executed("script|load"))
		require.NoError(t, c.Close())
		r.requireIdle(t)
	})
}

func TestAScriptThatOnlyReadsIsGivenToo(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(testing.TB, *routed)) {
		r, s := servers(t, 1, "")
		c := r.conn()
		defer c.Close()
		get := redis.NewScript(1, `return redis.call("GET", KEYS[1])`)
		require.NoError(t, get.Load(c))
		must(t, c, "SET", "a", "x")
		s[0].Do("SCRIPT", "FLUSH")
		prepare(t, r)
		assert.Equal(t, []byte("x"), must(t, c, "evalsha_ro", strings.ToUpper(get.Hash()), 1, "a"))
		s[0].Do("SCRIPT", "FLUSH")
		send(t, c, "EVALSHA_RO", get.Hash(), 1, "a")
		assert.Equal(t, []any{[]byte("x")}, must(t, c, ""))
	})
}

func TestRedigosScriptsRunWhereNobodyLoadedThem(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(testing.TB, *routed)) {
		r, _ := servers(t, 2, "")
		prepare(t, r)
		c := r.conn()
		defer c.Close()
		for i, key := range []string{"a", "b", "a", "b"} {
			n, err := redis.Int(count.Do(c, key, 5))
			require.NoError(t, err)
			assert.Equal(t, 5*(1+i/2), n)
		}
	})
}

func TestAScriptThatNobodyLoadedIsNotThere(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(testing.TB, *routed)) {
		r, _ := servers(t, 1, "")
		prepare(t, r)
		c := r.conn()
		defer c.Close()
		for _, how := range []string{"alone", "in a pipeline"} {
			if how == "in a pipeline" {
				send(t, c, "INCR", "a")
			}
			_, err := c.Do("EVALSHA", count.Hash(), 1, "a", 2)
			require.ErrorContains(t, err, "NOSCRIPT", how)
		}
	})
}

func TestAScriptThatSaysNoscriptItselfRunsOnce(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(testing.TB, *routed)) {
		r, s := servers(t, 1, "")
		prepare(t, r)
		c := r.conn()
		defer c.Close()
		liar := redis.NewScript(1, `redis.call("INCR", KEYS[1]); return redis.error_reply("NOSCRIPT No matching script. Please use EVAL.")`)
		require.NoError(t, liar.Load(c))
		_, err := c.Do("EVALSHA", liar.Hash(), 1, "a")
		require.ErrorContains(t, err, "NOSCRIPT")
		assert.Equal(t, []byte("1"), s[0].Do("GET", "a"))
	})
}

func TestWhatANodeSaidStandsIfItCannotBeGivenTheScript(t *testing.T) {
	r, s := servers(t, 1, "pool_size=8")
	c := r.conn()
	defer c.Close()
	require.NoError(t, count.Load(c))
	s[0].Do("SCRIPT", "FLUSH")
	r.share(t)
	for range 8 {
		held := r.pools[0].Get()
		require.NoError(t, held.Err())
		defer held.Close()
	}
	_, err := c.Do("EVALSHA", count.Hash(), 1, "a", 2)
	require.Equal(t, redis.Error("NOSCRIPT No matching script. Please use EVAL."), err)
}

func TestAFlushForgetsScripts(t *testing.T) {
	r, s := servers(t, 1, "")
	for _, how := range []string{"alone", "in a pipeline"} {
		c := r.conn()
		if how == "in a pipeline" {
			send(t, c, "SCRIPT", "LOAD", countSource)
			send(t, c, "EVALSHA", count.Hash(), 1, "a", 2)
			must(t, c, "")
			s[0].Do("SCRIPT", "FLUSH")
			must(t, c, "EVALSHA", count.Hash(), 1, "a", 2)
			send(t, c, "SCRIPT", "FLUSH")
			must(t, c, "")
		} else {
			require.NoError(t, count.Load(c))
			must(t, c, "SCRIPT", "FLUSH")
		}
		_, err := c.Do("EVALSHA", count.Hash(), 1, "a", 2)
		require.ErrorContains(t, err, "NOSCRIPT", how)
		require.NoError(t, c.Close())
	}
}

func TestOnlyWhatTheServersTookIsRemembered(t *testing.T) {
	r, s := servers(t, 1, "")
	c := r.conn()
	broken := redis.NewScript(1, "return (")
	require.Error(t, broken.Load(c))
	send(t, c, "SCRIPT", "LOAD", "return (")
	_, err := c.Receive()
	require.Error(t, err)
	_, err = c.Do("EVALSHA", broken.Hash(), 1, "a")
	require.ErrorContains(t, err, "NOSCRIPT", "and not what is wrong with it")

	require.NoError(t, count.Load(c))
	s[0].Kill()
	_, err = c.Do("SCRIPT", "FLUSH")
	require.Error(t, err)
	s[0].Restart()
	assert.Equal(t, int64(2), must(t, c, "EVALSHA", count.Hash(), 1, "a", 2), "it was not flushed")
	require.NoError(t, c.Close())
}

func TestTheScriptsThatAreUsedAreRemembered(t *testing.T) {
	r, s := servers(t, 1, "")
	c := r.conn()
	defer c.Close()
	load := func(i int, more string) redis.Script {
		script := redis.NewScript(1, fmt.Sprintf("return %d %s", i, more))
		require.NoError(t, script.Load(c))
		return *script
	}
	knows := func(script redis.Script) bool {
		s[0].Do("SCRIPT", "FLUSH")
		_, err := c.Do("EVALSHA", script.Hash(), 1, "a")
		if err != nil {
			require.ErrorContains(t, err, "NOSCRIPT")
		}
		return err == nil
	}
	used, unused := load(1, ""), load(2, "")
	var last redis.Script
	for i := range 1500 {
		last = load(100+i, "")
		if i%500 == 0 {
			require.True(t, knows(used))
		}
	}
	assert.True(t, knows(used))
	assert.True(t, knows(last))
	assert.False(t, knows(unused))

	comment := "--" + strings.Repeat("x", 3<<20)
	for i := range 3 {
		last = load(10_000+i, comment)
	}
	assert.True(t, knows(last))
	assert.False(t, knows(used), "three large ones take all the room")
}

func TestFunctionsGoByTheirKeys(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(testing.TB, *routed)) {
		r, s := servers(t, 2, "")
		prepare(t, r)
		c := r.conn()
		defer c.Close()
		assert.Equal(t, []byte("lib"), must(t, c, "FUNCTION", "LOAD", "#!lua name=lib\nredis.register_function{function_name='get', callback=function(k) return redis.call('GET', k[1]) end, flags={'no-writes'}}"))
		must(t, c, "SET", "b", "x")
		assert.Equal(t, []byte("x"), must(t, c, "FCALL", "get", 1, "b"))
		assert.Equal(t, []byte("x"), must(t, c, "FCALL_RO", "get", 1, "b"))
		send(t, c, "FCALL", "get", 1, "b")
		assert.Equal(t, []any{[]byte("x")}, must(t, c, ""))
		s[1].Do("FUNCTION", "FLUSH")
		_, err := c.Do("FCALL", "get", 1, "b")
		require.ErrorContains(t, err, "ERR Function not found", "functions are data, and no client's to load again")
	})
}
