package fanin_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// pop returns a Popper that the test's end closes, with nothing left.
func pop(t testing.TB, c *fluster.FlusterCluster, source fanin.Source) *fanin.Popper {
	t.Helper()
	p, err := fanin.NewPopper(c, source)
	require.NoError(t, err)
	t.Cleanup(func() {
		left, err := p.Close()
		require.NoError(t, err)
		require.Empty(t, left)
	})
	return p
}

// next returns the next item, which is sure to come.
func next(t testing.TB, p *fanin.Popper) fanin.Item {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), longEnough)
	defer cancel()
	it, err := p.Next(ctx)
	require.NoError(t, err)
	return it
}

// popped is what a call of Next returned.
type popped struct {
	fanin.Item
	err error
}

// waiting calls Next in a goroutine of its own.
func waiting(ctx context.Context, p *fanin.Popper) <-chan popped {
	got := make(chan popped, 1)
	go func() {
		it, err := p.Next(ctx)
		got <- popped{it, err}
	}()
	return got
}

// blocked returns how many connections to a server wait in a command that blocks.
func blocked(t testing.TB, s *redistest.Server) string {
	return s.Info("clients")["blocked_clients"]
}

func waitBlocked(t testing.TB, n int, servers ...*redistest.Server) {
	t.Helper()
	for _, s := range servers {
		redistest.WaitFor(t, longEnough, func() bool { return blocked(t, s) == fmt.Sprint(n) }, "%d connections to be blocked", n)
	}
}

func TestEachCommandBringsItsItemsFromAnyNode(t *testing.T) {
	s := openSite(t, 2, "")
	for name, tc := range map[string]struct {
		source fanin.Source
		fill   [][]any
		want   []fanin.Item
	}{
		"BLPOP": {
			fanin.BLPop("l"),
			[][]any{{"RPUSH", "l", "1", "2"}},
			[]fanin.Item{{Key: "l", Value: "1"}, {Key: "l", Value: "2"}},
		},
		"BRPOP": {
			fanin.BRPop("r"),
			[][]any{{"RPUSH", "r", "1", "2"}},
			[]fanin.Item{{Key: "r", Value: "2"}, {Key: "r", Value: "1"}},
		},
		"BLMOVE": {
			fanin.BLMove("from", "to", "left", "RIGHT"),
			[][]any{{"RPUSH", "from", "1", "\x00\r\n"}},
			[]fanin.Item{{Key: "from", Value: "1"}, {Key: "from", Value: "\x00\r\n"}},
		},
		"BZPOPMIN": {
			fanin.BZPopMin("min"),
			[][]any{{"ZADD", "min", "-1.5", "x", "inf", "y"}},
			[]fanin.Item{{Key: "min", Value: "x", Score: -1.5}, {Key: "min", Value: "y", Score: inf}},
		},
		"BZPOPMAX": {
			fanin.BZPopMax("max"),
			[][]any{{"ZADD", "max", "-1.5", "x", "inf", "y"}},
			[]fanin.Item{{Key: "max", Value: "y", Score: inf}, {Key: "max", Value: "x", Score: -1.5}},
		},
		"XREADGROUP": {
			fanin.XReadGroup{Group: "g", Consumer: "c", Streams: []string{"s"}, Count: 2, Create: "0"},
			[][]any{{"XADD", "s", "1-1", "f", "v", "g", "w"}, {"XADD", "s", "1-2", "f", "u"}},
			[]fanin.Item{
				{Key: "s", ID: "1-1", Fields: map[string]string{"f": "v", "g": "w"}},
				{Key: "s", ID: "1-2", Fields: map[string]string{"f": "u"}},
			},
		},
	} {
		for i, server := range s.servers {
			t.Run(fmt.Sprint(name, " at ", letter(i)), func(t *testing.T) {
				p := pop(t, s.FlusterCluster, tc.source)
				for _, cmd := range tc.fill {
					server.Do(cmd[0].(string), cmd[1:]...)
				}
				for _, want := range tc.want {
					got := next(t, p)
					assert.Equal(t, letter(i), got.Node.Name)
					got.Node = fluster.Node{}
					assert.Equal(t, want, got)
				}
			})
		}
	}
	for _, server := range s.servers {
		moved, err := redis.Strings(server.Try("LRANGE", "to", 0, -1))
		require.NoError(t, err)
		assert.Equal(t, []string{"1", "\x00\r\n"}, moved)
		pending, err := redis.Values(server.Try("XPENDING", "s", "g"))
		require.NoError(t, err)
		assert.EqualValues(t, 2, pending[0])
	}
}

func TestAPushAtAnyNodeWakesAWaiter(t *testing.T) {
	s := openSite(t, 3, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	for i := range 12 {
		got := waiting(t.Context(), p)
		waitBlocked(t, 1, s.servers...)
		s.servers[i%3].Do("RPUSH", "q", i)
		out := <-got
		require.NoError(t, out.err)
		it := out.Item
		assert.Equal(t, letter(i%3), it.Node.Name)
		assert.Equal(t, fmt.Sprint(i), it.Value)
	}
}

func TestNothingIsLeftWaitingWhenNobodyWaits(t *testing.T) {
	s := openSite(t, 2, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	s.servers[0].Do("RPUSH", "q", "x")
	assert.Equal(t, "x", next(t, p).Value)
	waitBlocked(t, 0, s.servers...)
	for _, server := range s.servers {
		server.Do("RPUSH", "q", "mine")
		assert.EqualValues(t, 1, server.Do("LLEN", "q"))
		server.Do("DEL", "q")
	}
}

func TestAContextThatEndsLeavesNothingBehind(t *testing.T) {
	s := openSite(t, 3, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	ctx, cancel := context.WithCancel(t.Context())
	got := waiting(ctx, p)
	waitBlocked(t, 1, s.servers...)
	begun := time.Now()
	cancel()
	require.ErrorIs(t, (<-got).err, context.Canceled)
	t.Log("ended within", time.Since(begun))
	for _, server := range s.servers {
		assert.Equal(t, "0", blocked(t, server))
	}
}

var inf = math.Inf(1)
