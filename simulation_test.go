package fluster_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/ring"
)

// A simulation is a fleet in fake time: whole clusters, over redigo's connections
// and pipes, to fake servers. It runs in a bubble.
type simulation struct {
	begun   time.Time
	servers []*redistest.Fake
	clients []*simulatedClient
	homes   []string // of the keys that are asked for
}

// simulatedClient is one process of the fleet.
type simulatedClient struct {
	*fluster.FlusterCluster
	cut []atomic.Bool // by node: what is sent there is lost

	mu       sync.Mutex
	dials    []dialOfSim
	releases []fluster.Event
	out      time.Duration // that nodes were out, in all
	since    map[string]time.Time
}

// dialOfSim is a dial, that is, a probe of a node which is out.
type dialOfSim struct {
	node int
	at   time.Time
}

// builtOnce is a placement for one list of nodes, laid out once for all clients.
type builtOnce struct{ ring.Ring }

func (b builtOnce) Build([]ring.Node) (ring.Ring, error) { return b.Ring, nil }

func newSimulation(t *testing.T, nodes, clients int, cfg health.Config) *simulation {
	s := &simulation{begun: time.Now()}
	members := make([]ring.Node, nodes)
	for i := range nodes {
		s.servers = append(s.servers, redistest.NewPipeFake(t))
		members[i].Name = nameOfSim(i)
	}
	layout, err := ring.Balanced{}.Build(members)
	require.NoError(t, err)
	for i := range clients {
		var p ring.Placement = builtOnce{layout}
		order := rand.Perm(nodes)
		if i%16 == 0 { // some lay out for themselves, from a list in their own order
			p = ring.Balanced{}
		} else {
			slices.Sort(order)
		}
		s.clients = append(s.clients, s.newClient(t, order, p, cfg))
	}
	_, s.homes = s.clients[0].placed()
	return s
}

func nameOfSim(node int) string { return fmt.Sprintf("node-%03d", node) }

// newClient makes a client of all nodes, listed in that order.
func (s *simulation) newClient(t *testing.T, order []int, p ring.Placement, cfg health.Config) *simulatedClient {
	c := &simulatedClient{cut: make([]atomic.Bool, len(order)), since: make(map[string]time.Time)}
	nodes := make([]fluster.Node, len(order))
	for i, node := range order {
		name, dial := nameOfSim(node), redis.DialContextFunc(s.dialer(c, node))
		nodes[i] = fluster.Node{Name: name, Addr: name, Pool: &redis.Pool{
			MaxIdle: 2,
			DialContext: func(ctx context.Context) (redis.Conn, error) {
				return redis.DialContext(ctx, "tcp", name, dial,
					redis.DialConnectTimeout(time.Second), redis.DialReadTimeout(time.Second), redis.DialWriteTimeout(time.Second))
			},
		}}
	}
	var err error
	c.FlusterCluster, err = fluster.New(fluster.Config{Nodes: nodes, Placement: p, Health: cfg, OnEvent: c.note})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// dialer reaches a server as one client sees it.
func (s *simulation) dialer(c *simulatedClient, node int) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		c.mu.Lock()
		c.dials = append(c.dials, dialOfSim{node, time.Now()})
		c.mu.Unlock()
		if c.cut[node].Load() {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Net: network, Err: os.ErrDeadlineExceeded}
		}
		conn, err := s.servers[node].DialContext(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &cuttable{conn, &c.cut[node]}, nil
	}
}

// cuttable is a connection on a way that may lose what is sent.
type cuttable struct {
	net.Conn
	cut *atomic.Bool
}

func (c *cuttable) Write(p []byte) (int, error) {
	if c.cut.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// note is the client's event callback.
func (c *simulatedClient) note(e fluster.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !e.Live {
		c.since[e.Node.Name] = e.At
		return
	}
	c.releases = append(c.releases, e)
	c.out += e.At.Sub(c.since[e.Node.Name])
}

// probes returns how many probes the client has made of all nodes.
func (c *simulatedClient) probes() (n uint64) {
	for _, st := range c.Nodes() {
		n += st.Probes
	}
	return n
}

// probes returns how many probes there were.
func (s *simulation) probes() (n uint64) {
	for _, c := range s.clients {
		n += c.probes()
	}
	return n
}

// assertOnePlacement checks that clients who see the same nodes live place alike, and
// that all have the keys of nodes that they see live at their homes. It returns who is
// where, by what is seen.
func (s *simulation) assertOnePlacement(t *testing.T) (places map[string][]string) {
	t.Helper()
	places = make(map[string][]string)
	for _, c := range s.clients {
		view, placed := c.placed()
		if before, ok := places[view]; ok {
			require.Equal(t, before, placed, "at %v", time.Now())
			continue
		}
		places[view] = placed
		for i, home := range s.homes {
			if strings.Contains(view, home) {
				require.Equal(t, home, placed[i], "at %v", time.Now())
			}
		}
	}
	return places
}

// placed returns which nodes are live, and the nodes of some keys then.
func (c *simulatedClient) placed() (view string, nodes []string) {
	for {
		live, changed, _ := c.Live()
		nodes = nil
		for key := range 50 {
			n, _ := c.Locate(fmt.Sprint("key:", key))
			nodes = append(nodes, n.Name)
		}
		select {
		case <-changed:
		default:
			names := strings.Fields(strings.Trim(fmt.Sprint(live), "[]"))
			slices.Sort(names)
			return strings.Join(names, " "), nodes
		}
	}
}

// assertAllLive checks that every client has all nodes back.
func (s *simulation) assertAllLive(t *testing.T, at string) {
	t.Helper()
	for i, c := range s.clients {
		for _, st := range c.Nodes() {
			require.True(t, st.Live, "%s, client %d: %v", at, i, st)
		}
	}
}

// fates runs each server through faults of its own until the bubble's clock shows
// end, and returns when all is well again.
func (s *simulation) fates(seed uint64, end time.Time) {
	var wg sync.WaitGroup
	for node := range s.servers {
		rnd := rand.New(rand.NewPCG(seed, uint64(node)))
		wg.Go(func() { s.fate(rnd, node, end) })
	}
	wg.Wait()
}

// fate lets a server die, freeze, flap or vanish from some clients' sight, for a
// second to ten minutes, every half hour or so.
func (s *simulation) fate(rnd *rand.Rand, node int, end time.Time) {
	server := s.servers[node]
	for {
		pause := time.Duration(rnd.ExpFloat64() * float64(30*time.Minute))
		length := min(time.Duration(1+rnd.ExpFloat64()*90)*time.Second, 10*time.Minute)
		if time.Now().Add(pause + length).After(end) {
			return
		}
		time.Sleep(pause)
		switch rnd.IntN(4) {
		case 0:
			server.Crash()
			time.Sleep(length)
			server.Resume()
		case 1:
			server.Hang()
			time.Sleep(length)
			server.Resume()
		case 2:
			s.flap(server, length)
		case 3:
			s.part(rnd, node, length)
		}
	}
}

func (s *simulation) flap(server *redistest.Fake, length time.Duration) {
	const half = 3 * time.Second
	for range length / (2 * half) {
		server.Crash()
		time.Sleep(half)
		server.Resume()
		time.Sleep(half)
	}
}

// part keeps a third of the clients from reaching a node.
func (s *simulation) part(rnd *rand.Rand, node int, length time.Duration) {
	var cut []*simulatedClient
	for _, c := range s.clients {
		if rnd.IntN(3) == 0 {
			cut = append(cut, c)
			c.cut[node].Store(true)
		}
	}
	time.Sleep(length)
	for _, c := range cut {
		c.cut[node].Store(false)
	}
}
