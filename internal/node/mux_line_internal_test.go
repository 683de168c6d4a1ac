package node

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
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
	place := m.waiting.PushBack(&muxWaiter{size: maxGathered, ready: make(chan struct{})}) // as large as the room
	m.mu.Unlock()
	require.True(t, m.enlist(b), "behind a call that waits")
	Launch([]*Batch{b})
	m.mu.Lock()
	m.admitLocked()
	require.True(t, place.Value.(*muxWaiter).in)
	require.Equal(t, 1, m.waiting.Len(), "there was room for the call only")
	m.giveUpLocked(place) // its context has ended
	m.passOnAndUnlock()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	assert.NoError(t, b.Wait(ctx, 0), "nobody writes the batch: %+v", m.flying())
	f.Drop()
}

// The same when the connection takes no more calls: one that was let in then goes elsewhere,
// and before that the connection does not end, though nothing is under way.
func TestABatchThatIsLetInByTheEndOfACurrentConnectionIsWritten(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	n := nodeOf(t, f, "?read_timeout=0s&write_timeout=0s")
	m := n.shared.mux.Load()
	redistest.WaitFor(t, patience, func() bool { return m.flying() == flying{} }, "the first call is over")
	b := NewBatch()
	b.Add("PING", nil)
	m.mu.Lock()
	m.promised += maxGathered // a call is let in, and has not come yet
	m.waiting.PushBack(&muxWaiter{size: 1, ready: make(chan struct{})})
	m.mu.Unlock()
	require.True(t, m.enlist(b))
	Launch([]*Batch{b})
	m.retire()
	m.mu.Lock()
	assert.Equal(t, 1, m.waiting.Len(), "another call is sent away, and the batch stays")
	m.promised -= maxGathered // as when it comes
	m.mu.Unlock()
	_, err := m.do(t.Context(), 10, "PING", nil)
	require.Equal(t, errMuxOver, err)
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

// Nobody makes callers receive what they have flushed. So there may not be any number of
// batches in line.
func TestTheLineIsBounded(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	n := nodeOf(t, f, "?read_timeout=0s&write_timeout=0s")
	m := n.shared.mux.Load()
	f.Hang()
	value := strings.Repeat("x", 60<<10)
	taken := 0
	var last *Batch
	enlist := func() bool {
		b := NewBatch()
		b.Add("SET", []any{"k", value})
		if !m.enlist(b) {
			return false
		}
		Launch([]*Batch{b})
		last = b
		return true
	}
	for ; enlist(); taken++ {
		require.Less(t, taken, 2000)
	}
	require.True(t, last.Withdraw(context.Canceled))
	assert.True(t, enlist(), "who leaves makes room")
	assert.False(t, enlist())
	assert.Greater(t, taken, (maxLined+maxGathered)/(61<<10), "there is room for so many")
	assert.LessOrEqual(t, taken, (maxLined+2*maxGathered)/(60<<10)+mostFlights)
	f.Resume()
	redistest.WaitFor(t, patience, func() bool { return m.flying() == flying{} }, "all is answered")
	m.mu.Lock()
	assert.Zero(t, m.lined)
	assert.Zero(t, m.promised)
	m.mu.Unlock()
}

// What is said of batches whose callers leave is true: those that are out of the line are
// never executed, and all others are, though some of them count as sent.
func TestABatchThatIsOutOfTheLineIsNeverExecuted(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	c.line(t, 40)
	ran := make(chan string, 2*c.commands)
	c.fake.Handle(func(cmd []string) []byte {
		if cmd[0] == "RPUSH" {
			number, _, _ := strings.Cut(cmd[2], ":")
			ran <- number
		}
		return nil
	})
	over := c.batches[len(c.batches)-2].Over()
	out := make([]atomic.Bool, len(c.batches))
	var leavers sync.WaitGroup
	for half := range 2 {
		leavers.Go(func() { // some while others come in
			for i := len(c.batches) - 2; i >= 0; i -= 2 {
				if half == 0 && i < len(c.batches)/2 {
					c.fake.Resume()
				}
				if i/2%2 == half {
					out[i].Store(c.batches[i].Withdraw(context.Canceled))
				}
			}
		})
	}
	leavers.Wait()
	select {
	case <-over:
	case <-time.After(patience):
		assert.Fail(t, "who waits for a batch that is out waits for ever")
	}
	want := 0
	for i := range c.batches {
		_, errs := c.results(t, i)
		for _, err := range errs {
			assert.Equal(t, out[i].Load(), err != nil, "batch %d: %v", i, err)
			assert.Equal(t, out[i].Load(), SafeToRetry(err), "batch %d: %v", i, err)
			assert.False(t, MaybeExecuted(err), "batch %d: %v", i, err)
		}
		if !out[i].Load() {
			want += perBatch
		}
	}
	assert.Less(t, want, c.commands, "none was in line")
	assert.True(t, out[len(out)-2].Load())
	assert.False(t, out[0].Load(), "the first is sent")
	assert.Equal(t, want, c.fake.Executed("RPUSH"))
	for range want {
		var number int
		_, err := fmt.Sscan(<-ran, &number)
		require.NoError(t, err)
		assert.False(t, out[(number-1)/perBatch].Load(), "command %d was executed", number)
	}
	assert.Equal(t, [3]int{}, c.lineNow())
}

// lineNow returns how many wait in line, for how many bytes, and how many are promised.
func (c *throng) lineNow() [3]int {
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	return [3]int{c.mux.waiting.Len(), c.mux.lined, c.mux.promised}
}

// Others who left were in front of it.
func TestABatchInLineIsSentThoughAllOthersLeave(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	sent := len(c.batches)
	c.line(t, 30)
	for i, b := range c.batches[sent:] {
		if i != 17 {
			require.True(t, b.Withdraw(context.Canceled))
		}
	}
	assert.Equal(t, 1, c.inLine())
	c.fake.Resume()
	replies, errs := c.results(t, sent+17)
	assert.Equal(t, make([]error, perBatch), errs)
	assert.Equal(t, c.numbers(sent), replies)
	assert.Equal(t, [3]int{}, c.lineNow())
}

// What is given up is not to be flushed in one piece either.
func TestARetiredConnectionLetsItsLineInLittleByLittle(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	c.line(t, 100)
	wait := c.callInLine(t.Context(), t)
	c.line(t, 20)
	c.mux.retire()
	_, err := wait()
	assert.Equal(t, errMuxOver, err, "a call goes elsewhere at once")
	gathered, _, _ := c.look()
	assert.Less(t, gathered, maxGathered+maxBatchSize)
	assert.GreaterOrEqual(t, c.inLine(), 119)
	c.fake.Resume()
	for i := range c.batches {
		replies, errs := c.results(t, i)
		require.Equal(t, make([]error, perBatch), errs)
		require.Equal(t, c.numbers(i), replies)
		c.mux.mu.Lock()
		gathered = len(c.mux.gathered)
		for _, f := range c.mux.flights.all[:c.mux.flights.n] {
			gathered = max(gathered, f.size)
		}
		c.mux.mu.Unlock()
		require.Less(t, gathered, maxGathered+maxBatchSize, "after batch %d", i)
	}
	redistest.WaitFor(t, patience, func() bool { return c.mux.conn.Err() != nil }, "then the connection is closed")
}

// Nothing is written any more, so nothing is copied.
func TestALineThatFailsStaysWhereItIs(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	c.line(t, 100)
	written := c.written()
	c.fake.Drop()
	c.requireFailure(t, written, nil)
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	assert.Less(t, len(c.mux.gathered), maxGathered+maxBatchSize)
	assert.Zero(t, c.mux.lined)
}

// Nobody else would close it.
func TestTheLastWhoLeavesTheLineOfARetiredConnectionClosesIt(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	n := nodeOf(t, f, unlimited)
	m := n.shared.mux.Load()
	redistest.WaitFor(t, patience, func() bool { return m.flying() == flying{} }, "the first call is over")
	m.mu.Lock()
	m.promised = maxGathered // to a call that has not come yet
	m.mu.Unlock()
	var all []*Batch
	for range 3 {
		b := NewBatch()
		b.Add("PING", nil)
		require.True(t, m.enlist(b))
		all = append(all, b)
	}
	Launch(all)
	m.retire()
	for _, b := range all {
		assert.NoError(t, m.conn.Err(), "some wait")
		assert.True(t, b.Withdraw(context.Canceled))
		assert.True(t, b.Withdraw(context.Canceled), "it is still out")
	}
	redistest.WaitFor(t, patience, func() bool { return f.Conns() == 0 || m.conn.Err() != nil }, "it is closed")
}
