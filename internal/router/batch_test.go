package router_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// Node shares nothing.
func (lettered) Node(int) *node.Node { return nil }

// Node shares connections, if calls do.
func (s *sharing) Node(n int) *node.Node {
	if !s.on.Load() {
		return nil
	}
	return s.nodes[n]
}

// Node shares nothing.
func (*oneKey) Node(int) *node.Node { return nil }

func TestPipelinesOfManyCallersKeepTheirReplies(t *testing.T) {
	r, _ := servers(t, 3, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
	r.share(t)
	var callers sync.WaitGroup
	for who := range 16 {
		callers.Go(func() {
			for round := range 30 {
				c := r.conn()
				pipe(t, c, who, round)
				assert.NoError(t, c.Close())
			}
		})
	}
	callers.Wait()
	r.requireIdle(t)
}

// pipe sends commands of every kind, which go over shared connections and own ones
// by turns, and checks that each has its own reply, in the order of one node's.
func pipe(t testing.TB, c redis.Conn, who, round int) {
	rng := rand.New(rand.NewPCG(uint64(who), uint64(round)))
	var want []any
	seen := map[string]int64{}
	for i := range 100 {
		key := fmt.Sprintf("%c:%d:%d", 'a'+rng.IntN(3), who, round)
		switch rng.IntN(40) {
		case 0:
			assert.NoError(t, c.Send("BLPOP", key+":none", 0.001))
			want = append(want, nil)
		case 1:
			assert.NoError(t, c.Send("ECHO", i))
			want = append(want, fmt.Appendf(nil, "%d", i))
		case 2:
			nonce := fmt.Sprintf("%d:%d:%d", who, round, i)
			assert.NoError(t, c.Send("MSET", "a:"+nonce, nonce, "b:"+nonce, nonce))
			assert.NoError(t, c.Send("MGET", "b:"+nonce, "c:"+nonce, "a:"+nonce))
			want = append(want, "OK", []any{[]byte(nonce), nil, []byte(nonce)})
		case 3:
			assert.NoError(t, c.Send("MULTI"))
			assert.NoError(t, c.Send("INCR", key))
			assert.NoError(t, c.Send("EXEC"))
			seen[key]++
			want = append(want, "OK", "QUEUED", []any{seen[key]})
		case 4:
			assert.NoError(t, c.Flush())
		case 5:
			assert.NoError(t, c.Send("SET", key+":big", strings.Repeat("x", 100_000)))
			want = append(want, "OK")
		default:
			assert.NoError(t, c.Send("INCR", key))
			seen[key]++
			want = append(want, seen[key])
		}
	}
	replies, err := redis.Values(c.Do(""))
	assert.NoError(t, err)
	assert.Equal(t, want, replies)
}

func TestAPipelineWithALimitOfItsOwnKeepsTheOrder(t *testing.T) {
	r, _ := servers(t, 2, "")
	r.share(t)
	c := r.conn()
	defer c.Close()
	for round := range int64(20) {
		for range 5 {
			send(t, c, "INCR", "a")
			send(t, c, "INCR", "b")
		}
		if round%2 == 0 {
			require.NoError(t, c.Flush())
		}
		n, err := redis.Int64(redis.DoWithTimeout(c, patient, "INCR", "a"))
		require.NoError(t, err)
		require.Equal(t, 6*(round+1), n)
	}
}

func TestAFrozenNodeHoldsUpNoOtherOfAPipeline(t *testing.T) {
	r, f := fakes(t, 3, "read_timeout=300ms")
	r.share(t)
	f[1].Hang()
	c := r.conn()
	defer c.Close()
	for _, key := range []string{"a", "c", "b"} {
		for range 50 {
			send(t, c, "INCR", key)
		}
	}
	for i := range 100 {
		reply, err := redis.Int(redis.ReceiveWithTimeout(c, patient))
		require.NoError(t, err)
		require.Equal(t, i%50+1, reply)
	}
	for range 50 {
		_, err := c.Receive()
		require.Error(t, err)
		sent := f[1].Received("INCR") > 0 // on a busy machine the batch may have passed a connection by
		require.Equal(t, sent, node.MaybeExecuted(err), "%v", err)
		require.Equal(t, !sent, node.SafeToRetry(err), "%v", err)
	}
	f[1].Resume()
}

func TestASplitCallWritesToAllNodesBeforeItWaits(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, f := fakes(t, 3, "read_timeout=30s")
		prepare(t, r)
		var arrived sync.WaitGroup // nobody answers before all were asked
		arrived.Add(len(f))
		for n := range f {
			f[n].Handle(func(cmd []string) []byte {
				if cmd[0] != "MGET" {
					return nil
				}
				arrived.Done()
				arrived.Wait()
				return redistest.Array(redistest.Bulk(cmd[1]))
			})
		}
		values, err := redis.Strings(r.Do(t.Context(), "MGET", []any{"c:1", "a:1", "b:1"}))
		require.NoError(t, err)
		assert.Equal(t, []string{"c:1", "a:1", "b:1"}, values)
	})
}

func TestACallerWhoLeavesASplitCallKeepsWhatHasCome(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, f := fakes(t, 2, "read_timeout=30s")
		f[1].Handle(func(cmd []string) []byte {
			if cmd[0] == "MGET" {
				return redistest.Array(redistest.Bulk("live"))
			}
			return nil
		})
		_, err := r.Do(t.Context(), "MGET", []any{"b"}) // since the PING of a dial would hang too
		require.NoError(t, err)
		_, err = r.Do(t.Context(), "GET", []any{"a"})
		require.NoError(t, err)
		prepare(t, r)
		f[0].Hang()
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		reply, err := r.Do(ctx, "MGET", []any{"a", "b"})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.True(t, node.MaybeExecuted(err), "%v", err)
		assert.Equal(t, []byte("live"), reply.([]any)[1])
		f[0].Resume()
	})
}

func TestACallerWhoLeavesAPipelineHarmsNoOther(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=30s")
	r.share(t)
	f[0].Hang()
	leaver, stayer := r.conn(), r.conn()
	send(t, leaver, "INCR", "a")
	send(t, leaver, "INCR", "a")
	require.NoError(t, leaver.Flush())
	send(t, stayer, "INCR", "a")
	require.NoError(t, stayer.Flush())
	_, err := redis.ReceiveWithTimeout(leaver, 10*time.Millisecond)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	assert.True(t, node.MaybeExecuted(err), "%v", err)
	require.Error(t, leaver.Err())
	require.NoError(t, leaver.Close())
	f[0].Resume()
	n, err := redis.Int(redis.ReceiveWithTimeout(stayer, patient))
	require.NoError(t, err)
	assert.Equal(t, 3, n, "its own reply, behind those that nobody waits for")
	require.NoError(t, stayer.Close())
}
