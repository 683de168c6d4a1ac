package node_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// flightFault is what breaks a connection under a command, and what it means.
type flightFault struct {
	class  health.Class
	is     error // the cause
	text   string
	unsent bool // the library's own pool knows that the command cannot have run
}

// assertBreaks runs command, which must break the connection, and holds what
// comes of it against want.
func assertBreaks(t *testing.T, pool *redis.Pool, own bool, want flightFault, prepare func(), command func(c redis.Conn) error) {
	t.Helper()
	_, r := over(t, pool)
	c := pool.Get()
	_, err := c.Do("SET", "before", "a value of some length")
	require.NoError(t, err)
	began := time.Now()
	prepare()

	err = command(c)
	require.Error(t, err)
	var ne *node.Error
	require.ErrorAs(t, err, &ne)
	if want.is != nil {
		assert.ErrorIs(t, err, want.is)
	}
	assert.Contains(t, err.Error(), want.text)
	unsent := want.unsent && own
	assertFate(t, err, unsent, !unsent)
	require.Len(t, r.all(), 1)
	ev := r.all()[0]
	assert.Equal(t, want.class, ev.Class, "class of %v", err)
	assert.False(t, ev.Verify || ev.Write || ev.Fresh)
	assert.ErrorIs(t, err, ev.Cause)
	if want.class == health.Timeout {
		assert.False(t, ev.Sent.Before(began), "it was sent after the fault")
		assert.True(t, ev.Replied.Before(ev.Sent), "and nothing came since")
	}

	_, again := c.Do("INCR", "k")
	require.Error(t, again, "the connection is gone")
	assert.Len(t, r.all(), 1, "a connection is evidence once")
	assert.Error(t, c.Err())
	_ = c.Close() // tells the old error once more
	assert.Zero(t, pool.ActiveCount(), "the pool keeps it")
}

func do(cmd string, args ...any) func(redis.Conn) error {
	return func(c redis.Conn) error { _, err := c.Do(cmd, args...); return err }
}

func TestWhatBreaksAConnectionInUseIsJudged(t *testing.T) {
	for name, row := range map[string]struct {
		fault   func(f *redistest.Fake)
		command func(redis.Conn) error
		want    flightFault
	}{
		"end of file":                {cut("INCR", 0), do("INCR", "k"), flightFault{class: health.Broken, is: io.EOF}},
		"end of file in a header":    {cut("INCR", 2), do("INCR", "k"), flightFault{class: health.Broken, is: io.EOF}},
		"end of file inside a value": {cut("GET", 9), do("GET", "before"), flightFault{class: health.Broken, is: io.ErrUnexpectedEOF}},
		"reset":                      {resetEach, do("INCR", "k"), flightFault{class: health.Broken, is: syscall.ECONNRESET}},
		"silence":                    {(*redistest.Fake).Hang, do("INCR", "k"), flightFault{class: health.Timeout, is: os.ErrDeadlineExceeded}},
		"garbage":                    {answer("garbage\r\n"), do("INCR", "k"), flightFault{class: health.Soft}},
		"an empty line":              {answer("\r\n"), do("INCR", "k"), flightFault{class: health.Soft}},
		"a number that is none":      {answer(":abc\r\n"), do("INCR", "k"), flightFault{class: health.Soft}},
		"a length that is none":      {answer("$abc\r\n"), do("INCR", "k"), flightFault{class: health.Soft}},
		"a RESP3 map":                {answer("%1\r\n+a\r\n+b\r\n"), do("INCR", "k"), flightFault{class: health.Soft}},
		"a write to a peer that left": {
			(*redistest.Fake).Drop, flushUntilItFails(t),
			flightFault{class: health.Broken},
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := redistest.NewFake(t)
			limit := ample
			if row.want.class == health.Timeout {
				limit = time.Second // enough for a dial
			}
			eachPool(t, fmt.Sprintf("redis://%s?read_timeout=%s", f.Addr(), limit), func(t *testing.T, pool *redis.Pool, own bool) {
				f.Resume()
				f.Handle(nil)
				assertBreaks(t, pool, own, row.want, func() { row.fault(f) }, row.command)
			})
		})
	}
}

func cut(cmd string, n int) func(*redistest.Fake) {
	return func(f *redistest.Fake) { f.CutReply(cmd, n) }
}

// flushUntilItFails writes until the kernel has heard that the peer is gone.
func flushUntilItFails(t *testing.T) func(redis.Conn) error {
	return func(c redis.Conn) error {
		var err error
		redistest.WaitFor(t, ample, func() bool {
			if err = c.Send("INCR", "k"); err == nil {
				err = c.Flush()
			}
			return err != nil
		}, "the write fails")
		assert.True(t, errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET), "%v", err)
		return err
	}
}

func TestAHostileReplyBreaksTheConnectionAndNotTheProcess(t *testing.T) {
	for name, raw := range map[string]string{
		"a length that overflows": "$9223372036854775807\r\n",
		"a huge array":            "*100000000\r\n",
		"deep nesting":            strings.Repeat("*1\r\n", 1000),
		"an endless line":         "+" + strings.Repeat("x", 1<<17),
	} {
		t.Run(name, func(t *testing.T) {
			f := redistest.NewFake(t)
			pool := parsed(t, "redis://"+f.Addr()).NewPool()
			assertBreaks(t, pool, true, flightFault{class: health.Soft, text: "reply refused"},
				func() { f.Answer(raw) }, do("INCR", "k"))
		})
	}
}

// deaf answers what a connection begins with, and the SET after it, and then
// reads no more.
func deaf(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go answerTwo(c)
		}
	}()
	return l.Addr().String()
}

// answerTwo answers PING, which has three lines, and SET, which has seven.
func answerTwo(c net.Conn) {
	r := bufio.NewReader(c)
	for _, lines := range []int{3, 7} {
		for range lines {
			if _, err := r.ReadString('\n'); err != nil {
				return
			}
		}
		_, _ = c.Write([]byte("+OK\r\n"))
	}
}

func TestAWriteThatTimesOutIsATimeout(t *testing.T) {
	value := make([]byte, 32<<20)
	eachPool(t, "redis://"+deaf(t)+"?write_timeout=100ms", func(t *testing.T, pool *redis.Pool, own bool) {
		// A part of a command is none, if it is known to be all that has left.
		assertBreaks(t, pool, own, flightFault{class: health.Timeout, is: os.ErrDeadlineExceeded, text: "write", unsent: true},
			func() {}, do("SET", "k", value))
	})
}

func TestASurplusReplyIsFoundBeforeTheConnectionIsUsedAgain(t *testing.T) {
	f := redistest.NewFake(t)
	f.Handle(func(cmd []string) []byte {
		if cmd[0] == "ECHO" {
			return append(redistest.Bulk(cmd[1]), redistest.Bulk("not yours")...)
		}
		return nil
	})
	pool := parsed(t, "redis://"+f.Addr()).NewPool()
	_, r := over(t, pool)
	for _, nonce := range []string{"one", "two", "three"} {
		c := pool.Get()
		got, err := redis.String(c.Do("ECHO", nonce))
		require.NoError(t, err)
		assert.Equal(t, nonce, got)
		require.NoError(t, c.Close())
	}
	assert.Equal(t, 3, f.Accepted(), "a connection with a reply too many was used again")
	assert.Empty(t, r.all())
}

func TestTheCallersOwnLimitIsNoEvidenceUnderACommand(t *testing.T) {
	for name, limit := range map[string]func(context.Context) (context.Context, context.CancelFunc){
		"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 20*time.Millisecond)
		},
		"cancelled": func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(20*time.Millisecond, cancel)
			return ctx, cancel
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := redistest.NewFake(t)
			eachPool(t, "redis://"+f.Addr()+"?read_timeout=20s", func(t *testing.T, pool *redis.Pool, _ bool) {
				f.Resume()
				_, r := over(t, pool)
				c := pool.Get()
				require.NoError(t, c.Err())
				f.Hang()
				ctx, cancel := limit(t.Context())
				defer cancel()
				_, err := redis.DoContext(c, ctx, "INCR", "k")
				require.ErrorIs(t, err, ctx.Err())
				assertFate(t, err, false, true)
				assert.Equal(t, []health.Class{health.Ask}, r.classes())
				assert.Error(t, c.Err(), "a reply is still due on it")
				_ = c.Close()
				assert.Zero(t, pool.ActiveCount())
			})
		})
	}
}

func TestACallOfWhoHasNoTimeLeftCostsNothing(t *testing.T) {
	f := redistest.NewFake(t)
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	eachPool(t, "redis://"+f.Addr(), func(t *testing.T, pool *redis.Pool, _ bool) {
		_, r := over(t, pool)
		c := pool.Get()
		_, err := redis.DoContext(c, ctx, "INCR", "k")
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assertFate(t, err, true, false)
		assert.NoError(t, c.Err())
		require.NoError(t, c.Close())
		assert.Equal(t, 1, pool.IdleCount())
		assert.Empty(t, r.all())
		assert.Zero(t, f.Received("INCR"))
	})
}

func TestABlockingCommandThatTimesOutIsNoEvidence(t *testing.T) {
	s := redistest.Start(t)
	for _, cmd := range [][]any{
		{"BLPOP", "none", 0},
		{"brpop", "none", 0},
		{"BLMOVE", "none", "other", "LEFT", "RIGHT", 0},
		{"XREAD", "BLOCK", 0, "STREAMS", "none", "$"},
		{"WAIT", 1, 0},
	} {
		t.Run(cmd[0].(string), func(t *testing.T) {
			eachPool(t, s.URL()+"?read_timeout=20ms", func(t *testing.T, pool *redis.Pool, _ bool) {
				_, r := over(t, pool)
				c := pool.Get()
				for c.Err() != nil { // on a busy machine the dial's PING may be late, too
					c = pool.Get()
				}
				defer c.Close()
				before := len(r.classes())
				_, err := c.Do(cmd[0].(string), cmd[1:]...)
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				assertFate(t, err, false, true)
				assert.Equal(t, []health.Class{health.Ask}, r.classes()[before:])
			})
		})
	}
}

func TestAPasswordThatTheCallerTypesIsNoEvidence(t *testing.T) {
	s := redistest.Start(t, "--requirepass", "right")
	eachPool(t, s.URL(), func(t *testing.T, pool *redis.Pool, _ bool) {
		_, r := over(t, pool)
		c := pool.Get()
		_, err := c.Do("AUTH", canary)
		require.ErrorContains(t, err, "WRONGPASS")
		_, err = c.Do("hello", 2, "AUTH", "bob", canary)
		require.ErrorContains(t, err, "WRONGPASS")
		assert.NoError(t, c.Err())
		require.NoError(t, c.Close())
		assert.Empty(t, r.all())
	})
}
