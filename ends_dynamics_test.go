package fluster_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// manyCallers are far more than connections.
const manyCallers = 512

func TestRow53ANodeThatReturnsIsDialedByFewAndNotMoreThanNeeded(t *testing.T) {
	const size = 64
	mainly := map[string]string{"pools of 64": builders[0], "Do": builders[1]}
	for how, start := range map[string]func(testing.TB, *fluster.FlusterCluster, int) *load{
		"pools of 64": startLoad, "Do": startRouted,
	} {
		someBuilders(t, mainly[how], 53, "a node returns to 512 callers: "+how, "kill -9, restart", func(r *trial, builder string) {
			f := &fleet{}
			for range 3 {
				f.servers = append(f.servers, redistest.Start(r.t, "--requirepass", canary))
			}
			var dials atWork
			nodes := r.nodes(f.servers, builder)
			for _, n := range nodes {
				n.Pool.MaxIdle, n.Pool.MaxActive, n.Pool.Wait = size, size, true
			}
			if builder == builders[0] {
				plain := nodes[1].Pool.DialContext
				nodes[1].Pool.DialContext = func(ctx context.Context) (redis.Conn, error) {
					dials.begin()
					defer dials.end()
					return plain(ctx)
				}
			}
			f.FlusterCluster = r.cluster(fluster.Config{Nodes: nodes, Health: brisk})
			l := start(r.t, f.FlusterCluster, manyCallers)
			l.goOn(r.t, 3000)
			f.servers[1].Kill()
			waitDown(r.t, f.FlusterCluster, "b")
			l.goOn(r.t, 3000)
			probes := status(r.t, f.FlusterCluster, "b").Probes
			f.servers[1].Restart()
			healed := time.Now()
			waitLive(r.t, f.FlusterCluster, "b")
			r.back(healed, brisk.MaxWait)
			l.goOn(r.t, 5000)
			probes = status(r.t, f.FlusterCluster, "b").Probes - probes
			accepted := connections(r.t, f.servers[1])
			r.Remark = fmt.Sprintf("%d connections for %d callers", accepted, manyCallers)
			r.ended(f, l, true)
			if r.slack() < quick.Read { // else calls time out, which costs connections
				const others = 10 // of the test's own, to see whether the server serves
				assert.LessOrEqual(r.t, accepted, size+int(probes)+others)
				assert.LessOrEqual(r.t, dials.most.Load(), int64(8+1), "eight callers, and a probe")
			}
		})
	}
}

// Callers who repeat what times out must not keep a node down that has too much to do.
func TestRow54RepeatsAddLittleToAnOverload(t *testing.T) {
	someBuilders(t, builders[1], 54, "nodes answer reads too late, and all else in time", "fake servers, slower than the time-out of 30 ms", func(r *trial, builder string) {
		c, fakes, late := r.overloaded(builder)
		l := startCalls(r.t, 128, func(key string) error { _, err := c.Do(r.t.Context(), "GET", key); return err })
		l.goOn(r.t, 1000)
		late.Store(true)
		l.goOn(r.t, 6000)
		late.Store(false)
		failed := l.finish()
		r.Calls, r.Lost, r.Longest = l.calls, len(failed), l.longest
		received, refused := 0, uint64(0)
		for i, st := range c.Nodes() {
			received += fakes[i].Received("GET")
			refused += st.RetriesRefused
		}
		assert.NotEmpty(r.t, failed)
		assert.LessOrEqual(r.t, float64(received), 1.2*float64(l.calls), "%d calls were sent %d times", l.calls, received)
		r.within(3*(2*quick.Connect+quick.Write+quick.Read), r.Longest, "three tries, each with a dial that may have to wait for others'")
		if r.slack() < quick.Read { // else nodes are out, and calls end at once
			assert.NotZero(r.t, refused, "what was not repeated is counted")
		}
		r.Remark = fmt.Sprintf("each call was sent %.2f times", float64(received)/float64(l.calls))
	})
}

// overloaded returns a cluster over fake servers that, while late is set, answer reads
// later than callers wait.
func (r *trial) overloaded(builder string) (c *fluster.FlusterCluster, fakes []*redistest.Fake, late *atomic.Bool) {
	r.t.Helper()
	late = new(atomic.Bool)
	impatient := quick
	impatient.Read = 30 * time.Millisecond
	var cfg fluster.Config
	for i := range 3 {
		f := redistest.NewFake(r.t)
		f.Handle(func(cmd []string) []byte {
			if cmd[0] == "GET" && late.Load() {
				time.Sleep(100 * time.Millisecond) // as the server's own work
			}
			return nil
		})
		node := fluster.Node{Name: nodeName(i), Addr: f.Addr(), Pool: f.Pool(impatient)}
		if builder == builders[1] {
			var err error
			node, err = fluster.ParseNode(fmt.Sprintf("redis://:%s@%s?name=%s&read_timeout=30ms", canary, f.Addr(), nodeName(i)))
			require.NoError(r.t, err)
		}
		fakes, cfg.Nodes = append(fakes, f), append(cfg.Nodes, node)
	}
	c = r.cluster(cfg)
	require.NoError(r.t, c.WaitReady(r.t.Context()))
	return c, fakes, late
}

// cable is the way of one client to some of the servers, which can be cut.
type cable struct {
	mu   sync.Mutex
	cut  bool
	ends []net.Conn
}

func (c *cable) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		return nil, &net.OpError{Op: "dial", Net: network, Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}
	}
	var d net.Dialer
	nc, err := d.DialContext(ctx, network, addr)
	if err == nil {
		c.ends = append(c.ends, nc)
	}
	return nc, err
}

func (c *cable) set(cut bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut = cut; cut {
		for _, nc := range c.ends {
			_ = nc.Close()
		}
		c.ends = nil
	}
}

func TestRow55NoMoreNodesAreOutThanMaxDownAllowsHoweverManySeemDead(t *testing.T) {
	r := beginTrial(t, 55, "2 of 3 nodes look dead to one client, with MaxDown 0.5", "its dials unreachable, its connections cut")
	f := &fleet{servers: startServers(t, 3, "--requirepass", canary)}
	half := brisk
	half.MaxDown = 0.5
	others := r.cluster(fluster.Config{Nodes: nodesOf(f.servers, quick), Health: half})
	nodes := nodesOf(f.servers, quick)
	var way cable
	for i, s := range f.servers[1:] {
		nodes[1+i].Pool = &redis.Pool{MaxIdle: 64, DialContext: func(ctx context.Context) (redis.Conn, error) {
			return redis.DialContext(ctx, "tcp", s.Addr(), redis.DialContextFunc(way.dial), redis.DialPassword(canary),
				redis.DialReadTimeout(quick.Read), redis.DialWriteTimeout(quick.Write))
		}}
	}
	f.FlusterCluster = r.cluster(fluster.Config{Nodes: nodes, Health: half})
	l, untouched := startRouted(t, f.FlusterCluster, 16), startRouted(t, others, 4)
	l.goOn(t, 1000)
	way.set(true)
	redistest.WaitFor(t, patient, func() bool {
		live, refused := tallyOf(f)
		require.GreaterOrEqual(t, live, 2, "one may be out")
		return live == 2 && refused > 0
	}, "one is out, and one is kept from it")
	moreProbes(t, f.FlusterCluster, "a", 5)
	live, refused := tallyOf(f)
	assert.Equal(t, 2, live)
	l.goOn(t, 1000)
	way.set(false)
	healed := time.Now()
	waitLive(t, f.FlusterCluster, "b")
	waitLive(t, f.FlusterCluster, "c")
	r.back(healed, brisk.MaxWait)
	failed := l.finish()
	r.Calls, r.Lost, r.Longest = l.calls, len(failed), l.longest
	r.Remark = fmt.Sprintf("penalties that were refused: %d", refused)
	r.noneLost(untouched.finish())
	r.onlyOut(others)
}

// tallyOf returns how many nodes live, and how often one was kept from the penalty box.
func tallyOf(f *fleet) (live int, refused uint64) {
	for _, st := range f.Nodes() {
		if st.Live {
			live++
		}
		refused += st.Refused
	}
	return live, refused
}

// oneIncr is one command of a pipeline: INCRBY of a key of its own.
type oneIncr struct {
	key string
	by  int
	err error
}

// pipelines sends pipelines until it is stopped, and keeps what it heard.
type pipelines struct {
	longest maximum

	mu  sync.Mutex
	all []oneIncr
}

func (p *pipelines) run(t *testing.T, f *fleet, goroutine int, stopped *atomic.Bool) {
	for round := 0; !stopped.Load(); round++ {
		begun := time.Now()
		conn := f.Get()
		batch := make([]oneIncr, 60)
		for i := range batch {
			batch[i] = oneIncr{key: fmt.Sprintf("p:%d:%d:%d", goroutine, round, i), by: i + 1}
			assert.NoError(t, conn.Send("INCRBY", batch[i].key, batch[i].by))
		}
		_ = conn.Flush()
		for i := range batch {
			var n int
			n, batch[i].err = redis.Int(conn.Receive())
			if batch[i].err == nil {
				assert.Equal(t, batch[i].by, n, "another's reply, or a command that ran twice")
			}
		}
		_ = conn.Close()
		p.longest.note(time.Since(begun))
		p.mu.Lock()
		p.all = append(p.all, batch...)
		p.mu.Unlock()
	}
}

func (p *pipelines) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.all)
}

func TestRow59APipelineOverNodesOfWhichOneDiesTellsTheTruthOfEachCommand(t *testing.T) {
	eachBuilder(t, 59, "a node dies under pipelines over all of them", "kill -9, an append-only file", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk}, "--appendonly", "yes", "--appendfsync", "always")
		var p pipelines
		var stopped atomic.Bool
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() { p.run(r.t, f, g, &stopped) })
		}
		goOn := func(n int) {
			from := p.count()
			redistest.WaitFor(r.t, patient, func() bool { return p.count() >= from+n }, "%d more commands", n)
		}
		goOn(2000)
		f.servers[1].Kill()
		waitDown(r.t, f.FlusterCluster, "b")
		goOn(2000)
		f.servers[1].Restart()
		waitLive(r.t, f.FlusterCluster, "b")
		goOn(1000)
		stopped.Store(true)
		wg.Wait()
		r.Longest = p.longest.get()
		r.within(longestCall, r.Longest, "the longest pipeline")
		p.verify(r, f)
		r.onlyOut(f.FlusterCluster, "b")
	})
}

// verify holds what was said of each command against what the servers hold.
func (p *pipelines) verify(r *trial, f *fleet) {
	r.t.Helper()
	sums := p.sums(r.t, f)
	for _, s := range p.all {
		r.Calls++
		sum := sums[s.key]
		if s.err == nil {
			assert.Equal(r.t, s.by, sum, "%s was acknowledged", s.key)
			continue
		}
		r.Lost++
		r.said.print(s.err)
		var of *fluster.NodeError
		if assert.ErrorAs(r.t, s.err, &of) && r.slack() < quick.Read {
			assert.Equal(r.t, "b", of.Node, "a command of a healthy node failed: %v", s.err)
		}
		if fluster.SafeToRetry(s.err) {
			assert.Zero(r.t, sum, "%s ran: %v", s.key, s.err)
		} else {
			assert.Contains(r.t, []int{0, s.by}, sum, "%s ran twice", s.key)
		}
	}
}

// sums returns what the keys stand at, over all servers.
func (p *pipelines) sums(t *testing.T, f *fleet) map[string]int {
	t.Helper()
	sums := make(map[string]int)
	for _, s := range f.servers {
		args := make([]any, len(p.all))
		for i, one := range p.all {
			args[i] = one.key
		}
		values, err := redis.Values(s.Do("MGET", args...), nil)
		require.NoError(t, err)
		for i, v := range values {
			n, err := redis.Int(v, nil)
			if !errors.Is(err, redis.ErrNil) {
				require.NoError(t, err)
				sums[p.all[i].key] += n
			}
		}
	}
	return sums
}

func TestRow60WhoPopsFromAllNodesIsNotHeldUpByOneThatDies(t *testing.T) {
	eachBuilder(t, 60, "a node dies and returns under BLPOP on all", "kill -9, restart", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk})
		p, err := fanin.NewPopper(f.FlusterCluster, fanin.BLPop("queue"))
		require.NoError(r.t, err)
		defer func() { _, _ = p.Close() }()
		var delays maximum // of what was pushed to nodes that live
		var popped, back atomic.Int64
		ctx, cancel := context.WithCancel(r.t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			for item, err := range p.Items(ctx) {
				if err != nil {
					r.said.print(err)
					continue
				}
				if item.Value == "back" {
					back.Add(1)
					continue
				}
				at, err := strconv.ParseInt(item.Value, 10, 64)
				assert.NoError(r.t, err)
				delays.note(time.Since(time.Unix(0, at)))
				popped.Add(1)
			}
		})
		defer wg.Wait()
		defer cancel()
		push := func(n int) {
			for i := range n {
				f.servers[2*(i%2)].Do("RPUSH", "queue", time.Now().UnixNano())
			}
			r.Calls += n
		}
		push(50)
		f.servers[1].Kill()
		push(50)
		waitDown(r.t, f.FlusterCluster, "b")
		push(50)
		f.servers[1].Restart()
		f.servers[1].Do("RPUSH", "queue", "back")
		healed := time.Now()
		push(50)
		redistest.WaitFor(r.t, patient, func() bool { return back.Load() == 1 }, "the node that is back is asked")
		r.back(healed, brisk.MaxWait+brisk.Interval)
		redistest.WaitFor(r.t, patient, func() bool { return popped.Load() == int64(r.Calls) }, "all is popped")
		r.Longest, r.Remark = delays.get(), "from push to pop, at nodes that live"
		r.within(50*time.Millisecond, r.Longest, "from push to pop")
	})
}
