package fanin_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// confirmations answers subscriptions and what is said among them.
func confirmations(cmd []string) []byte {
	verb := strings.ToLower(cmd[0])
	switch {
	case strings.HasSuffix(verb, "subscribe"):
		var all []byte
		for i, name := range cmd[1:] {
			all = append(all, redistest.Array(redistest.Bulk(verb), redistest.Bulk(name), redistest.Int(i+1))...)
		}
		return all
	case verb == "ping" && len(cmd) == 2:
		return redistest.Array(redistest.Bulk("pong"), redistest.Bulk(cmd[1]))
	}
	return nil
}

// dials counts how often a node is dialed.
type dials struct{ atomic.Int64 }

// openFakes returns a cluster over fakes in a bubble, and how often they are dialed.
func openFakes(t *testing.T, h health.Config, fakes ...*redistest.Fake) (*fluster.FlusterCluster, *dials) {
	count := new(dials)
	cfg := fluster.Config{Health: h}
	for i, f := range fakes {
		f.Handle(confirmations)
		pool := &redis.Pool{DialContext: func(ctx context.Context) (redis.Conn, error) {
			count.Add(1)
			return redis.DialContext(ctx, "", "", redis.DialContextFunc(f.DialContext))
		}}
		cfg.Nodes = append(cfg.Nodes, fluster.Node{Name: letter(i), Pool: pool})
	}
	c, err := fluster.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c, count
}

// A connection may die without a word while the node lives, for all others to see.
func TestASilentDeathIsFoundByPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := redistest.NewPipeFake(t)
		c, _ := openFakes(t, health.Config{Interval: time.Hour, Timeout: time.Hour, Failures: 1000}, fake)
		topics := fanin.Topics{Channels: []string{"news"}}
		r := reader{fanin.Subscribe(t.Context(), c, topics, fanin.SubscribeOptions{}), t}
		defer r.Close()
		r.ready()
		begun := time.Now()
		time.Sleep(time.Hour + fanin.DefaultPing/2)
		fake.Hang()
		lost := r.gap()
		assert.Equal(t, fanin.Topics{Channels: []string{"news"}}, lost.Topics)
		assert.Equal(t, begun.Add(time.Hour), lost.Since, "when the last ping was sent that was answered")
		assert.Equal(t, 3*fanin.DefaultPing, time.Since(lost.Since))
		fake.Resume()
		restored := r.gap()
		assert.Equal(t, lost.Since, restored.Since)
		assert.False(t, restored.Until.IsZero())
	})
}

func TestNobodyIsBusyWhileAllAreDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fakes := []*redistest.Fake{redistest.NewPipeFake(t), redistest.NewPipeFake(t)}
		c, count := openFakes(t, health.Config{}, fakes...)
		topics := fanin.Topics{Channels: []string{"x", "y"}, Patterns: []string{"*"}}
		r := reader{fanin.Subscribe(t.Context(), c, topics, fanin.SubscribeOptions{}), t}
		r.ready()
		for _, f := range fakes {
			f.Crash()
		}
		dialsOf := func(d time.Duration) int64 {
			before := count.Load()
			time.Sleep(d)
			return count.Load() - before
		}
		dialsOf(time.Minute)
		with := dialsOf(10 * time.Minute)
		for _, f := range fakes {
			f.Resume()
		}
		r.ready()
		require.NoError(t, r.Close())
		for _, f := range fakes {
			f.Crash()
		}
		dialsOf(time.Minute)
		probes := dialsOf(10 * time.Minute)
		assert.InEpsilon(t, probes, with, 0.2, "nobody dials but the probes")
	})
}

// A node that lives and closes every connection is dialed with pauses.
func TestANodeThatClosesConnectionsIsNotStormed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		fake := redistest.NewPipeFake(t)
		c, count := openFakes(t, health.Config{}, fake)
		fake.Handle(func(cmd []string) []byte {
			if cmd[0] == "SUBSCRIBE" {
				return redistest.Error("NOPERM no")
			}
			return confirmations(cmd)
		})
		s := fanin.Subscribe(t.Context(), c, fanin.Topics{Channels: []string{"x"}}, fanin.SubscribeOptions{})
		defer s.Close()
		time.Sleep(10 * time.Minute)
		n := count.Load()
		assert.Greater(t, n, int64(100))
		assert.Less(t, n, int64(2*600+100))
	})
}
