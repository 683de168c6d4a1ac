package fluster_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// unreadable is a reply that redigo's reader panics on.
const unreadable = "$9223372036854775807\r\n"

// uses are the ways in which the library reads replies for its callers, on
// goroutines of theirs and of its own.
var uses = map[string]func(ctx context.Context, c *fluster.FlusterCluster) error{
	"a pool's connection": func(_ context.Context, c *fluster.FlusterCluster) error {
		_, err := do(c, "k", "INCR")
		return err
	},
	"Do": func(ctx context.Context, c *fluster.FlusterCluster) error {
		_, err := c.Do(ctx, "INCR", "k")
		return err
	},
	"Do of a read, which is repeated": func(ctx context.Context, c *fluster.FlusterCluster) error {
		_, err := c.Do(ctx, "GET", "k")
		return err
	},
	"Do without a key": func(ctx context.Context, c *fluster.FlusterCluster) error {
		_, err := c.Do(ctx, "DBSIZE")
		return err
	},
	"Get": func(_ context.Context, c *fluster.FlusterCluster) error {
		conn := c.Get()
		defer conn.Close()
		_, err := conn.Do("INCR", "k")
		return err
	},
	"a pipeline by Get": func(_ context.Context, c *fluster.FlusterCluster) error {
		conn := c.Get()
		defer conn.Close()
		for range 3 {
			if err := conn.Send("INCR", "k"); err != nil {
				return err
			}
		}
		_, err := conn.Do("")
		return err
	},
	"a transaction by Get": func(_ context.Context, c *fluster.FlusterCluster) error {
		conn := c.Get()
		defer conn.Close()
		err := errors.Join(conn.Send("MULTI"), conn.Send("INCR", "k"))
		_, exec := conn.Do("EXEC")
		return errors.Join(err, exec)
	},
	"a subscription by Get": func(ctx context.Context, c *fluster.FlusterCluster) error {
		conn := redis.PubSubConn{Conn: c.Get()}
		defer func() { _ = conn.Close() }()
		if err := conn.Subscribe("news"); err != nil {
			return err
		}
		err, _ := conn.ReceiveContext(ctx).(error)
		return err
	},
	"Tx": func(ctx context.Context, c *fluster.FlusterCluster) error {
		_, err := c.Tx(ctx, []string{"k"}, func(tx redis.Conn) error { return tx.Send("INCR", "k") })
		return err
	},
	"Each": func(ctx context.Context, c *fluster.FlusterCluster) error {
		replies, err := c.Each(ctx, fluster.AllNodes(), "INCR", "k")
		for _, r := range replies {
			err = errors.Join(err, r.Err)
		}
		return err
	},
	"a Popper": func(ctx context.Context, c *fluster.FlusterCluster) error {
		jobs, err := fanin.NewPopper(c, fanin.BLPop("jobs"))
		if err != nil {
			return err
		}
		_, err = jobs.Next(ctx)
		_, closing := jobs.Close()
		return errors.Join(err, closing)
	},
	"a scan of all nodes": func(ctx context.Context, c *fluster.FlusterCluster) (err error) {
		for _, failed := range fanin.Scan(ctx, c, fanin.ScanOptions{}) {
			err = errors.Join(err, failed)
		}
		return err
	},
	"a sum over all nodes": func(ctx context.Context, c *fluster.FlusterCluster) error {
		_, err := fanin.Sum[int64](ctx, c, "k")
		return err
	},
}

// unreadableCluster is a cluster of one node, over a pool of the user's own. Its
// server's replies are unreadable, but for what dials and probes ask, and what
// comes before the command that counts.
func unreadableCluster(t *testing.T) (*fluster.FlusterCluster, *redistest.Fake) {
	t.Helper()
	f := redistest.NewFake(t)
	f.Handle(func(cmd []string) []byte {
		switch cmd[0] {
		case "PING", "UNLINK":
			return nil
		case "WATCH", "MULTI":
			return redistest.Simple("OK")
		case "CLIENT":
			return redistest.Int(1)
		}
		return []byte(unreadable)
	})
	return newCluster(t, fluster.Config{
		Nodes:  []fluster.Node{{Name: "a", Pool: f.Pool(unhurried)}},
		Health: health.Config{Timeout: patient, Failures: 1000},
	}), f
}

// redigo's reader panics on the reply. That must end no process, on whichever
// goroutine it is read.
func TestAReplyThatRedigosReaderPanicsOnFailsTheCall(t *testing.T) {
	for name, use := range uses {
		t.Run(name, func(t *testing.T) {
			redistest.NoLeaks(t)
			c, f := unreadableCluster(t)
			ctx, cancel := context.WithTimeout(t.Context(), patient)
			defer cancel()
			err := use(ctx, c)
			assert.ErrorContains(t, err, "redigo's reader panicked")
			assert.ErrorAs(t, err, new(*fluster.NodeError))
			assert.True(t, fluster.MaybeExecuted(err))
			assert.False(t, fluster.SafeToRetry(err))
			requireNoPenalties(t, c)
			f.Handle(nil)
			_, err = c.Do(ctx, "INCR", "k")
			assert.NoError(t, err, "nothing is left over")
		})
	}
}

func TestASubscriptionOutlivesRepliesThatRedigosReaderPanicsOn(t *testing.T) {
	redistest.NoLeaks(t)
	c, f := unreadableCluster(t)
	s := fanin.Subscribe(t.Context(), c, fanin.Topics{Channels: []string{"news"}}, fanin.SubscribeOptions{})
	redistest.WaitFor(t, patient, func() bool { return f.Received("SUBSCRIBE") > 2 }, "it tries again")
	require.NoError(t, s.Close())
}

func TestProbesOutliveRepliesThatRedigosReaderPanicsOn(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	c := newCluster(t, fluster.Config{
		Nodes:  []fluster.Node{{Name: "a", Pool: f.Pool(redistest.PoolOptions{})}},
		Health: health.Config{Interval: 10 * time.Millisecond, MinWait: 10 * time.Millisecond, MaxWait: 20 * time.Millisecond, Timeout: patient},
	})
	require.NoError(t, c.WaitReady(t.Context()))
	f.Answer(unreadable)
	waitDown(t, c, "a")
	assert.ErrorContains(t, status(t, c, "a").Cause, "redigo's reader panicked")
	probed := f.Accepted()
	redistest.WaitFor(t, patient, func() bool { return f.Accepted() > probed+3 }, "it is probed on")
	f.Resume()
	waitLive(t, c, "a")
	_, err := c.Do(t.Context(), "INCR", "k")
	assert.NoError(t, err)
}
