package router_test

import (
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var count = redis.NewScript(1, `return redis.call("INCRBY", KEYS[1], ARGV[1])`)

func TestAScriptThatWasLoadedIsGivenToANodeThatForgotIt(t *testing.T) {
	r, s := servers(t, 2, "")
	c := r.conn()
	require.NoError(t, count.Load(c))
	for _, one := range s {
		one.Kill()
		one.Restart()
	}
	n, err := redis.Int(c.Do("EVALSHA", count.Hash(), 1, "a", 2))
	require.NoError(t, err)
	assert.Equal(t, 2, n, "by Do")

	require.NoError(t, count.SendHash(c, "b", 3))
	require.NoError(t, count.SendHash(c, "b", 4))
	require.NoError(t, c.Send("GET", "b"))
	replies, err := redis.Ints(c.Do(""))
	require.NoError(t, err)
	assert.Equal(t, []int{3, 7, 7}, replies, "in a pipeline, in its turn")
	assert.Equal(t, 1, s[1].Executed("script|load"))
	require.NoError(t, c.Close())
	r.requireIdle(t)
}

func TestAScriptThatNobodyLoadedIsNotThere(t *testing.T) {
	r, _ := servers(t, 1, "")
	c := r.conn()
	defer c.Close()
	for _, how := range []string{"alone", "in a pipeline"} {
		if how == "in a pipeline" {
			send(t, c, "INCR", "a")
		}
		_, err := c.Do("EVALSHA", count.Hash(), 1, "a", 2)
		require.ErrorContains(t, err, "NOSCRIPT", how)
	}
}

func TestAScriptThatSaysNoscriptItselfRunsOnce(t *testing.T) {
	r, s := servers(t, 1, "")
	c := r.conn()
	defer c.Close()
	liar := redis.NewScript(1, `redis.call("INCR", KEYS[1]); return redis.error_reply("NOSCRIPT No matching script. Please use EVAL.")`)
	require.NoError(t, liar.Load(c))
	_, err := c.Do("EVALSHA", liar.Hash(), 1, "a")
	require.ErrorContains(t, err, "NOSCRIPT")
	assert.Equal(t, []byte("1"), s[0].Do("GET", "a"))
}

func TestAFlushForgetsScripts(t *testing.T) {
	r, _ := servers(t, 1, "")
	c := r.conn()
	defer c.Close()
	require.NoError(t, count.Load(c))
	must(t, c, "SCRIPT", "FLUSH")
	_, err := c.Do("EVALSHA", count.Hash(), 1, "a", 2)
	require.ErrorContains(t, err, "NOSCRIPT")
}
