package fanin_test

import (
	"context"
	"strconv"
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

// inBubble runs a test in fake time over one node, whose server answers BLPOP with pop
// and CLIENT UNBLOCK with unblock.
func inBubble(t *testing.T, pop func(wait time.Duration) []byte, unblock []byte, test func(t *testing.T, p *fanin.Popper, f *redistest.Fake)) {
	synctest.Test(t, func(t *testing.T) {
		f := redistest.NewPipeFake(t)
		f.Handle(func(cmd []string) []byte {
			switch {
			case cmd[0] == "BLPOP":
				wait, _ := strconv.ParseFloat(cmd[len(cmd)-1], 64)
				return pop(time.Duration(wait * float64(time.Second)))
			case cmd[0] == "EXEC" && len(unblock) > 0 && unblock[0] != '-':
				return redistest.Array(redistest.Int(0), unblock)
			case cmd[0] == "EXEC":
				return unblock
			case cmd[0] == "CLIENT":
				return redistest.Int(7)
			}
			return redistest.Simple("PONG")
		})
		c, err := fluster.New(fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: f.Pool(redistest.PoolOptions{})}}})
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.WaitReady(t.Context()))
		p, err := fanin.NewPopper(c, fanin.BLPop("q"))
		require.NoError(t, err)
		test(t, p, f)
		left, _ := p.Close()
		assert.Empty(t, left)
	})
}

// drainLimit is how long a node has to answer CLIENT UNBLOCK.
const drainLimit = time.Second

var none = []byte("*-1\r\n")

func TestANodeThatRefusesForLongIsToldOnceAndAskedOnceASecond(t *testing.T) {
	refuse := func(time.Duration) []byte { return redistest.Error("ERR no") }
	inBubble(t, refuse, redistest.Int(0), func(t *testing.T, p *fanin.Popper, f *redistest.Fake) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := p.Next(ctx)
		require.ErrorContains(t, err, "fanin: node a: BLPOP: ERR no")
		_, err = p.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Greater(t, f.Executed("BLPOP"), 60)
		assert.Less(t, f.Executed("BLPOP"), 130)
	})
}

func TestANodeThatDoesNotWaitIsAskedOnceASecond(t *testing.T) {
	atOnce := func(time.Duration) []byte { return none }
	inBubble(t, atOnce, redistest.Int(0), func(t *testing.T, p *fanin.Popper, f *redistest.Fake) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := p.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Greater(t, f.Executed("BLPOP"), 60)
		assert.Less(t, f.Executed("BLPOP"), 130)
	})
}

func TestADialFunctionThatHangsKeepsAnEndedContextWaitingTwoSecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := redistest.NewPipeFake(t)
		f.Handle(func(cmd []string) []byte {
			if cmd[0] == "BLPOP" {
				return []byte{} // for ever
			}
			return redistest.Int(1)
		})
		var hangs atomic.Bool
		pool := &redis.Pool{Dial: func() (redis.Conn, error) {
			if hangs.Load() {
				time.Sleep(time.Minute)
			}
			return redis.DialContext(context.Background(), "", "", redis.DialContextFunc(f.DialContext))
		}}
		h := health.Config{Interval: time.Hour, Timeout: time.Hour, Failures: 1000}
		c, err := fluster.New(fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: pool}}, Health: h})
		require.NoError(t, err)
		defer c.Close()
		require.NoError(t, c.WaitReady(t.Context()))
		p, err := fanin.NewPopper(c, fanin.BLPop("q"))
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		got := waiting(ctx, p)
		synctest.Wait()
		hangs.Store(true)
		cancel()
		begun := time.Now()
		requireUnsure(t, <-got, "a")
		assert.LessOrEqual(t, time.Since(begun), 2*drainLimit)
		left, err := p.Close()
		require.NoError(t, err)
		assert.Empty(t, left)
		time.Sleep(time.Minute) // until the dial function is back
	})
}

func TestANodeThatCannotUnblockKeepsAnEndedContextWaitingLongOnlyOnce(t *testing.T) {
	wait := func(d time.Duration) []byte { time.Sleep(d); return none }
	inBubble(t, wait, redistest.Error("NOPERM no"), func(t *testing.T, p *fanin.Popper, _ *redistest.Fake) {
		for _, most := range []time.Duration{6 * time.Second, 1200 * time.Millisecond} {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			begun := time.Now()
			_, err := p.Next(ctx)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			assert.Less(t, time.Since(begun), most)
			assert.Greater(t, time.Since(begun), most/2)
		}
	})
}

func TestAReplyThatNeverComesEndsTheRound(t *testing.T) {
	lose := func(time.Duration) []byte { return []byte{} }
	inBubble(t, lose, redistest.Int(0), func(t *testing.T, p *fanin.Popper, _ *redistest.Fake) {
		begun := time.Now()
		_, err := p.Next(t.Context())
		var of *fluster.NodeError
		require.ErrorAs(t, err, &of)
		assert.True(t, of.Timeout())
		assert.True(t, fluster.MaybeExecuted(err))
		assert.WithinRange(t, time.Now(), begun.Add(6*time.Second), begun.Add(8*time.Second))
	})
}

func TestAConnectionThatMayYetBeUnblockedIsNotUsedAgain(t *testing.T) {
	wait := func(time.Duration) []byte { time.Sleep(drainLimit / 2); return none }
	inBubble(t, wait, []byte{}, func(t *testing.T, p *fanin.Popper, f *redistest.Fake) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := p.Next(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		synctest.Wait()
		assert.Equal(t, 1, f.Conns(), "the probe's")
	})
}

func TestAConnectionThatWasUnblockedIsUsedAgain(t *testing.T) {
	wait := func(time.Duration) []byte { time.Sleep(drainLimit / 2); return none }
	inBubble(t, wait, redistest.Int(1), func(t *testing.T, p *fanin.Popper, f *redistest.Fake) {
		for range 3 {
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			_, err := p.Next(ctx)
			cancel()
			require.ErrorIs(t, err, context.DeadlineExceeded)
			synctest.Wait()
			assert.Equal(t, 3, f.Conns(), "the probe's, the pop's and the one that unblocks")
		}
		assert.Equal(t, 3, f.Accepted())
	})
}
