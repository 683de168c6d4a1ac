package fluster_test

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// hostile is an answer to everything that no sane server gives.
type hostile struct {
	row    int
	what   string
	answer string
	lethal bool // to a process that reads it by redigo alone
}

var hostiles = []hostile{
	{row: 37, what: "garbage", answer: "garbage\r\n"},
	{row: 37, what: "letters for a length", answer: "$abc\r\n"},
	{row: 37, what: "an empty line", answer: "\r\n"},
	{row: 40, what: "the largest length", answer: "$9223372036854775807\r\n"},
	{row: 40, what: "a gigabyte", answer: "$1073741824\r\n", lethal: true},
	{row: 40, what: "a hundred million elements", answer: "*100000000\r\n", lethal: true},
	{row: 40, what: "arrays in arrays", answer: strings.Repeat("*1\r\n", 1_000_000), lethal: true},
	{row: 40, what: "an endless line", answer: "+" + strings.Repeat("x", 4<<20), lethal: true},
	{row: 41, what: "a web server", answer: "HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"},
	{row: 41, what: "pushes of RESP3", answer: ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nx\r\n"},
}

// hostileCalls are ways to call whose replies are read on goroutines of different
// owners: the caller's, and the library's own.
var hostileCalls = map[string]func(ctx context.Context, c *fluster.FlusterCluster, key string) error{
	"a pool's DoContext": func(ctx context.Context, c *fluster.FlusterCluster, key string) error {
		_, err := doContext(ctx, c, key, "GET")
		return err
	},
	"Do": func(ctx context.Context, c *fluster.FlusterCluster, key string) error {
		_, err := c.Do(ctx, "GET", key)
		return err
	},
}

// A server that answers nonsense costs one call of each caller and little memory, is
// out, and is back when it makes sense again. What redigo alone would not survive is
// tried on the pools that the library guards.
func TestRows37And40And41AServerThatAnswersNonsenseIsOut(t *testing.T) {
	for number, fault := range map[int]string{
		37: "a server answers what is no RESP",
		40: "a server claims what no memory holds",
		41: "a server speaks another protocol",
	} {
		eachBuilder(t, number, fault, "a fake server", func(r *trial, builder string) {
			for _, h := range hostiles {
				if h.row != number || h.lethal && builder == builders[0] {
					continue
				}
				for how, call := range hostileCalls {
					r.t.Log(h.what, "by", how)
					r.nonsense(h, builder, call)
				}
			}
		})
	}
}

func (r *trial) nonsense(h hostile, builder string, call func(context.Context, *fluster.FlusterCluster, string) error) {
	t := r.t
	c, fakes := r.fakes(3, builder, "&max_reply=1048576")
	require.NoError(t, c.WaitReady(t.Context()))
	l := startCalls(t, 8, func(key string) error { return call(t.Context(), c, key) })
	l.goOn(t, 200)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fakes[1].Answer(h.answer)
	waitDown(t, c, "b")
	runtime.ReadMemStats(&after)
	r.said.print(status(t, c, "b").Cause)
	// Of what is alive, since calls go on all the while. Each connection may hold one reply.
	assert.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(64<<20), "bytes on the heap")
	fakes[1].Resume()
	healed, longest := time.Now(), r.Recovered
	waitLive(t, c, "b")
	r.back(healed, brisk.MaxWait)
	r.Recovered = max(r.Recovered, longest)
	l.goOn(t, 200)
	failed := l.finish()
	r.Calls, r.Lost, r.Longest = r.Calls+l.calls, r.Lost+len(failed), max(r.Longest, l.longest)
	r.within(longestCall, l.longest, "the longest call")
	for _, f := range failed {
		r.said.print(f.err)
	}
	assert.LessOrEqual(t, most(failed), 2+again(r.slack()), "no caller meets it more often: %v", kinds(failed))
	r.onlyOut(c, "b")
	require.NoError(t, c.Close())
	for _, f := range fakes {
		f.Close()
	}
}

// fakes runs n fake servers and a cluster over them, with time-outs of 200 ms.
func (r *trial) fakes(n int, builder, options string) (*fluster.FlusterCluster, []*redistest.Fake) {
	r.t.Helper()
	fakes := make([]*redistest.Fake, n)
	cfg := fluster.Config{Health: brisk}
	cfg.Health.MinWait = 50 * time.Millisecond
	for i := range fakes {
		fakes[i] = redistest.NewFake(r.t)
		node := fluster.Node{Name: nodeName(i), Addr: fakes[i].Addr(), Pool: fakes[i].Pool(quick)}
		if builder == builders[1] {
			var err error
			node, err = fluster.ParseNode(fmt.Sprintf("redis://:%s@%s?name=%s&%s%s", canary, fakes[i].Addr(), nodeName(i), briefly, options))
			require.NoError(r.t, err)
		}
		cfg.Nodes = append(cfg.Nodes, node)
	}
	return r.cluster(cfg), fakes
}

// A reply that is cut anywhere is an error, never a shorter reply, however it is read.
func TestRow38AReplyThatIsCutAnywhereIsNoReply(t *testing.T) {
	eachBuilder(t, 38, "a reply is cut", "a fake server, after each byte", func(r *trial, builder string) {
		c, fakes := r.fakes(1, builder, "")
		value := strings.Repeat("v", 11)
		whole := len(redistest.Bulk(value))
		_, err := c.Do(r.t.Context(), "SET", "k", value)
		require.NoError(r.t, err)
		for n := range whole {
			fakes[0].CutReply("GET", n)
			for how, call := range hostileReads {
				got, err := redis.String(call(r.t.Context(), c))
				r.Calls++
				if err != nil { // a read may have been repeated, and is cut again
					r.Lost++
					r.said.print(err)
					assert.True(r.t, fluster.MaybeExecuted(err), "%v", err)
					continue
				}
				assert.Fail(r.t, "a part of a reply", "%q after %d bytes by %s", got, n, how)
			}
			fakes[0].Resume()
		}
		got, err := redis.String(c.Do(r.t.Context(), "GET", "k"))
		require.NoError(r.t, err)
		assert.Equal(r.t, value, got)
		r.onlyOut(c)
	})
}

// hostileReads are ways to read one reply.
var hostileReads = map[string]func(ctx context.Context, c *fluster.FlusterCluster) (any, error){
	"a pool's DoContext": func(ctx context.Context, c *fluster.FlusterCluster) (any, error) {
		return doContext(ctx, c, "k", "GET")
	},
	"Do": func(ctx context.Context, c *fluster.FlusterCluster) (any, error) { return c.Do(ctx, "GET", "k") },
	"a pipeline": func(_ context.Context, c *fluster.FlusterCluster) (any, error) {
		conn := c.Get()
		defer conn.Close()
		if err := conn.Send("GET", "k"); err != nil {
			return nil, err
		}
		if err := conn.Flush(); err != nil {
			return nil, err
		}
		return conn.Receive()
	},
}
