//go:build faults

// The rows of the network take their time, and a machine that allows what they need:
// they are for make faults, which says what it could not run.

package fluster_test

import (
	"context"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// onNetworks runs a row for pools of both kinds, each in a child process with a
// network of its own.
func onNetworks(t *testing.T, number int, fault, injected string, run func(r *trial, builder string)) {
	for _, builder := range builders {
		t.Run(builder, func(t *testing.T) {
			onNetwork(t, number, fault+": "+builder, injected, func(r *trial) { run(r, builder) })
		})
	}
}

// onNetwork runs a row in a child process with a network of its own.
func onNetwork(t *testing.T, number int, fault, injected string, run func(r *trial)) {
	if apart(t, number, fault, injected) {
		run(beginTrial(t, number, fault, injected))
	}
}

// client is the address that connections come from, and host those of the nodes.
const client = "10.9.1.1"

func host(i int) string { return fmt.Sprintf("10.9.0.%d", i+1) }

// wires is a fleet whose servers have addresses of their own, by which its cluster
// knows them. The servers stay within reach of the test at the loopback's address.
type wires struct {
	*fleet
	r    *trial
	lost map[int]func() // what mends the way to a server
}

// wire lays the ways to n servers.
func (r *trial) wire(n int) *wires {
	r.t.Helper()
	w := &wires{fleet: &fleet{}, r: r, lost: make(map[int]func())}
	ip(r.t, "addr", "add", client+"/32", "dev", "lo")
	for i := range n {
		w.reach(i)
		w.servers = append(w.servers, redistest.Start(r.t, "--bind", "0.0.0.0", "--protected-mode", "no", "--requirepass", canary))
	}
	return w
}

// open makes the cluster, with time-outs of 200 ms.
func (w *wires) open(builder string, cfg fluster.Config) {
	w.r.t.Helper()
	for i, s := range w.servers {
		node := fluster.Node{Name: nodeName(i), Addr: w.addr(i), Pool: &redis.Pool{MaxIdle: 64, DialContext: w.dial(i)}}
		if builder != builders[0] {
			var err error
			node, err = fluster.ParseNode(fmt.Sprintf("redis://:%s@%s?name=%s&%s", s.Password(), w.addr(i), nodeName(i), briefly))
			require.NoError(w.r.t, err)
		}
		cfg.Nodes = append(cfg.Nodes, node)
	}
	w.FlusterCluster = w.r.cluster(cfg)
}

func (w *wires) addr(i int) string { return fmt.Sprintf("%s:%d", host(i), w.servers[i].Port()) }

// dial is a user's dial function.
func (w *wires) dial(i int) func(context.Context) (redis.Conn, error) {
	addr := w.addr(i)
	return func(ctx context.Context) (redis.Conn, error) {
		return redis.DialContext(ctx, "tcp", addr, redis.DialPassword(canary),
			redis.DialConnectTimeout(quick.Connect), redis.DialReadTimeout(quick.Read), redis.DialWriteTimeout(quick.Write))
	}
}

// reach makes a host's address one of this machine's.
func (w *wires) reach(i int) {
	ip(w.r.t, "route", "replace", "local", host(i)+"/32", "dev", "lo", "src", client)
}

func (w *wires) cut(i int) { ip(w.r.t, "route", "del", "local", host(i)+"/32", "dev", "lo") }

// mend lets a host be reached again.
func (w *wires) mend(i int) {
	w.reach(i)
	w.lost[i]()
	delete(w.lost, i)
}

// unreachable lets the kernel say of a host that there is no way to it.
func (w *wires) unreachable(i int) {
	ip(w.r.t, "route", "add", "unreachable", host(i)+"/32")
	w.cut(i) // for while it was there it went before
	w.lost[i] = func() { ip(w.r.t, "route", "del", "unreachable", host(i)+"/32") }
}

// swallow lets all packets to a host vanish: on a cable whose other end is nobody's.
func (w *wires) swallow(i int) {
	w.cable()
	w.divert(i)
}

// cable lays a cable from near to far, once.
func (w *wires) cable() {
	t := w.r.t
	if exec.CommandContext(t.Context(), "ip", "link", "show", "near").Run() == nil {
		return
	}
	ip(t, "link", "add", "near", "address", "02:00:00:00:00:01", "type", "veth", "peer", "name", "far", "address", "02:00:00:00:00:02")
	ip(t, "link", "set", "near", "up")
	ip(t, "link", "set", "far", "up")
}

// divert sends what is meant for a host down the cable.
func (w *wires) divert(i int) {
	ip(w.r.t, "neigh", "replace", host(i), "lladdr", "02:00:00:00:00:02", "dev", "near", "nud", "permanent")
	ip(w.r.t, "route", "add", host(i)+"/32", "dev", "near", "src", client)
	w.cut(i)
	w.lost[i] = func() { ip(w.r.t, "route", "del", host(i)+"/32", "dev", "near") }
}

// stranger starts a machine of its own at the other end of the cable, which has the
// host's address too. It knows nothing of its connections, so it resets what is
// diverted to it.
func (w *wires) stranger(i int) {
	t := w.r.t
	w.cable()
	machine := exec.CommandContext(t.Context(), "cat")
	machine.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	stdin, err := machine.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, machine.Start())
	t.Cleanup(func() {
		_ = stdin.Close()
		_ = machine.Wait()
	})
	pid := fmt.Sprint(machine.Process.Pid)
	ip(t, "link", "set", "far", "netns", pid)
	for _, args := range []string{
		"link set lo up", "link set far address 02:00:00:00:00:02 up", "addr add " + host(i) + "/32 dev lo", "route add " + client + "/32 dev far",
		"neigh replace " + client + " lladdr 02:00:00:00:00:01 dev far nud permanent",
	} {
		out, err := exec.CommandContext(t.Context(), "nsenter", append([]string{"-t", pid, "-n", "ip"}, strings.Fields(args)...)...).CombinedOutput()
		require.NoError(t, err, "%s: %s", args, out)
	}
}

func TestRow17NewConnectionsIntoABlackHoleAreFewAndEndSoon(t *testing.T) {
	onNetworks(t, 17, "new connections vanish", "a route to nowhere", func(r *trial, builder string) {
		w := r.wire(3)
		w.swallow(1) // before anybody has a connection
		w.open(builder, fluster.Config{Health: brisk})
		l := startLoad(r.t, w.FlusterCluster, callers)
		waitDown(r.t, w.FlusterCluster, "b")
		l.goOn(r.t, 5000)
		w.mend(1)
		healed := time.Now()
		waitLive(r.t, w.FlusterCluster, "b")
		r.back(healed, brisk.MaxWait)
		l.goOn(r.t, 2000)
		failed := r.ended(w.fleet, l, false)
		assert.LessOrEqual(r.t, most(failed, "b"), 2+again(r.slack()))
		for _, call := range failed {
			assert.True(r.t, fluster.SafeToRetry(call.err) || !r.calm(), "%v", call.err)
		}
		r.onlyOut(w.FlusterCluster, "b")
	})
}

func TestRow17FewDialABlackHoleAtOnce(t *testing.T) {
	onNetwork(t, 17, "new connections vanish: how many dial", "a route to nowhere", func(r *trial) {
		w := r.wire(3)
		w.swallow(1)
		w.open(builders[0], fluster.Config{Health: brisk})
		var dials atWork
		pools := redis.Pool{DialContext: w.dial(1)}
		nodes := []fluster.Node{{Name: "b", Pool: &redis.Pool{DialContext: func(ctx context.Context) (redis.Conn, error) {
			dials.begin()
			defer dials.end()
			return pools.DialContext(ctx)
		}}}}
		c := r.cluster(fluster.Config{Nodes: nodes, Health: brisk})
		var failed atomic.Int64
		stop := atOnce(callers, func(int) bool {
			begun := time.Now()
			_, err := do(c, "any", "INCR")
			r.within(longestCall, time.Since(begun), "a call")
			failed.Add(1)
			return assert.Error(r.t, err) && status(r.t, c, "b").Live
		})
		waitDown(r.t, c, "b")
		stop()
		r.Calls, r.Lost = int(failed.Load()), int(failed.Load())
		r.Remark = fmt.Sprintf("at most %d dial at once", dials.most.Load())
		if r.calm() { // a dial that hangs for long gives its place away
			assert.LessOrEqual(r.t, dials.most.Load(), int64(8+1), "eight callers, and a probe")
		}
	})
}

func TestRow18ABlackHoleUnderLoadFailsEachCallerAtMostOnce(t *testing.T) {
	onNetworks(t, 18, "what is sent vanishes", "a route to nowhere", func(r *trial, builder string) {
		w := r.wire(3)
		w.open(builder, fluster.Config{Health: brisk})
		r.meet(w.fleet, quick.Read+100*time.Millisecond, false, func() { w.swallow(1) }, func() { w.mend(1) })
	})
}

func TestRow19AWorkerWhoBlocksOnAConnectionThatIsHalfOpenIsFreed(t *testing.T) {
	onNetworks(t, 19, "the peer of BLPOP 0 vanishes", "a route to nowhere", func(r *trial, builder string) {
		t := r.t
		w := r.wire(3)
		w.open(builder, fluster.Config{})
		require.NoError(t, w.WaitReady(t.Context()))
		pool, err := w.GetClient(keyOf(t, w.FlusterCluster, "b"))
		require.NoError(t, err)
		conn := pool.Get()
		defer conn.Close()
		freed := make(chan error, 1)
		go func() {
			_, err := redis.DoWithTimeout(conn, 0, "BLPOP", "queue", 0)
			freed <- err
		}()
		redistest.WaitFor(t, patient, func() bool { return w.servers[1].Info("clients")["blocked_clients"] == "1" }, "the worker blocks")
		begun := time.Now()
		w.swallow(1)
		err = <-freed
		r.Calls, r.Lost, r.Longest = 1, 1, time.Since(begun)
		r.said.print(err)
		assert.True(t, fluster.MaybeExecuted(err), "%v", err)
		r.within(5*time.Second, r.Longest, "until the worker is free")
		w.mend(1)
		healed := time.Now()
		waitLive(t, w.FlusterCluster, "b")
		r.back(healed, health.DefaultMaxWait)
		r.onlyOut(w.FlusterCluster, "b")
	})
}

func TestRow20ResetsUnderLoadFailEachCallerAtMostOnce(t *testing.T) {
	onNetworks(t, 20, "what is sent is answered by resets", "a route to a stranger", func(r *trial, builder string) {
		if _, err := exec.LookPath("nsenter"); err != nil {
			r.NotHere(r.t, "there is no nsenter command")
		}
		w := r.wire(3)
		w.stranger(1)
		w.open(builder, fluster.Config{Health: brisk})
		r.meet(w.fleet, 300*time.Millisecond, false, func() { w.divert(1) }, func() { w.mend(1) })
	})
}

func TestRow21ALinkThatIsDownForAMomentHasNoLastingEffect(t *testing.T) {
	onNetworks(t, 21, "the link to all nodes is down for 300 ms", "ip link set down, up", func(r *trial, builder string) {
		t := r.t
		w := r.wire(3)
		w.open(builder, fluster.Config{Health: brisk})
		before := homes(t, w.FlusterCluster)
		l := startLoad(t, w.FlusterCluster, callers)
		l.goOn(t, 2000)
		ip(t, "link", "set", "lo", "down")
		time.Sleep(300 * time.Millisecond) // how long the fault lasts
		ip(t, "link", "set", "lo", "up")
		for i := range w.servers {
			w.reach(i)
		}
		healed := time.Now()
		for range 2 { // a call that began before may yet time out
			redistest.WaitFor(t, patient, func() bool {
				return !slices.ContainsFunc(w.Nodes(), func(st fluster.NodeStatus) bool { return !st.Live })
			}, "all nodes are live")
			r.back(healed, brisk.MaxWait+brisk.Interval)
			l.goOn(t, 2000)
		}
		r.ended(w.fleet, l, false)
		r.Remark = "who fails at once calls again at once"
		redistest.WaitFor(t, patient, func() bool { return maps.Equal(before, homes(t, w.FlusterCluster)) }, "every key is at home again")
	})
}

// Each client acts on what it sees. While views differ, so do homes: as long as the
// partition lasts and no longer, and only of the keys of the node that one of them
// has lost.
func TestRow24ClientsThatSeeDifferentNodesAgreeAgainAfterwards(t *testing.T) {
	onNetwork(t, 24, "one client sees a node, another does not", "a route to nowhere", func(r *trial) {
		t := r.t
		w := r.wire(3)
		w.open(builders[1], fluster.Config{Health: brisk})
		other := &fleet{servers: w.servers}
		other.FlusterCluster = r.cluster(fluster.Config{Nodes: r.nodes(w.servers, builders[1]), Health: brisk})
		before := homes(t, w.FlusterCluster)
		require.True(t, maps.Equal(before, homes(t, other.FlusterCluster)))
		torn, whole := startLoad(t, w.FlusterCluster, 8), startLoad(t, other.FlusterCluster, 8)
		torn.goOn(t, 500)
		w.swallow(1)
		waitDown(t, w.FlusterCluster, "b")
		torn.goOn(t, 500)
		whole.goOn(t, 500)
		diverged := 0
		for key, at := range homes(t, w.FlusterCluster) {
			if at != before[key] {
				require.True(t, before[key] == "b" || !r.calm(), "only a lost node's keys move")
				diverged++
			}
		}
		r.onlyOut(other.FlusterCluster)
		assert.Positive(t, status(t, w.FlusterCluster, "b").Penalties, "who lost the node shows it")
		w.mend(1)
		healed := time.Now()
		waitLive(t, w.FlusterCluster, "b")
		r.back(healed, brisk.MaxWait)
		redistest.WaitFor(t, patient, func() bool { return maps.Equal(before, homes(t, w.FlusterCluster)) }, "every key is at home again")
		if lost := whole.finish(); r.calm() {
			assert.Empty(t, lost, "who sees all nodes loses nothing")
		}
		failed := torn.finish()
		for _, call := range failed {
			r.said.print(call.err)
		}
		r.Calls, r.Lost, r.Longest = torn.calls+whole.calls, len(failed), max(torn.longest, whole.longest)
		r.Remark = fmt.Sprintf("meanwhile %d of %d keys have two homes", diverged, len(before))
		r.within(longestCall, r.Longest, "the longest call")
		r.rightOwners(w.fleet)
	})
}

func TestRow25ARouteThatIsGonePutsOutNoMoreThanTheBound(t *testing.T) {
	onNetwork(t, 25, "there is no route, to one node and then to all", "ip route add unreachable", func(r *trial) {
		t := r.t
		w := r.wire(3)
		cfg := fluster.Config{Health: brisk}
		cfg.Health.MaxDown = 0.5
		w.open(builders[1], cfg)
		l := startLoad(t, w.FlusterCluster, 8)
		l.goOn(t, 500)
		w.unreachable(1)
		waitDown(t, w.FlusterCluster, "b")
		l.goOn(t, 500)
		r.onlyOut(w.FlusterCluster, "b")
		w.unreachable(0)
		w.unreachable(2)
		redistest.WaitFor(t, patient, func() bool {
			kept, live := 0, 0
			for _, st := range w.Nodes() {
				if st.Live {
					live++
				}
				if st.Refused > 0 {
					kept++
				}
			}
			require.GreaterOrEqual(t, live, 2)
			return kept >= 2
		}, "the bound keeps the others")
		for i := range w.servers {
			w.mend(i)
		}
		healed := time.Now()
		waitLive(t, w.FlusterCluster, "b")
		r.back(healed, brisk.MaxWait)
		l.goOn(t, 500)
		r.ended(w.fleet, l, false)
		r.onlyOut(w.FlusterCluster, "b")
	})
}
