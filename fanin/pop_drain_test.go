package fanin_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

const (
	drainProducers = 8
	drainWorkers   = 16
)

// drain is producers and workers on a queue, and what is known of each item.
type drain struct {
	site  *site
	items int

	push    func(n fluster.Node, id string) error
	named   func(fanin.Item) string      // which item it is
	drained func(*redistest.Server) bool // nothing is left to be popped

	mu      sync.Mutex
	pushed  map[string]string   // acknowledged, and at which node
	doubted map[string]bool     // perhaps pushed twice
	handled map[string][]string // by whom, each time
	unsure  map[string]int      // MaybeExecuted errors of pops, by node
	others  []error             // all other errors
}

func newDrain(t *testing.T) *drain {
	return &drain{
		site:  openSite(t, 3, "", "--appendonly", "yes", "--appendfsync", "always"),
		items: setting(t, "QUEUE_ITEMS", 2400),
		push: func(n fluster.Node, id string) error {
			_, err := at(n, "RPUSH", "q", id)
			return err
		},
		named:   func(it fanin.Item) string { return it.Value },
		drained: func(s *redistest.Server) bool { return s.Do("LLEN", "q") == int64(0) },
		pushed:  map[string]string{}, doubted: map[string]bool{},
		handled: map[string][]string{}, unsure: map[string]int{},
	}
}

// produce pushes one producer's share, each item until that is acknowledged.
func (d *drain) produce(producer int) {
	for n := producer; n < d.items; n += drainProducers {
		id := fmt.Sprint("item-", n)
		for {
			node, err := d.site.Locate(id)
			if err == nil {
				err = d.push(node, id)
			}
			if d.notePush(id, node.Name, err) {
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
}

func (d *drain) notePush(id, node string, err error) (done bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if fluster.MaybeExecuted(err) {
		d.doubted[id] = true
	}
	if err == nil {
		d.pushed[id] = node
	}
	return err == nil
}

func (d *drain) handle(worker, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handled[id] = append(d.handled[id], worker)
}

func (d *drain) noteError(it fanin.Item, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if fluster.MaybeExecuted(err) {
		d.unsure[it.Node.Name]++
	} else {
		d.others = append(d.others, err)
	}
}

func (d *drain) pushes() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.pushed)
}

func (d *drain) missing() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []string
	for id := range d.pushed {
		if len(d.handled[id]) == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// work takes items with contexts that end at random, until ctx ends.
func (d *drain) work(ctx context.Context, worker string, p *fanin.Popper, ack func(fanin.Item)) {
	for ctx.Err() == nil {
		short, cancel := context.WithTimeout(ctx, rand.N(20*time.Millisecond))
		for it, err := range p.Items(short) {
			if err != nil {
				d.noteError(it, err)
				continue
			}
			d.handle(worker, d.named(it))
			ack(it)
		}
		cancel()
	}
}

// run lets everybody work, kills node b with SIGKILL on the way and lets it live again,
// and returns when the queue is empty everywhere.
func (d *drain) run(t *testing.T, begin func(ctx context.Context, workers *sync.WaitGroup)) {
	ctx, cancel := context.WithCancel(t.Context())
	var producers, workers sync.WaitGroup
	defer func() { cancel(); workers.Wait() }()
	begin(ctx, &workers)
	for i := range drainProducers {
		producers.Go(func() { d.produce(i) })
	}
	redistest.WaitFor(t, longEnough, func() bool { return d.pushes() >= d.items/3 }, "a third of the pushes")
	d.site.kill(t, 1)
	redistest.WaitFor(t, longEnough, func() bool { return d.pushes() >= d.items/2 }, "half of the pushes")
	d.site.restart(t, 1)
	producers.Wait()
	for _, s := range d.site.servers {
		redistest.WaitFor(t, longEnough, func() bool { return d.drained(s) }, "an empty queue")
	}
}

// requireHonest checks what holds for every drain: nothing was handled twice or out of
// nowhere, but for what was perhaps pushed twice.
func (d *drain) requireHonest(t *testing.T) {
	for id, by := range d.handled {
		require.True(t, len(by) == 1 && d.pushed[id] != "" || d.doubted[id], "%s was handled by %v", id, by)
	}
	t.Logf("%d items, %d perhaps pushed twice, unsure pops %v, %d missing, other errors %v",
		len(d.pushed), len(d.doubted), d.unsure, len(d.missing()), d.others)
}

func at(node fluster.Node, cmd string, args ...any) (any, error) {
	conn := node.Pool.Get()
	defer conn.Close()
	return conn.Do(cmd, args...)
}

func TestAQueueThatIsAcknowledgedLosesNothing(t *testing.T) {
	d := newDrain(t)
	begun := time.Now()
	d.run(t, func(ctx context.Context, workers *sync.WaitGroup) {
		for i := range drainWorkers {
			name := fmt.Sprint("worker-", i)
			p := pop(t, d.site.FlusterCluster, fanin.BLMove("q", "taken:"+name, "LEFT", "RIGHT"))
			workers.Go(func() {
				d.work(ctx, name, p, func(it fanin.Item) { _, _ = at(it.Node, "LREM", "taken:"+name, 1, it.Value) })
			})
		}
	})
	t.Log("took", time.Since(begun))
	recovered := map[string]int{}
	for i := range drainWorkers {
		d.recover(t, fmt.Sprint("worker-", i), recovered)
	}
	d.requireHonest(t)
	require.Empty(t, d.missing())
	for node, n := range recovered {
		require.LessOrEqual(t, n, d.unsure[node], "items that were taken at %s without a word", node)
	}
}

// recover handles what a worker had taken and did not hear of, and counts it by node.
// What it handled and could not acknowledge is there as well.
func (d *drain) recover(t *testing.T, worker string, recovered map[string]int) {
	for _, n := range d.site.Nodes() {
		left, err := redis.Strings(at(n.Node, "LRANGE", "taken:"+worker, 0, -1))
		require.NoError(t, err)
		for _, id := range left {
			if by := d.handled[id]; len(by) > 0 && by[len(by)-1] == worker {
				continue
			}
			recovered[n.Name]++
			d.handle(worker, id)
		}
	}
}

func TestAStreamWhoseGroupAcknowledgesLosesNothing(t *testing.T) {
	const count = 3
	d := newDrain(t)
	d.push = func(n fluster.Node, id string) error {
		_, err := at(n, "XADD", "q", "*", "id", id)
		return err
	}
	d.named = func(it fanin.Item) string { return it.Fields["id"] }
	d.drained = func(s *redistest.Server) bool {
		group, err := s.Try("XINFO", "GROUPS", "q")
		return err == nil && delivered(t, group) == lastOf(t, s)
	}
	d.run(t, func(ctx context.Context, workers *sync.WaitGroup) {
		for i := range drainWorkers {
			name := fmt.Sprint("worker-", i)
			p := pop(t, d.site.FlusterCluster, fanin.XReadGroup{
				Group: "g", Consumer: name, Streams: []string{"q"}, Count: count, Create: "0",
			})
			workers.Go(func() {
				d.work(ctx, name, p, func(it fanin.Item) { _, _ = at(it.Node, "XACK", "q", "g", it.ID) })
			})
		}
	})
	recovered := map[string]int{}
	for i := range drainWorkers {
		d.recoverPending(t, fmt.Sprint("worker-", i), recovered)
	}
	d.requireHonest(t)
	require.Empty(t, d.missing())
	for node, n := range recovered {
		require.LessOrEqual(t, n, count*d.unsure[node], "entries that were delivered at %s without a word", node)
	}
}

// delivered returns the newest entry that the only group of a stream was given.
func delivered(t *testing.T, groups any) string {
	all, err := redis.Values(groups, nil)
	require.NoError(t, err)
	if len(all) == 0 {
		return ""
	}
	group, err := redis.Values(all[0], nil)
	require.NoError(t, err)
	for i := 0; i+1 < len(group); i += 2 {
		if name, _ := redis.String(group[i], nil); name == "last-delivered-id" {
			id, err := redis.String(group[i+1], nil)
			require.NoError(t, err)
			return id
		}
	}
	return ""
}

// lastOf returns the newest entry of a server's stream; 0-0 if there is none.
func lastOf(t *testing.T, s *redistest.Server) string {
	newest, err := redis.Values(s.Do("XREVRANGE", "q", "+", "-", "COUNT", 1), nil)
	require.NoError(t, err)
	if len(newest) == 0 {
		return "0-0"
	}
	entry, err := redis.Values(newest[0], nil)
	require.NoError(t, err)
	id, err := redis.String(entry[0], nil)
	require.NoError(t, err)
	return id
}

// recoverPending is recover for entries that a consumer was given.
func (d *drain) recoverPending(t *testing.T, consumer string, recovered map[string]int) {
	for _, n := range d.site.Nodes() {
		streams, err := redis.Values(at(n.Node, "XREADGROUP", "GROUP", "g", consumer, "STREAMS", "q", "0"))
		require.NoError(t, err)
		stream, err := redis.Values(streams[0], nil)
		require.NoError(t, err)
		entries, err := redis.Values(stream[1], nil)
		require.NoError(t, err)
		for _, e := range entries {
			entry, err := redis.Values(e, nil)
			require.NoError(t, err)
			fields, err := redis.StringMap(entry[1], nil)
			require.NoError(t, err)
			id := fields["id"]
			if by := d.handled[id]; len(by) > 0 && by[len(by)-1] == consumer {
				continue
			}
			recovered[n.Name]++
			d.handle(consumer, id)
		}
	}
}

func TestAQueueThatIsNotAcknowledgedLosesWhatItSaysItMay(t *testing.T) {
	d := newDrain(t)
	d.run(t, func(ctx context.Context, workers *sync.WaitGroup) {
		for range drainWorkers / 4 {
			p := pop(t, d.site.FlusterCluster, fanin.BLPop("q"))
			for range 4 {
				workers.Go(func() { d.work(ctx, "worker", p, func(fanin.Item) {}) })
			}
		}
	})
	d.requireHonest(t)
	byNode := map[string]int{}
	for _, id := range d.missing() {
		byNode[d.pushed[id]]++
	}
	for node, n := range byNode {
		assert.LessOrEqual(t, n, d.unsure[node], "items that are missing at %s", node)
	}
}

func TestNothingIsLostWhenContextsEndAndLoopsAreLeft(t *testing.T) {
	s := openSite(t, 3, "")
	p := pop(t, s.FlusterCluster, fanin.BLPop("q"))
	const items = 1500
	ctx, cancel := context.WithCancel(t.Context())
	var producer sync.WaitGroup
	defer func() { cancel(); producer.Wait() }()
	producer.Go(func() {
		for i := 0; i < items && ctx.Err() == nil; i++ {
			_, _ = s.servers[i%3].Try("RPUSH", "q", i)
		}
	})
	got := map[string]int{}
	unsure, begun := 0, time.Now()
	for len(got)+unsure < items {
		require.Less(t, time.Since(begun), longEnough, "only %d items came, and %d errors", len(got), unsure)
		short, cancel := context.WithTimeout(t.Context(), rand.N(2*time.Millisecond))
		for it, err := range p.Items(short) {
			if fluster.MaybeExecuted(err) { // on a very slow machine
				unsure++
			} else if err == nil {
				got[it.Value]++
			}
			if rand.N(10) == 0 {
				break
			}
		}
		cancel()
		if rand.N(20) == 0 {
			time.Sleep(rand.N(40 * time.Millisecond))
		}
	}
	t.Logf("%d items, %d unsure", len(got), unsure)
	for id, n := range got {
		require.Equal(t, 1, n, "item %s", id)
	}
}
