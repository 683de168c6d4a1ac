package fanin_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

func fill(s *redistest.Server, key string, n int) {
	args := []any{key}
	for i := range n {
		args = append(args, fmt.Sprint(key, "-", i))
	}
	s.Do("RPUSH", args...)
}

// full returns a server, in a bubble, whose list never ends, and which takes so long for
// each command.
func full(t *testing.T, delay time.Duration) *redistest.Fake {
	f := redistest.NewPipeFake(t)
	f.Delay(delay)
	f.Handle(func(cmd []string) []byte {
		switch cmd[0] {
		case "BLPOP":
			return redistest.Array(redistest.Bulk(cmd[1]), redistest.Bulk("item"))
		case "CLIENT":
			return redistest.Int(1)
		}
		return redistest.Simple("PONG")
	})
	return f
}

func TestNodesThatAllHaveItemsTakeTurns(t *testing.T) {
	const ten = 10 * time.Millisecond
	for name, tc := range map[string]struct {
		delays []time.Duration // of each node
		want   map[string]int  // at least, of 300
	}{
		"equal":      {[]time.Duration{ten, ten, ten}, map[string]int{"a": 99, "b": 99, "c": 99}},
		"a slow one": {[]time.Duration{ten, ten, 5 * ten}, map[string]int{"a": 130, "b": 130, "c": 20}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var nodes []fluster.Node
				for i, d := range tc.delays {
					pool := full(t, d).Pool(redistest.PoolOptions{})
					nodes = append(nodes, fluster.Node{Name: letter(i), Pool: pool})
				}
				c, err := fluster.New(fluster.Config{Nodes: nodes})
				require.NoError(t, err)
				defer c.Close()
				p, err := fanin.NewPopper(c, fanin.BLPop("q"))
				require.NoError(t, err)
				got := map[string]int{}
				for range 300 {
					got[next(t, p).Node.Name]++
				}
				for node, n := range tc.want {
					assert.GreaterOrEqual(t, got[node], n, "items of node %s", node)
				}
				closeWithLeft(t, p)
			})
		})
	}
}

// closeWithLeft closes a Popper at whose nodes there is more.
func closeWithLeft(t *testing.T, p *fanin.Popper) []fanin.Item {
	left, err := p.Close()
	require.NoError(t, err)
	return left
}

func TestKeysThatAllHaveItemsTakeTurns(t *testing.T) {
	s := openSite(t, 1, "")
	keys := []string{"k1", "k2", "k3"}
	for name, source := range map[string]func(keys ...string) fanin.Source{"BLPOP": fanin.BLPop, "BRPOP": fanin.BRPop} {
		t.Run(name, func(t *testing.T) {
			for _, key := range keys {
				fill(s.servers[0], key, 100)
			}
			p := pop(t, s.FlusterCluster, source(keys...))
			got := map[string]int{}
			for range 90 {
				got[next(t, p).Key]++
			}
			assert.Equal(t, map[string]int{"k1": 30, "k2": 30, "k3": 30}, got)
			closeWithLeft(t, p)
			s.servers[0].Do("FLUSHALL")
		})
	}
}

func TestCallersShareOneConnectionOfEachNode(t *testing.T) {
	s := openSite(t, 3, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	const callers = 20
	var all []<-chan popped
	for range callers {
		all = append(all, waiting(t.Context(), p))
	}
	waitBlocked(t, 1, s.servers...)
	for i := range callers {
		s.servers[i%3].Do("RPUSH", "q", i)
	}
	got := map[string]bool{}
	for _, c := range all {
		out := <-c
		require.NoError(t, out.err)
		got[out.Value] = true
	}
	assert.Len(t, got, callers, "each item once")
}

func TestCloseEndsCallersAndReturnsWhatNobodyTook(t *testing.T) {
	s := openSite(t, 3, "")
	p, err := fanin.NewPopper(s.FlusterCluster, fanin.BLPop("q"))
	require.NoError(t, err)
	for _, server := range s.servers {
		fill(server, "q", 10)
	}
	_, err = p.Next(t.Context())
	require.NoError(t, err)
	left := closeWithLeft(t, p)
	stands := 0
	for _, server := range s.servers {
		stands += int(server.Do("LLEN", "q").(int64))
	}
	assert.Equal(t, 29, stands+len(left))
	assert.Empty(t, closeWithLeft(t, p), "again")

	_, err = p.Next(t.Context())
	require.ErrorIs(t, err, fanin.ErrPopperClosed)
	for it, err := range p.Items(t.Context()) {
		t.Error("a closed Popper has items", it, err)
	}

	q, err := fanin.NewPopper(s.FlusterCluster, fanin.BLPop("empty"))
	require.NoError(t, err)
	var waiters sync.WaitGroup
	for range 5 {
		waiters.Go(func() {
			_, err := q.Next(context.Background())
			assert.ErrorIs(t, err, fanin.ErrPopperClosed)
		})
	}
	waitBlocked(t, 1, s.servers...)
	assert.Empty(t, closeWithLeft(t, q))
	waiters.Wait()
	for _, server := range s.servers {
		assert.Equal(t, "0", blocked(t, server))
	}
}

func TestASourceThatLacksSomethingIsRefused(t *testing.T) {
	for want, source := range map[string]fanin.Source{
		"BLPOP needs a key":      fanin.BLPop(),
		"BZPOPMAX needs a key":   fanin.BZPopMax(),
		"two keys":               fanin.BLMove("q", "", "LEFT", "RIGHT"),
		"LEFT or RIGHT":          fanin.BLMove("q", "p", "LEFT", ""),
		"a group and a consumer": fanin.XReadGroup{Group: "g", Streams: []string{"s"}},
		"a stream":               fanin.XReadGroup{Group: "g", Consumer: "c"},
		"-1 entries":             fanin.XReadGroup{Group: "g", Consumer: "c", Streams: []string{"s"}, Count: -1},
	} {
		_, err := fanin.NewPopper(nil, source)
		assert.ErrorContains(t, err, want)
	}
}
