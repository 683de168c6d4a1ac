package faults_test

import (
	"context"
	"errors"
	"fmt"
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

// drain is producers and workers on a queue that stands on every node, and what is
// known of each item.
type drain struct {
	*arena
	producers crew

	mu      sync.Mutex
	next    int
	pushed  map[string]string // where an item was acknowledged
	doubted map[string]bool   // may have been pushed besides, or acknowledged twice
	popped  map[string]int
	unsure  map[string]int // pops at a node that may have taken an item
}

func newDrain(a *arena) *drain {
	return &drain{
		arena: a, pushed: map[string]string{}, doubted: map[string]bool{}, popped: map[string]int{}, unsure: map[string]int{},
	}
}

// produce pushes items, each until that is acknowledged.
func (d *drain) produce(int) {
	d.mu.Lock()
	d.next++
	id := fmt.Sprint("item-", d.next)
	d.mu.Unlock()
	for !d.push(id) {
		time.Sleep(time.Millisecond) // it paces itself
	}
	time.Sleep(time.Millisecond)
}

func (d *drain) push(id string) (done bool) {
	node, err := d.Locate(id)
	if err == nil {
		begun := time.Now()
		_, err = at(node, "RPUSH", "jobs", id)
		d.noteCall(time.Since(begun))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.pushed[id] = node.Name
		return true
	}
	d.secretless(err)
	if fluster.MaybeExecuted(err) {
		d.doubted[id] = true
	}
	return false
}

func (d *drain) noteCall(took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.Calls++
	d.Longest = max(d.Longest, took)
}

// take consumes until ctx ends, and then what is held.
func (d *drain) take(ctx context.Context, p *fanin.Popper, handle func(fanin.Item)) {
	for item, err := range p.Items(ctx) {
		if err == nil {
			handle(item)
			continue
		}
		d.secretless(err)
		d.mu.Lock()
		if fluster.MaybeExecuted(err) {
			d.unsure[item.Node.Name]++
		}
		d.mu.Unlock()
	}
}

// run has six producers and six workers go on while the nemesis rages, and until the
// queue is empty.
func (d *drain) run(source fanin.Source, handle func(fanin.Item)) {
	p, err := fanin.NewPopper(d.FlusterCluster, source)
	require.NoError(d.t, err)
	ctx, cancel := context.WithCancel(d.t.Context())
	var workers sync.WaitGroup
	for range 6 {
		workers.Go(func() { d.take(ctx, p, handle) })
	}
	d.producers.work(6, d.produce)
	d.rage()
	d.producers.stop()
	for _, s := range d.servers {
		redistest.WaitFor(d.t, patient, func() bool { return len(list(d.t, s, "jobs")) == 0 }, "the queue at %s is empty", s.Addr())
	}
	cancel()
	workers.Wait()
	held, err := p.Close()
	require.NoError(d.t, err)
	for _, item := range held {
		handle(item)
	}
}

func (d *drain) count(item fanin.Item) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.popped[item.Value]++
}

// acknowledge takes a handled item off the list of those in work.
func (d *drain) acknowledge(item fanin.Item) {
	d.count(item)
	for {
		_, err := redis.Int(at(item.Node, "LREM", "jobs:taken", 1, item.Value))
		if err == nil {
			return
		}
		if fluster.MaybeExecuted(err) { // once more could take a second one of the same away
			d.mu.Lock()
			d.doubted[item.Value] = true
			d.mu.Unlock()
		}
		if errors.Is(err, fluster.ErrClosed) || !d.node(item.Node.Name).Live {
			return // it stays in work, for whoever looks after what was left there
		}
	}
}

func TestRow56AQueueThatIsDrainedByMovesLosesNothing(t *testing.T) {
	d := newDrain(newArena(t, 3, 56, "a queue is drained by BLMOVE and acknowledged"))
	d.run(fanin.BLMove("jobs", "jobs:taken", "LEFT", "RIGHT"), d.acknowledge)

	left := make(map[string]int)
	for _, s := range d.servers {
		for _, id := range append(list(t, s, "jobs"), list(t, s, "jobs:taken")...) {
			left[id]++
		}
	}
	lost, twice := 0, 0
	for id := range d.pushed {
		switch n := d.popped[id]; {
		case n+left[id] == 0:
			lost++
			assert.Fail(t, "an item is lost", id)
		case n > 1:
			twice++
			assert.True(t, d.doubted[id], "%s was handled %d times", id, n)
		}
	}
	assert.Greater(t, len(d.pushed), 100)
	d.sum("%d items, %d lost, %d twice, %d still in work", len(d.pushed), lost, twice, len(left))
	d.Lost = lost
}

func TestRow57AQueueThatIsPoppedTellsOfEachItemThatIsMissing(t *testing.T) {
	d := newDrain(newArena(t, 3, 57, "a queue is drained by BLPOP"))
	d.run(fanin.BLPop("jobs"), d.count)

	left := make(map[string]int)
	for _, s := range d.servers {
		for _, id := range list(t, s, "jobs") {
			left[id]++
		}
	}
	missing := make(map[string]int)
	for id, node := range d.pushed {
		switch n := d.popped[id]; {
		case n+left[id] == 0:
			missing[node]++
		case n > 1:
			assert.True(t, d.doubted[id], "%s was popped %d times", id, n)
		}
	}
	for node, n := range missing {
		d.Lost += n
		assert.LessOrEqual(t, n, d.unsure[node], "items of node %s are missing, and nobody was told", node)
	}
	assert.Greater(t, len(d.pushed), 100)
	d.sum("%d items, %d missing, %d pops that told so", len(d.pushed), d.Lost, d.unsure["a"]+d.unsure["b"]+d.unsure["c"])
}
