package fluster_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
)

func TestAPipelineTellsHowManyRepliesAreDue(t *testing.T) {
	f := openFleet(t, 3, "", fluster.Config{})
	conn := f.Get()
	defer conn.Close()
	requirePending := func(want int) {
		t.Helper()
		n, ok := fluster.Pending(conn)
		require.True(t, ok)
		require.Equal(t, want, n)
	}
	requirePending(0)
	for _, key := range []string{"a", "b", "c"} {
		require.NoError(t, conn.Send("INCR", key))
	}
	requirePending(3)
	require.NoError(t, conn.Flush())
	_, err := conn.Receive()
	require.NoError(t, err)
	requirePending(2)
	_, err = conn.Do("")
	require.NoError(t, err)
	requirePending(0)

	pool, err := f.GetClient("a")
	require.NoError(t, err)
	other := pool.Get()
	defer other.Close()
	n, ok := fluster.Pending(other)
	assert.False(t, ok, "a node's own connection has no pipeline over nodes")
	assert.Zero(t, n)
}
