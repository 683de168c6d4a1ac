package router_test

import (
	"sync/atomic"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

// dropsOnce makes the first of two nodes cut the first answer to a command.
func dropsOnce(t *testing.T, cmd string, reply []byte) (*routed, []*redistest.Fake) {
	t.Helper()
	r, f := fakes(t, 2, "")
	_, err := r.Do(t.Context(), "PING", nil)
	require.NoError(t, err)
	var dropped atomic.Bool
	for n := range f {
		f[n].Handle(func(words []string) []byte {
			if words[0] != cmd {
				return nil
			}
			if n == 0 && dropped.CompareAndSwap(false, true) {
				f[0].Drop()
			}
			return reply
		})
	}
	return r, f
}

func TestAReadWithoutKeysIsRepeatedWhereItsReplyWasLost(t *testing.T) {
	r, f := dropsOnce(t, "DBSIZE", redistest.Int(3))
	n, err := redis.Int(r.Do(t.Context(), "DBSIZE", nil))
	require.NoError(t, err)
	assert.Equal(t, 6, n)
	assert.Equal(t, 2, f[0].Received("DBSIZE"))
	assert.Equal(t, 1, f[1].Received("DBSIZE"))

	r, f = dropsOnce(t, "DBSIZE", redistest.Int(3))
	_, err = r.Do(router.WithRetry(t.Context(), router.Retry{Max: -1}), "DBSIZE", nil)
	require.Error(t, err)
	assert.Equal(t, 1, f[0].Received("DBSIZE"))
}

func TestAWriteWithoutKeysThatMayHaveRunIsNotRepeated(t *testing.T) {
	r, f := dropsOnce(t, "FLUSHALL", redistest.Simple("OK"))
	_, err := r.Do(t.Context(), "FLUSHALL", nil)
	var lost *node.Error
	require.ErrorAs(t, err, &lost)
	assert.True(t, node.MaybeExecuted(lost))
	assert.Equal(t, 1, f[0].Received("FLUSHALL"))
}

func TestFanRepeatsNothing(t *testing.T) {
	r, f := dropsOnce(t, "DBSIZE", redistest.Int(3))
	replies := r.Fan(t.Context(), []int{0, 1}, "DBSIZE", nil)
	require.Error(t, replies[0].Err)
	require.NoError(t, replies[1].Err)
	assert.Equal(t, 1, f[0].Received("DBSIZE"))
}
