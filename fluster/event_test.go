package fluster_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// witness collects events.
type witness struct {
	mu     sync.Mutex
	events []fluster.Event
}

func (w *witness) see(e fluster.Event) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, e)
}

// seen returns the events so far, as "a down" or "a live".
func (w *witness) seen() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, e := range w.events {
		all = append(all, e.Node.Name+map[bool]string{true: " live", false: " down"}[e.Live])
	}
	return all
}

// pipeCluster is a cluster over fake servers in the test's own bubble of time.
func pipeCluster(t *testing.T, n int, cfg fluster.Config) (*fluster.FlusterCluster, []*redistest.Fake) {
	fakes := make([]*redistest.Fake, n)
	for i := range fakes {
		fakes[i] = redistest.NewPipeFake(t)
		cfg.Nodes = append(cfg.Nodes, fluster.Node{
			Name: string(rune('a' + i)), Addr: fmt.Sprintf("pipe-%d", i), Pool: fakes[i].Pool(redistest.PoolOptions{}),
		})
	}
	c, err := fluster.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c, fakes
}

func TestEveryTransitionIsToldOnceAndInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		var log bytes.Buffer
		c, fakes := pipeCluster(t, 2, fluster.Config{
			OnEvent: w.see,
			Logger:  slog.New(slog.NewTextHandler(&log, nil)),
		})
		require.NoError(t, c.WaitReady(t.Context()))
		for range 3 {
			fakes[0].Crash()
			time.Sleep(20 * time.Second)
			fakes[0].Resume()
			time.Sleep(20 * time.Second)
		}
		require.NoError(t, c.Close())
		assert.Equal(t, []string{"a down", "a live", "a down", "a live", "a down", "a live"}, w.seen())
		for _, e := range w.events {
			assert.ErrorContains(t, e.Cause, "refused")
			assert.Equal(t, e.Live, e.Wait == 0)
			assert.False(t, e.At.IsZero())
		}

		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		told := func(level, what string) (n int) {
			for _, line := range lines {
				if strings.Contains(line, "level="+level) && strings.Contains(line, `msg="fluster: `+what+`"`) {
					n++
					assert.Contains(t, line, "node=a addr=pipe-0 cause=")
				}
			}
			return n
		}
		assert.Equal(t, 3, told("WARN", "node is down"))
		assert.Equal(t, 3, told("INFO", "node is back"))
		still := told("INFO", "node is still down")
		assert.Positive(t, still)
		assert.Len(t, lines, 3+3+still)
	})
}

func TestAnEventCallbackThatBlocksHoldsUpNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w witness
		hold := make(chan struct{})
		c, fakes := pipeCluster(t, 2, fluster.Config{OnEvent: func(e fluster.Event) {
			<-hold
			w.see(e)
		}})
		require.NoError(t, c.WaitReady(t.Context()))
		for _, f := range fakes {
			f.Crash()
		}
		time.Sleep(10 * time.Second)
		_, err := c.GetClient("any")
		require.ErrorIs(t, err, fluster.ErrClusterEmpty)
		for _, f := range fakes {
			f.Resume()
		}
		time.Sleep(10 * time.Second)
		_, err = c.GetClient("any")
		require.NoError(t, err)

		close(hold)
		require.NoError(t, c.Close())
		assert.ElementsMatch(t, []string{"a down", "b down", "a live", "b live"}, w.seen(), "nothing is lost")
	})
}

func TestAnEventCallbackMayUseTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c *fluster.FlusterCluster
		ready, told := make(chan struct{}), make(chan bool, 1)
		c, fakes := pipeCluster(t, 2, fluster.Config{OnEvent: func(e fluster.Event) {
			<-ready
			_, err := c.GetClient("any")
			told <- err == nil && !c.Nodes()[0].Live
		}})
		close(ready)
		fakes[0].Crash()
		assert.True(t, <-told)
	})
}

func TestRow51AFlappingNodeStaysOutLongerAndLonger(t *testing.T) {
	row := redistest.Faults(t, 51, "a node flaps for a minute, 200 ms each way", "a fake server, in fake time")
	synctest.Test(t, func(t *testing.T) {
		var w witness
		c, fakes := pipeCluster(t, 2, fluster.Config{
			OnEvent: w.see,
			Health: health.Config{
				Interval: 100 * time.Millisecond, Timeout: 50 * time.Millisecond,
				MinWait: 100 * time.Millisecond, MaxWait: 2 * time.Second,
			},
		})
		require.NoError(t, c.WaitReady(t.Context()))
		for begun := time.Now(); time.Since(begun) < time.Minute; {
			fakes[0].Crash()
			time.Sleep(200 * time.Millisecond)
			fakes[0].Resume()
			time.Sleep(200 * time.Millisecond)
		}
		penalties := c.Nodes()[0].Penalties
		assert.Positive(t, penalties)
		assert.LessOrEqual(t, penalties, uint64(4+60/2), "log2(MaxWait/MinWait) + the time / MaxWait")
		assert.Zero(t, c.Nodes()[1].Penalties)

		healed := time.Now()
		for !c.Nodes()[0].Live && time.Since(healed) < 5*time.Second {
			time.Sleep(time.Millisecond)
		}
		assert.True(t, c.Nodes()[0].Live, "it is back once it behaves")
		row.Recovered, row.Remark = time.Since(healed), fmt.Sprintf("out %d times", penalties)
	})
}

func TestNoMoreNodesAreOutThanMaxDownAllows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, fakes := pipeCluster(t, 4, fluster.Config{Health: health.Config{MaxDown: 0.5}})
		require.NoError(t, c.WaitReady(t.Context()))
		for _, f := range fakes {
			f.Crash()
		}
		time.Sleep(10 * time.Second)
		live, refused := 0, uint64(0)
		for _, st := range c.Nodes() {
			if st.Live {
				live++
				refused += st.Refused
			}
		}
		assert.Equal(t, 2, live)
		assert.Positive(t, refused)
		_, err := c.GetClient("any")
		assert.NoError(t, err)
	})
}

func TestWaitReadySaysWhoHasNotAnsweredAndWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, fakes := pipeCluster(t, 3, fluster.Config{})
		fakes[1].Crash()
		fakes[2].Hang()
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := c.WaitReady(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.NotContains(t, err.Error(), "a:")
		assert.ErrorContains(t, err, "b: ")
		assert.ErrorContains(t, err, "refused")
		assert.ErrorContains(t, err, "c: ")

		fakes[1].Resume()
		fakes[2].Resume()
		assert.NoError(t, c.WaitReady(t.Context()))
	})
}

func TestNodesTellsWhatHappened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, fakes := pipeCluster(t, 2, fluster.Config{})
		require.NoError(t, c.WaitReady(t.Context()))
		made := c.Nodes()[0]
		assert.True(t, made.Live)
		assert.NoError(t, made.Cause)
		assert.True(t, made.Until.IsZero())
		assert.Positive(t, made.Probes)

		fakes[0].Crash()
		time.Sleep(5 * time.Second)
		down := c.Nodes()[0]
		assert.False(t, down.Live)
		assert.ErrorContains(t, down.Cause, "refused")
		assert.True(t, down.Since.After(made.Since))
		assert.True(t, down.Until.After(time.Now().Add(-time.Nanosecond)))
		assert.Equal(t, uint64(1), down.Penalties)
		assert.Positive(t, down.ProbeFailures)

		fakes[0].Resume()
		time.Sleep(20 * time.Second)
		back := c.Nodes()[0]
		assert.True(t, back.Live)
		assert.NoError(t, back.Cause)
		assert.ErrorContains(t, back.LastCause, "refused")
		assert.True(t, back.Since.After(down.Since))
		assert.Equal(t, "a", back.Name)
		assert.Equal(t, "b", c.Nodes()[1].Name)
	})
}
