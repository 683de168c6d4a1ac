package router_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

// crowd has the shared connection of a node be full, with a line, until its server
// answers again. What it returns waits for the end of that.
func (r *routed) crowd(t *testing.T, n int) (end func()) {
	t.Helper()
	value := strings.Repeat("x", 60<<10)
	var batches []*node.Batch
	for range 400 { // more than sockets take
		b := node.NewBatch()
		b.Add("SET", []any{"crowd", value})
		if r.nodes[n].Enlist(b, nil) {
			node.Launch([]*node.Batch{b})
			batches = append(batches, b)
		}
	}
	return func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), patient)
		defer cancel()
		for _, b := range batches {
			require.NoError(t, b.Wait(ctx, 0))
		}
	}
}

// keepIn has the next batch for a node go over the shared connection although that is held
// up, if it comes soon: only now and then one passes by.
func (r *routed) keepIn(n int) {
	b := node.NewBatch()
	b.Add("PING", nil)
	if r.nodes[n].Enlist(b, nil) {
		node.Launch([]*node.Batch{b})
	}
}

// leftInLine has what leave does at node 1 tried until it reports that what it left was in line, and
// not over a connection of its own. It returns how many tries were not so.
func (r *routed) leftInLine(t *testing.T, leave func(c redis.Conn) (inLine bool)) (others int) {
	t.Helper()
	for begun := time.Now(); ; others++ {
		c := r.conn()
		r.keepIn(1)
		ok := leave(c)
		_ = c.Close()
		if ok {
			return others
		}
		require.Less(t, time.Since(begun), patient, "nothing is left in line")
	}
}

const briefly = 20 * time.Millisecond

func TestWhatIsLeftInLineIsNotExecuted(t *testing.T) {
	for name, left := range map[string][][]any{
		"alone":             {{"INCR", "b"}},
		"a batch":           {{"INCR", "b:1"}, {"INCR", "b:2"}, {"INCR", "b:3"}},
		"before what waits": {{"INCR", "b"}, {"BLPOP", "b:list", 0}, {"INCR", "b"}},
	} {
		t.Run(name, func(t *testing.T) {
			r, f := fakes(t, 2, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
			r.share(t)
			f[1].Hang()
			end := r.crowd(t, 1)
			others := r.leftInLine(t, func(c redis.Conn) bool {
				for _, cmd := range left {
					send(t, c, cmd[0].(string), cmd[1:]...)
					require.NoError(t, c.Flush())
				}
				_, err := redis.ReceiveWithTimeout(c, briefly)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.NotEqual(t, node.SafeToRetry(err), node.MaybeExecuted(err), "%v", err)
				return node.SafeToRetry(err)
			})
			f[1].Resume()
			end()
			assert.LessOrEqual(t, f[1].Executed("INCR"), others*len(left))
			if others == 0 {
				assert.Zero(t, f[1].Received("BLPOP"))
			}
		})
	}
}

// The error is about what was sent. Nobody is told of what was not, and nobody waits for it.
func TestTheRestOfAPipelineIsNotExecutedIfItIsLeftInLine(t *testing.T) {
	r, f := fakes(t, 2, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
	r.share(t)
	f[0].Hang()
	f[1].Hang()
	end := r.crowd(t, 1)
	const pipelines = 50 // of which some pass by the connection that is held up
	for i := range pipelines {
		c := r.conn()
		send(t, c, "INCR", "a")
		r.keepIn(1)
		for k := range 20 {
			send(t, c, "INCR", fmt.Sprintf("b:%d:%d", i, k))
			require.NoError(t, c.Flush())
		}
		_, err := redis.ReceiveWithTimeout(c, time.Millisecond)
		require.Error(t, err)
		assert.True(t, node.MaybeExecuted(err), "%v", err)
		_ = c.Close()
	}
	f[0].Resume()
	f[1].Resume()
	end()
	redistest.WaitFor(t, patient, func() bool { return f[0].Executed("INCR") > 0 }, "what was sent is executed")
	assert.Less(t, f[1].Executed("INCR"), pipelines*20/2)
}

func TestWhatIsSaidOfThePartsOfACommandIsTrue(t *testing.T) {
	for name, call := range map[string]func(r *routed, ctx context.Context) error{
		"pipelined": func(r *routed, ctx context.Context) error {
			c := r.conn()
			defer c.Close()
			_ = c.Send("DEL", "a", "b")
			_, err := redis.ReceiveContext(c, ctx)
			return err
		},
		"alone": func(r *routed, ctx context.Context) error {
			_, err := r.Do(ctx, "DEL", []any{"a", "b"})
			return err
		},
	} {
		for _, hang := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, the other node hangs: %t", name, hang), func(t *testing.T) {
				r, f := fakes(t, 2, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
				r.share(t)
				if hang {
					f[0].Hang()
				}
				f[1].Hang()
				end := r.crowd(t, 1)
				others := r.leftInLine(t, func(redis.Conn) bool {
					ctx, cancel := context.WithTimeout(t.Context(), briefly)
					defer cancel()
					err := call(r, ctx)
					var many *command.NodesError
					require.ErrorAs(t, err, &many)
					assert.Equal(t, 2, many.Total)
					inLine := false
					for _, failed := range many.Failed {
						require.ErrorIs(t, failed.Err, context.DeadlineExceeded)
						if failed.Node == "A" {
							assert.True(t, node.MaybeExecuted(failed.Err), "%v", failed.Err)
						} else {
							inLine = node.SafeToRetry(failed.Err)
						}
					}
					return inLine
				})
				f[0].Resume()
				f[1].Resume()
				end()
				assert.LessOrEqual(t, f[1].Executed("DEL"), others)
			})
		}
	}
}

// With a context that is over nothing is waited for.
func TestWhatNobodyWasToWaitForIsNotExecutedIfItIsInLine(t *testing.T) {
	r, f := fakes(t, 2, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
	r.share(t)
	f[1].Hang()
	end := r.crowd(t, 1)
	over, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	others := r.leftInLine(t, func(c redis.Conn) bool {
		send(t, c, "INCR", "b")
		_, err := redis.ReceiveContext(c, over)
		require.ErrorIs(t, err, context.Canceled)
		require.NotEqual(t, node.SafeToRetry(err), node.MaybeExecuted(err), "%v", err)
		return node.SafeToRetry(err)
	})
	f[1].Resume()
	end()
	assert.LessOrEqual(t, f[1].Executed("INCR"), others)
}

// What was sent to other nodes behind a command that was left in line has run, though
// nobody has heard of it.
func TestADoThatEndsEarlyDoesNotSayThatNothingRan(t *testing.T) {
	for _, last := range []string{"", "INCR"} {
		r, f := fakes(t, 2, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
		r.share(t)
		f[1].Hang()
		end := r.crowd(t, 1)
		ran := 0
		for tries := 0; tries < 20 || ran == 0; tries++ {
			require.Less(t, tries, 1000, "nothing ever ran")
			before := f[0].Executed("INCR")
			c := r.conn()
			r.keepIn(1)
			send(t, c, "INCR", "b")
			args := []any{"a"}
			if last == "" {
				send(t, c, "INCR", "a")
				args = nil
			}
			ctx, cancel := context.WithTimeout(t.Context(), briefly)
			_, err := redis.DoContext(c, ctx, last, args...)
			cancel()
			require.Error(t, err)
			if f[0].Executed("INCR") > before {
				ran++
				assert.False(t, router.SafeToRetry(err), "Do(%q): %v", last, err)
				assert.True(t, router.MaybeExecuted(err), "Do(%q): %v", last, err)
			}
			_ = c.Close()
		}
		f[1].Resume()
		end()
	}
}
