package router_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

// printed is an argument that is printed, so that Send has to look at it. It makes of a
// call that could be sent with hardly a look one that goes the long way.
type printed string

func printAll(args []any) []any {
	all := make([]any, len(args))
	for i, arg := range args {
		all[i] = printed(fmt.Sprint(arg))
	}
	return all
}

// step is one that a program takes with a connection.
type step struct {
	name string // Send, Flush, Receive, Do, DoWithTimeout, Close, Err; or of nodes: out, back
	cmd  string
	args []any
}

func (s step) String() string { return fmt.Sprint(s.name, " ", s.cmd, " ", s.args) }

// take takes a step and returns what can be seen of it.
func (s step) take(r *routed, c redis.Conn, long bool) string {
	args := s.args
	if long {
		args = printAll(args)
	}
	var reply any
	var err error
	switch s.name {
	case "Send":
		err = c.Send(s.cmd, args...)
	case "Flush":
		err = c.Flush()
	case "Receive":
		reply, err = c.Receive()
	case "Do":
		reply, err = c.Do(s.cmd, args...)
	case "DoWithTimeout":
		reply, err = redis.DoWithTimeout(c, patient, s.cmd, args...)
	case "Close":
		err = c.Close()
	case "Err":
		err = c.Err()
	case "out", "back":
		r.sharing.out.Store(s.name == "out")
	}
	return fmt.Sprintf("%v: %s, %v, %d are due, safe %v, maybe %v", s, reply, err, c.(*router.Conn).Pending(), node.SafeToRetry(err), node.MaybeExecuted(err))
}

// play takes all steps, with servers that are empty.
func play(t testing.TB, r *routed, s []*redistest.Server, steps []step, long bool) []string {
	t.Helper()
	for _, one := range s {
		one.Do("FLUSHALL")
	}
	r.sharing.out.Store(false)
	c := r.conn()
	seen := make([]string, len(steps))
	for i, one := range steps {
		seen[i] = one.take(r, c, long)
	}
	r.sharing.out.Store(false)
	_ = c.Close()
	return seen
}

// requireSame checks that a program sees the same whichever way its commands go.
func requireSame(t testing.TB, r *routed, s []*redistest.Server, steps []step) (seen []string) {
	t.Helper()
	seen = play(t, r, s, steps, false)
	require.Equal(t, play(t, r, s, steps, true), seen)
	return seen
}

func steps(lines ...string) []step {
	all := make([]step, len(lines))
	for i, line := range lines {
		words := strings.Fields(line)
		all[i].name = words[0]
		if len(words) > 1 {
			all[i].cmd = words[1]
		}
		for _, word := range words[min(2, len(words)):] {
			all[i].args = append(all[i].args, word)
		}
	}
	return all
}

func TestCommandsWithOneKeyStandInPipelinesAsAllOthersDo(t *testing.T) {
	programs := map[string][]step{
		"alone":                       steps("Send SET a 1", "Send INCR a", "Send INCR b", "Send GET a", "Receive", "Receive", "Receive", "Receive"),
		"behind a flush":              steps("Send SET a 1", "Flush", "Send INCR a", "Flush", "Send INCR a", "Do"),
		"between splits":              steps("Send MSET a 1 b 1 c 1", "Send INCR a", "Send MGET c b a", "Send INCR a", "Send DEL a b", "Send INCR a", "Do"),
		"between fan-outs":            steps("Send SET a 1", "Send DBSIZE", "Send SET b 1", "Send DBSIZE", "Send SET c 1", "Do DBSIZE"),
		"behind what blocks":          steps("Send RPUSH a:l x", "Send BLPOP a:l 0.01", "Send BLPOP a:l 0.01", "Send RPUSH a:l y", "Send LLEN a:l", "Send RPUSH b:l z", "Do"),
		"behind what blocks, flushed": steps("Send BLPOP a:l 0.01", "Flush", "Send RPUSH a:l y", "Flush", "Send LLEN a:l", "Do"),
		"in a transaction":            steps("Send MULTI", "Send SET a 1", "Send INCR a", "Send GET a", "Send EXEC", "Send INCR a", "Do"),
		"in a transaction, flushed":   steps("Send INCR a", "Send MULTI", "Flush", "Send INCR a", "Flush", "Send INCR a", "Receive", "Receive", "Send EXEC", "Flush", "Send INCR a", "Do"),
		"in one that is not sent":     steps("Send INCR a", "Send MULTI", "Send INCR a", "Receive", "Receive", "Send INCR a", "Send DISCARD", "Send INCR a", "Do"),
		"in one that is elsewhere":    steps("Send INCR b", "Send MULTI", "Send INCR a", "Send INCR b", "Send INCR a", "Send EXEC", "Send INCR a", "Do"),
		"after a watch":               steps("Send INCR b", "Send WATCH a", "Flush", "Send INCR a", "Send MULTI", "Send INCR a", "Send EXEC", "Do"),
		"after a watch alone":         steps("Do WATCH a", "Send GET a", "Send INCR a", "Send GET b", "Do", "Do UNWATCH", "Send INCR a", "Send INCR a", "Do"),
		"after a limit":               steps("Send INCR a", "Send INCR b", "DoWithTimeout INCR a", "Send INCR a", "Send INCR a", "DoWithTimeout BLPOP a:l 0.01", "Send INCR a", "Send INCR b", "Do"),
		"among those that are wrong":  steps("Send SET a x", "Send INCR a", "Send SET a", "Send GET", "Send NOSUCH a", "Send SCAN 0", "Send RENAME a b", "Send GET a", "Send LPUSH a y", "Send GET b", "Do"),
		"one by one":                  steps("Send SET a x", "Send INCR a", "Receive", "Receive", "Send GET b", "Send GET a", "Receive", "Send LPUSH a y", "Receive", "Receive"),
		"before a Do of their own":    steps("Send SET a x", "Send LPUSH a y", "Do GET a", "Send INCR b", "Do INCR b"),
		"when no node lives":          steps("Send INCR a", "out", "Send INCR a", "Send INCR b", "Send MGET a b", "Flush", "Send GET a", "back", "Send INCR b", "Send INCR a", "Receive", "Receive", "Receive", "Receive", "Receive", "Receive", "Receive"),
		"when none lived before":      steps("out", "Send INCR a", "Send INCR a", "Do", "back", "Send INCR a", "Send INCR a", "Do"),
		"when none lives at Flush":    steps("Send INCR a", "Send INCR b", "Send INCR a", "out", "Do", "Send INCR a", "Do INCR a"),
		"after Close":                 steps("Send INCR a", "Send INCR a", "Close", "Send INCR a", "Flush", "Receive", "Do INCR a", "Err", "Close"),
		"closed with replies due":     steps("Send INCR a", "Send INCR b", "Flush", "Send INCR a", "Receive", "Close", "Send INCR a"),
		"in a subscription":           steps("Send INCR a", "Send SUBSCRIBE a", "Send INCR a", "Receive", "Receive", "Do SUBSCRIBE a", "Send INCR a", "Send GET a", "Do INCR a", "Send PING", "Do", "Close", "Send INCR a"),
		"behind a script":             steps("Do SCRIPT LOAD return(redis.call('incr',KEYS[1]))", "Send INCR a", "Send EVAL return(redis.call('incr',KEYS[1])) 1 a", "Send INCR a", "Do"),
	}
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, s := servers(t, 3, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
		for name, program := range programs {
			t.Run(name, func(t *testing.T) {
				prepare(t, r)
				for _, line := range requireSame(t, r, s, program) {
					t.Log(line)
				}
				r.requireIdle(t)
			})
		}
	})
}

// randomSteps is a program of commands of all kinds on three nodes.
func randomSteps(rng *rand.Rand) (all []step) {
	multi := false
	send := func(cmd string, args ...any) { all = append(all, step{"Send", cmd, args}) }
	for i := range 60 {
		key := string(rune('a' + rng.IntN(3)))
		switch k := rng.IntN(30); {
		case k == 0 && i%4 == 0: // each takes a server a tenth of a second
			send("BLPOP", key+":none", 0.001)
		case k == 1 && i%4 < 3:
			send("BLPOP", key+":list", 0.001)
		case k == 2:
			send("ECHO", i)
		case k == 3:
			send("MSET", "a:m", i, "b:m", i)
			send("MGET", "b:m", "c:m", "a:m")
		case k == 4 && !multi:
			send("MULTI")
			multi = true
		case k == 5 && multi, k == 6 && multi:
			send("EXEC")
			multi = false
		case k == 7:
			send("WATCH", key)
		case k == 8:
			send("UNWATCH")
		case k == 9:
			send("GET")
		case k == 10:
			send("RENAME", "a", "b")
		case k == 11:
			send("SET", key+":big", strings.Repeat("x", 70<<10))
		case k == 12:
			all = append(all, step{name: "DoWithTimeout", cmd: "INCR", args: []any{key}})
		case k == 13, k == 14, k == 15:
			all = append(all, step{name: "Flush"})
		case k == 16:
			all = append(all, step{name: "Do"})
		case k == 17:
			all = append(all, step{name: "Do", cmd: "GET", args: []any{key}})
		case k == 18:
			all = append(all, step{name: "out"}, step{name: "Send", cmd: "GET", args: []any{key}}, step{name: "back"})
		case k < 21:
			send("RPUSH", key+":list", i)
			send("LLEN", key+":list")
		case k < 23:
			send("SET", key+":text", i, "EX", 1000)
			send("LPUSH", key+":text", i)
		default:
			send("INCR", key)
		}
	}
	return append(all, step{name: "Do"}, step{name: "Close"}, step{name: "Send", cmd: "INCR", args: []any{"a"}})
}

func TestRandomPipelinesSeeTheSameWhicheverWayTheirCommandsGo(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, s := servers(t, 3, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
		for seed := range uint64(30) {
			prepare(t, r)
			requireSame(t, r, s, randomSteps(rand.New(rand.NewPCG(seed, 1))))
			r.requireIdle(t)
		}
	})
}

func TestACommandThatIsSentInATransactionIsPartOfIt(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, s := servers(t, 1, "read_timeout=30s")
		prepare(t, r)
		c := r.conn()
		send(t, c, "SET", "a", 0)
		send(t, c, "MULTI")
		require.NoError(t, c.Flush())
		send(t, c, "INCR", "a")
		require.NoError(t, c.Flush())
		send(t, c, "INCR", "a")
		for _, want := range []string{"OK", "OK", "QUEUED", "QUEUED"} {
			reply, err := redis.String(c.Receive())
			require.NoError(t, err)
			assert.Equal(t, want, reply)
		}
		assert.Equal(t, []byte("0"), s[0].Do("GET", "a"), "nothing has run yet")
		assert.Equal(t, []any{int64(1), int64(2)}, must(t, c, "EXEC"))
		require.NoError(t, c.Close())
	})
}

func TestWhatFollowsACommandThatBlocksStaysBehindIt(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, s := servers(t, 1, "read_timeout=30s")
		prepare(t, r)
		c := r.conn()
		send(t, c, "BLPOP", "a:list", 0)
		send(t, c, "SET", "a", "too early")
		send(t, c, "GET", "a")
		require.NoError(t, c.Flush())
		redistest.WaitFor(t, patient, func() bool { return s[0].Info("clients")["blocked_clients"] == "1" }, "it blocks")
		send(t, c, "SET", "a", "still too early")
		require.NoError(t, c.Flush())
		assert.Nil(t, s[0].Do("GET", "a"))
		s[0].Do("RPUSH", "a:list", "x")
		replies, err := redis.Values(c.Do(""))
		require.NoError(t, err)
		assert.Equal(t, []any{[]any{[]byte("a:list"), []byte("x")}, "OK", []byte("too early"), "OK"}, replies)
		require.NoError(t, c.Close())
	})
}

func TestArgumentsInAPipelineAreAskedOnceAndAtOnce(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, _ := fakes(t, 1, "read_timeout=30s")
		prepare(t, r)
		c := r.conn()
		send(t, c, "SET", "a:1", "x") // so that more can follow the short way
		value, key := &fickle{}, &roaming{}
		send(t, c, "SET", "a:2", value)
		send(t, c, "SET", key, "y")
		assert.Equal(t, 1, value.times)
		assert.Equal(t, 1, key.times)
		bytes := []byte("a:3")
		args := []any{bytes, []byte("one")}
		send(t, c, "SET", args...)
		copy(bytes, "b:4")
		copy(args[1].([]byte), "two")
		args[0] = nil
		replies, err := redis.Values(c.Do(""))
		require.NoError(t, err)
		assert.Len(t, replies, 4)
		assert.Equal(t, 1, value.times)
		assert.Equal(t, 1, key.times)
		for key, want := range map[string]string{"a:2": "answer 1", "a": "y", "a:3": "one"} {
			got, err := redis.String(c.Do("GET", key))
			require.NoError(t, err, key)
			assert.Equal(t, want, got)
		}
		require.NoError(t, c.Close())
	})
}

// Commands are sent while others are received, and the pipeline runs empty by chance.
func TestOneGoroutineMaySendCommandsWithOneKeyWhileAnotherReceives(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, _ := fakes(t, 2, "dial_timeout=30s&read_timeout=30s&write_timeout=30s")
		prepare(t, r)
		c := r.conn()
		const n = 4000
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			rng := rand.New(rand.NewPCG(5, 6))
			for i := range n {
				if !assert.NoError(t, c.Send("INCR", []string{"a", "b"}[i%2])) {
					return
				}
				if rng.IntN(10) == 0 {
					assert.NoError(t, c.Flush())
				}
			}
			assert.NoError(t, c.Flush())
		}()
		for i := range n {
			reply, err := redis.Int(redis.ReceiveWithTimeout(c, patient))
			require.NoError(t, err)
			require.Equal(t, i/2+1, reply)
		}
		<-sent
		require.NoError(t, c.Close())
		r.requireIdle(t)
	})
}

func TestWhatFailsInAPipelineIsToldByItsPlaceWhicheverWayItWent(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, f := fakes(t, 2, "read_timeout=30s&write_timeout=30s")
		prepare(t, r)
		f[0].CutReply("INCR", 0)
		c := r.conn()
		for _, cmd := range []string{"GET", "INCR", "LLEN"} {
			send(t, c, "GET", "b")
			send(t, c, cmd, "a:"+cmd)
		}
		for i := range 6 {
			_, err := c.Receive()
			if i%2 == 0 || i == 1 {
				require.NoError(t, err)
				continue
			}
			require.True(t, node.MaybeExecuted(err), "%v", err)
			cmd := []string{"INCR", "LLEN"}[i/4]
			requirePlaced(t, err, i, fmt.Sprintf("%s %q", cmd, "a:"+cmd))
		}
		f[0].Resume()
		ctx, cancel := context.WithCancel(t.Context())
		f[0].Hang()
		send(t, c, "GET", "b")
		send(t, c, "GET", "b")
		send(t, c, "SET", "a:left", "secret")
		for range 2 {
			_, err := c.Receive()
			require.NoError(t, err)
		}
		received := make(chan error)
		go func() {
			_, err := redis.ReceiveContext(c, ctx)
			received <- err
		}()
		cancel()
		err := <-received
		require.ErrorIs(t, err, context.Canceled)
		requirePlaced(t, err, 2, `SET "a:left"`)
		assert.NotContains(t, err.Error(), "secret")
		require.Error(t, c.Send("GET", "a"), "it was given up")
		require.NoError(t, c.Close())
		f[0].Resume()
	})
}

func TestALimitOfOnesOwnHoldsForWhatWasSentTheShortWay(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=30s")
	must(t, r.conn(), "GET", "a") // since the PING of a dial would hang too
	r.share(t)
	f[0].Hang()
	c := r.conn()
	send(t, c, "INCR", "a")
	send(t, c, "INCR", "a")
	begun := time.Now()
	_, err := redis.DoWithTimeout(c, 20*time.Millisecond, "INCR", "a")
	require.Error(t, err)
	assert.Less(t, time.Since(begun), patient)
	f[0].Resume()
	_ = c.Close()
}
