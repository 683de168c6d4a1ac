package node_test

import (
	"errors"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestWithinAnIdleSubscriptionOrABlockingCommandSilenceIsNoTimeout(t *testing.T) {
	for name, wait := range map[string]func(rc redis.Conn) error{
		"a subscription": func(rc redis.Conn) error {
			return errors.Join(sendGet(rc), second(rc.Receive()), second(redis.ReceiveWithTimeout(rc, time.Second)))
		},
		"a command sent while another goroutine receives": func(rc redis.Conn) error {
			first := make(chan error)
			go func() { first <- second(rc.Receive()) }()
			synctest.Wait()
			return errors.Join(sendGet(rc), <-first, second(redis.ReceiveWithTimeout(rc, time.Second)))
		},
		"a blocking pop": func(rc redis.Conn) error {
			return second(redis.DoWithTimeout(rc, time.Second, "blpop", "q", 0))
		},
		"a blocking pop in a pipeline": func(rc redis.Conn) error {
			return errors.Join(rc.Send("BLPOP", "q", 0), rc.Flush(), second(redis.ReceiveWithTimeout(rc, time.Second)))
		},
		"a command behind a blocking pop": func(rc redis.Conn) error {
			return errors.Join(rc.Send("BLPOP", "q", 0), second(redis.DoWithTimeout(rc, time.Second, "PING")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := redistest.NewPipeFake(t)
				f.Handle(neverPops)
				w := watchPool(t, f.Pool(redistest.PoolOptions{}))
				err := wait(w.dialed(t))
				var late net.Error
				require.ErrorAs(t, err, &late)
				assert.True(t, late.Timeout())
				assert.Equal(t, []health.Class{health.Ask}, w.classes())
			})
		})
	}
}

// neverPops answers what blocks by never answering, and leaves the rest.
func neverPops(cmd []string) []byte {
	if strings.EqualFold(cmd[0], "BLPOP") {
		return []byte{}
	}
	return nil
}

func TestSilenceAfterABlockingCommandHasAnsweredIsATimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := redistest.NewPipeFake(t)
		f.Handle(func(cmd []string) []byte {
			if cmd[0] == "BLPOP" {
				return redistest.Nil
			}
			return nil
		})
		w := watchPool(t, f.Pool(redistest.PoolOptions{}))
		rc := w.dialed(t)
		require.NoError(t, errors.Join(rc.Send("BLPOP", "q", 1), rc.Flush(), second(rc.Receive())))
		require.NoError(t, errors.Join(rc.Send("BLPOP", "q", 1), second(rc.Do(""))))
		f.Hang()
		require.Error(t, second(rc.Do("GET", "k")))
		assert.Equal(t, []health.Class{health.Timeout}, w.classes())
	})
}

func TestATimeoutSaysWhenItsCommandWasSentAndTheNewestThatWasAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := redistest.NewPipeFake(t)
		w := watchPool(t, f.Pool(redistest.PoolOptions{}))
		rc, other := w.dialed(t), w.dialed(t)
		time.Sleep(time.Minute)
		sent := time.Now()
		f.Handle(func(cmd []string) []byte {
			if cmd[0] == "GET" {
				return []byte{}
			}
			time.Sleep(100 * time.Millisecond)
			return nil
		})
		result := background(func() error { return second(rc.Do("GET", "k")) })
		time.Sleep(time.Second / 2)
		answered := time.Now() // this is when it is sent
		requireHealthy(t, other, 1)
		require.NoError(t, other.Close(), "that it is closed does not undo its replies")
		require.Error(t, result(t))
		evs := w.all()
		require.Len(t, evs, 1)
		assert.Equal(t, health.Timeout, evs[0].Class)
		assert.WithinDuration(t, sent, evs[0].Sent, 0)
		assert.WithinDuration(t, answered, evs[0].Replied, 0)
	})
}
