package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

func TestNoJobIsLostWhileANodeIsRestarted(t *testing.T) {
	redistest.NoLeaks(t)
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), 60, &out), out.String())
	for _, want := range []string{
		"killing node b", "restarting node b", "node b is back", "180 pushed,  180 handled",
		"   0 jobs were pushed and never handled", "   0 were handled twice for no reason",
	} {
		assert.Contains(t, out.String(), want)
	}
}

func TestAnInterruptEndsTheProgram(t *testing.T) {
	redistest.NoLeaks(t)
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	require.ErrorIs(t, run(ctx, 60, &bytes.Buffer{}), context.Canceled)
}

func TestTheVerdictIsWhatTheLedgerSays(t *testing.T) {
	tests := []struct {
		name               string
		job                job
		lost, again, wrong int
	}{
		{"pushed and handled", job{pushed: true, handled: 1}, 0, 0, 0},
		{"lost", job{pushed: true}, 1, 0, 0},
		{"lost, though doubted", job{pushed: true, doubted: true}, 1, 0, 0},
		{"twice", job{pushed: true, handled: 2}, 0, 0, 1},
		{"twice, but doubted", job{pushed: true, doubted: true, handled: 2}, 0, 1, 0},
		{"not pushed", job{handled: 1}, 0, 0, 1},
		{"perhaps pushed", job{doubted: true, handled: 1}, 0, 0, 0},
		{"neither", job{doubted: true}, 0, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := &drive{ledger: newLedger(), out: &bytes.Buffer{}}
			d.ledger.jobs["job"] = &test.job
			lost, again, wrong := d.ledger.judge()
			assert.Equal(t, []int{test.lost, test.again, test.wrong}, []int{lost, again, wrong})
			assert.Equal(t, test.lost+test.wrong > 0, d.check() != nil)
		})
	}
}

// cutter stands between a cluster and a server and loses every third answer to
// one command, which the server has executed then, together with the connection.
type cutter struct {
	listener net.Listener
	server   string
	command  string
	seen     atomic.Int64
	cut      atomic.Int64
	serving  sync.WaitGroup
}

func newCutter(t *testing.T, command string) *cutter {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	c := &cutter{listener: listener, server: miniredis.RunT(t).Addr(), command: command}
	c.serving.Go(c.accept)
	t.Cleanup(func() { _ = listener.Close(); c.serving.Wait() })
	return c
}

func (c *cutter) accept() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.serving.Go(func() { c.serve(client) })
	}
}

// serve passes on one command and one answer after the other.
func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", c.server)
	if err != nil {
		return
	}
	defer server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		cut := strings.Contains(string(buf[:n]), c.command) && c.seen.Add(1)%3 == 0
		if _, err = server.Write(buf[:n]); err == nil {
			n, err = server.Read(buf)
		}
		if err != nil {
			return
		}
		if cut {
			c.cut.Add(1)
			return
		}
		if _, err = client.Write(buf[:n]); err != nil {
			return
		}
	}
}

func TestNoJobIsLostWhenAnswersAre(t *testing.T) {
	for _, test := range []struct {
		command string
		again   bool // jobs may be handled twice
	}{
		{"RPUSH", true}, {"BLMOVE", false}, {"LREM", false}, {"LRANGE", false},
	} {
		t.Run(test.command, func(t *testing.T) {
			redistest.NoLeaks(t)
			one, two := newCutter(t, test.command), newCutter(t, test.command)
			d := newDrive(t, one.listener.Addr(), two.listener.Addr())
			again := d.work(t, 50)
			assert.Positive(t, one.cut.Load()+two.cut.Load(), "answers that were lost")
			assert.Equal(t, test.again, again > 0, "%d jobs were handled twice", again)
		})
	}
}

func TestNoJobIsLostWhenANodeDiesAgainAndAgain(t *testing.T) {
	redistest.NoLeaks(t)
	one, two := miniredis.RunT(t), miniredis.RunT(t)
	d := newDrive(t, one.Server().Addr(), two.Server().Addr())
	var dying sync.WaitGroup
	dying.Go(func() {
		for range 10 {
			_ = pause(t.Context(), 20*time.Millisecond)
			two.Close()
			for revive(two) != nil { // another program has its port just now
				_ = pause(t.Context(), time.Millisecond)
			}
		}
	})
	d.work(t, 400)
	dying.Wait()
}

func TestAWorkerDoesWhatItHadTakenInAnEarlierLife(t *testing.T) {
	redistest.NoLeaks(t)
	server := miniredis.RunT(t)
	d := newDrive(t, server.Server().Addr())
	_, err := server.Push(d.queue.taken(workerName(0)), "old")
	require.NoError(t, err)
	d.ledger.push("old", false, true)
	d.work(t, 5)
}

// newDrive returns a drive over a cluster of servers, which it closes.
func newDrive(t *testing.T, servers ...net.Addr) *drive {
	cfg := fluster.Config{Health: health.Config{MinWait: 5 * time.Millisecond, MaxWait: 20 * time.Millisecond}}
	for i, addr := range servers {
		node, err := fluster.ParseNode(fmt.Sprintf("redis://%s?name=node-%d", addr, i))
		require.NoError(t, err)
		cfg.Nodes = append(cfg.Nodes, node)
	}
	cluster, err := fluster.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = cluster.Close() })
	return &drive{
		cluster: cluster, queue: &queue{cluster: cluster, key: "jobs"},
		ledger: newLedger(), out: &bytes.Buffer{}, began: time.Now(),
	}
}

// produceAll runs one producer to its end.
func (d *drive) produceAll(ctx context.Context, jobs int) {
	for n := range jobs {
		id := fmt.Sprintf("job-%04d", n)
		doubted, err := d.queue.push(ctx, id)
		d.ledger.push(id, doubted, err == nil)
	}
}

// work pushes jobs, lets workers do all there are, and checks the ledger. It
// returns how many were done twice with an excuse.
func (d *drive) work(t *testing.T, jobs int) (again int) {
	ctx, home := context.WithCancel(t.Context())
	var everybody sync.WaitGroup
	defer home()
	require.NoError(t, d.employ(ctx, &everybody))
	d.produceAll(t.Context(), jobs)
	redistest.WaitFor(t, time.Minute, d.drained, "the queue to be empty")
	home()
	everybody.Wait()
	require.NoError(t, d.check())
	_, again, _ = d.ledger.judge()
	return again
}
