package fluster_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/ring"
)

// A resolver that is out keeps every node from being dialed. The nodes are fine,
// as connections that are there show.
func TestAResolversOutagePutsNoNodeOut(t *testing.T) {
	var broken atomic.Bool
	servers := startServers(t, 3)
	nodes := nodesOf(servers, quick)
	for i, s := range servers {
		dial := s.Pool(quick).DialContext
		nodes[i].Pool = &redis.Pool{DialContext: func(ctx context.Context) (redis.Conn, error) {
			if broken.Load() {
				return nil, &net.OpError{Op: "dial", Net: "tcp", Err: &net.DNSError{Err: "server misbehaving", Name: "redis.internal", IsTemporary: true}}
			}
			return dial(ctx)
		}}
	}
	c := newCluster(t, fluster.Config{Nodes: nodes})
	require.NoError(t, c.WaitReady(t.Context()))
	held := nodes[0].Pool.Get()
	defer held.Close()

	broken.Store(true)
	for range 100 {
		_, err := do(c, "any", "INCR")
		require.ErrorContains(t, err, "server misbehaving")
		require.True(t, fluster.SafeToRetry(err))
	}
	_, err := held.Do("PING")
	assert.NoError(t, err)
	requireNoPenalties(t, c)
	broken.Store(false)
	_, err = do(c, "any", "INCR")
	assert.NoError(t, err)
}

// A name server that is silent holds a dial up until its own time-out, and no
// longer.
func TestRow26ANameServerThatHangsHoldsNobodyUpForLong(t *testing.T) {
	r := beginTrial(t, 26, "a name server hangs", "a resolver that never answers")
	nodes := nodesOf(startServers(t, 2), quick)
	awake := make(chan struct{})
	t.Cleanup(func() { close(awake) })
	resolver := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		<-awake
		return nil, errors.New("the name server is gone")
	}}
	dialer := &net.Dialer{Timeout: quick.Connect, Resolver: resolver}
	nodes = append(nodes, fluster.Node{Name: "lost", Pool: &redis.Pool{DialContext: func(ctx context.Context) (redis.Conn, error) {
		nc, err := dialer.DialContext(ctx, "tcp", "lost.internal:6379")
		if err != nil {
			return nil, err
		}
		return redis.NewConn(nc, quick.Read, quick.Write), nil
	}}})
	c := r.cluster(fluster.Config{Nodes: nodes})
	begun := time.Now()
	_, err := do(c, keyOf(t, c, "lost"), "INCR")
	r.Longest = time.Since(begun)
	require.Error(t, err)
	r.within(quick.Connect+100*time.Millisecond, r.Longest, "the longest call")
	waitDown(t, c, "lost")
	_, err = do(c, "any", "INCR")
	assert.NoError(t, err)
	r.onlyOut(c, "lost")
}

// What was dialed while a node answered, only to refuse, hangs when it then
// freezes.
func TestANodeThatRefusesAndThenFreezesLetsNobodyHang(t *testing.T) {
	servers := startServers(t, 2)
	o := quick
	o.Read = -1 // none
	f := fleetOf(t, servers, o, fluster.Config{})
	key := keyOf(t, f.FlusterCluster, "b")
	pool, err := f.GetClient(key)
	require.NoError(t, err)
	servers[1].Do("REPLICAOF", "127.0.0.1", servers[0].Port())
	_, err = do(f.FlusterCluster, key, "SET", "value")
	require.ErrorContains(t, err, "READONLY")
	require.False(t, status(t, f.FlusterCluster, "b").Live)

	conn := pool.Get() // it is out, and answers reads
	defer conn.Close()
	_, err = conn.Do("GET", key)
	require.NoError(t, err)
	servers[1].Stop()
	_, err = conn.Do("GET", key)
	require.ErrorContains(t, err, "penalty box")
	_, err = pool.GetContext(t.Context())
	assert.ErrorContains(t, err, "penalty box")
}

// Dial functions that hang must not keep others from a node that lives.
func TestHungDialsDoNotLockOthersOut(t *testing.T) {
	s := startServers(t, 1)[0]
	var hung atomic.Int64
	var hanging atomic.Bool
	release := make(chan struct{})
	plain := s.Pool(quick).DialContext
	pool := &redis.Pool{MaxIdle: 8, Dial: func() (redis.Conn, error) {
		if hanging.Load() {
			hung.Add(1)
			<-release
		}
		return plain(context.Background())
	}}
	c := newCluster(t, fluster.Config{Nodes: []fluster.Node{{Name: "a", Pool: pool}}})
	require.NoError(t, c.WaitReady(t.Context()))

	hanging.Store(true)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { _ = pool.Get().Close() })
	}
	redistest.WaitFor(t, patient, func() bool { return hung.Load() == 8 }, "eight dials hang")
	hanging.Store(false)
	conn, err := pool.GetContext(t.Context())
	assert.NoError(t, err)
	assert.NoError(t, conn.Close())
	close(release)
	wg.Wait()
}

// slowView is a placement that takes its time when a node is lost.
type slowView struct{ ring.Placement }

func (p slowView) Build(nodes []ring.Node) (ring.Ring, error) {
	r, err := p.Placement.Build(nodes)
	return slowRing{r}, err
}

type slowRing struct{ ring.Ring }

func (r slowRing) View(live []bool) ring.View {
	if live != nil {
		time.Sleep(20 * time.Millisecond)
	}
	return r.Ring.View(live)
}

func TestNobodyIsRefusedWhileTheNextSnapshotIsBuilt(t *testing.T) {
	f := startFleet(t, 3, quick, fluster.Config{Placement: slowView{ring.Balanced{}}})
	b := f.servers[1]
	in := faultUnderLoad(t, f, b.Kill, b.Restart)
	requireOnceEach(t, in, 300*time.Millisecond)
}

// Every transition is told, also one that a caller brings about as the cluster
// closes.
func TestATransitionAtCloseIsToldOrDidNotHappen(t *testing.T) {
	servers := startServers(t, 1)
	for range 300 {
		var told atomic.Int64
		nodes := nodesOf(servers, quick)
		broken := errors.New("never mind")
		var down atomic.Bool
		dial := nodes[0].Pool.DialContext
		nodes[0].Pool.DialContext = func(ctx context.Context) (redis.Conn, error) {
			if down.Load() {
				return nil, &net.OpError{Op: "dial", Net: "unix", Err: &net.AddrError{Err: broken.Error()}}
			}
			return dial(ctx)
		}
		c, err := fluster.New(fluster.Config{Nodes: nodes, OnEvent: func(fluster.Event) { told.Add(1) }, Health: health.Config{Interval: time.Hour}})
		require.NoError(t, err)
		down.Store(true)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = do(c, "any", "INCR")
		}()
		require.NoError(t, c.Close())
		<-done
		require.Equal(t, int64(c.Nodes()[0].Penalties), told.Load())
	}
}

// redigo forgets that a connection is in a transaction when EXEC is passed down,
// sent or not.
func TestATransactionWhoseContextEndedIsNotHandedToTheNextCaller(t *testing.T) {
	for name, f := range map[string]*fleet{
		"user-built pool": startFleet(t, 1, quick, fluster.Config{}),
		"own pool":        openFleet(t, 1, "", fluster.Config{}),
	} {
		for _, end := range []string{"EXEC", "DISCARD", "UNWATCH"} {
			t.Run(name+" "+end, func(t *testing.T) {
				pool, err := f.GetClient("any")
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(t.Context())
				conn := pool.Get()
				if end == "UNWATCH" {
					_, err = conn.Do("WATCH", "any")
				} else {
					err = conn.Send("MULTI")
				}
				require.NoError(t, err)
				cancel()
				_, err = redis.DoContext(conn, ctx, end)
				require.ErrorIs(t, err, context.Canceled)
				require.NoError(t, conn.Close())

				n, err := do(f.FlusterCluster, "next:"+name+end, "INCR")
				require.NoError(t, err)
				assert.Equal(t, int64(1), n)
			})
		}
	}
}
