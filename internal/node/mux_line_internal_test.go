package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

// Whoever is let in and then leaves hands his room on. A batch that gets it must be
// written, also if nothing else is under way.
func TestABatchThatGetsTheRoomOfACallWhichLeftIsWritten(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	n := nodeOf(t, f, "?read_timeout=0s&write_timeout=0s")
	m := n.shared.mux.Load()
	redistest.WaitFor(t, patience, func() bool { return m.flying() == flying{} }, "the first call is over")
	b := NewBatch()
	b.Add("PING", nil)
	m.mu.Lock()
	m.waiting = []*muxWaiter{{size: maxGathered, ready: make(chan struct{})}} // as large as the room
	m.mu.Unlock()
	require.True(t, m.enlist(b), "behind a call that waits")
	Launch([]*Batch{b})
	m.mu.Lock()
	call := m.waiting[0]
	m.admitLocked()
	require.True(t, call.in)
	require.Len(t, m.waiting, 1, "there was room for the call only")
	m.giveUpLocked(call) // its context has ended
	turn := m.leadLocked()
	m.mu.Unlock()
	m.flushApart(turn)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	assert.NoError(t, b.Wait(ctx, 0), "nobody writes the batch: %+v", m.flying())
	f.Drop()
}

// The same when the connection takes no more calls.
func TestABatchThatIsLetInByTheEndOfACurrentConnectionIsWritten(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	n := nodeOf(t, f, "?read_timeout=0s&write_timeout=0s")
	m := n.shared.mux.Load()
	redistest.WaitFor(t, patience, func() bool { return m.flying() == flying{} }, "the first call is over")
	b := NewBatch()
	b.Add("PING", nil)
	m.mu.Lock()
	m.waiting = []*muxWaiter{{size: maxGathered, ready: make(chan struct{})}}
	m.mu.Unlock()
	require.True(t, m.enlist(b))
	Launch([]*Batch{b})
	m.mu.Lock()
	m.admitLocked() // the call is let in, and has not come yet
	require.Len(t, m.waiting, 1)
	m.mu.Unlock()
	m.retire()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	assert.NoError(t, b.Wait(ctx, 0), "nobody writes the batch: %+v", m.flying())
	f.Drop()
}

// A natural way into the first one: many calls stand in line, a batch stands behind them,
// and the calls' common context ends when the last replies come.
func TestABatchBehindManyCallsThatLeaveAtOnceIsWritten(t *testing.T) {
	redistest.NoLeaks(t)
	for round := range 30 {
		c := crowded(t, unlimited)
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		const calls = 5000
		for range calls {
			callers.Go(func() { _, _ = c.mux.do(ctx, maxSharedSize, "PING", nil) })
		}
		redistest.WaitFor(t, patience, func() bool { return c.inLine() == calls }, "all wait")
		last := fmt.Sprint(c.commands-round%10, ":")
		c.enlist(t)
		c.fake.Handle(func(cmd []string) []byte {
			if cmd[0] == "RPUSH" && strings.HasPrefix(cmd[2], last) {
				cancel()
			}
			return nil
		})
		c.fake.Resume()
		callers.Wait()
		b := c.batches[len(c.batches)-1]
		over, end := context.WithTimeout(t.Context(), 3*time.Second)
		err := b.Wait(over, perBatch-1)
		end()
		if !assert.NoError(t, err, "round %d: nobody writes the batch: %+v", round, c.mux.flying()) {
			c.fake.Drop()
			return
		}
		c.Close()
		c.fake.Close()
	}
}

// A call that waits in line is let in, finds that the batches behind it have taken its
// room, and goes to the end of the line.
func TestACallInLineIsNotOvertakenByTheBatchesBehindIt(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	before := c.commands
	wait := c.callInLine(t.Context(), t)
	c.line(t, 60)
	c.fake.Resume()
	reply, err := wait()
	require.NoError(t, err)
	room := maxGathered/(perBatch*15<<10) + 1 // batches
	assert.LessOrEqual(t, reply, before+1+room*perBatch, "%d commands stood before it", before)
}

// Batches whose callers have left stay in line. So there may not be any number of them.
func TestTheLineIsBounded(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	n := nodeOf(t, f, "?read_timeout=0s&write_timeout=0s")
	m := n.shared.mux.Load()
	f.Hang()
	value := strings.Repeat("x", 60<<10)
	taken := 0
	for {
		b := NewBatch()
		b.Add("SET", []any{"k", value})
		if !m.enlist(b) {
			break
		}
		Launch([]*Batch{b})
		taken++
		require.Less(t, taken, 1000)
	}
	assert.Greater(t, taken, (maxLined+maxGathered)/(61<<10), "there is room for so many")
	assert.LessOrEqual(t, taken, (maxLined+2*maxGathered)/(60<<10)+mostFlights)
	f.Resume()
	redistest.WaitFor(t, patience, func() bool { return m.flying() == flying{} }, "all is answered")
	m.mu.Lock()
	assert.Zero(t, m.lined)
	assert.Zero(t, m.promised)
	m.mu.Unlock()
}
