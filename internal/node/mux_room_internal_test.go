package node

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// throng is batches that go over one shared connection. Each of their commands pushes
// its own number, which begins with 1, to a list, so that a reply is that number if all
// came in the order in which they were enlisted.
type throng struct {
	*Node
	fake     *redistest.Fake
	mux      *mux
	commands int
	batches  []*Batch
}

// perBatch is how many commands a batch has here: with padding, it is nearly as large as
// may be.
const perBatch = 4

// crowded has batches fill the room of a shared connection whose server hangs. Some of
// them are written, some have gathered, and none waits in line.
func crowded(t *testing.T, options string) *throng {
	t.Helper()
	f := redistest.NewFake(t)
	c := &throng{Node: nodeOf(t, f, options), fake: f}
	c.mux = c.shared.mux.Load()
	redistest.WaitFor(t, patience, func() bool { return c.mux.flying() == flying{} }, "the first call is over")
	c.shared.pace.usual.Store(1)
	c.shared.pace.quickest.Store(1)
	c.shared.relieved.Store(true) // no other connection is to take its place while it is held up,
	c.shared.passed.Store(math.MaxInt64)
	t.Cleanup(func() { c.shared.relieved.Store(false) }) // and no batch to pass it by
	f.Hang()
	for {
		c.enlist(t)
		redistest.WaitFor(t, patience, func() bool { return !c.flushing() }, "a flush ends")
		if c.full() {
			break
		}
	}
	require.Zero(t, c.inLine())
	gathered, _, flights := c.look()
	require.Positive(t, flights)
	require.Less(t, gathered, maxGathered+maxBatchSize)
	return c
}

// enlist enlists one more batch.
func (c *throng) enlist(t *testing.T) *Batch {
	t.Helper()
	b := NewBatch()
	for range perBatch {
		c.commands++
		b.Add("RPUSH", []any{"log", c.value(c.commands)})
	}
	var after *Batch
	if len(c.batches) > 0 {
		after = c.batches[len(c.batches)-1]
	}
	require.True(t, c.Enlist(b, after), "a batch is refused")
	Launch([]*Batch{b})
	c.batches = append(c.batches, b)
	return b
}

// value is what the n-th command pushes.
func (c *throng) value(n int) string { return fmt.Sprintf("%d:%s", n, strings.Repeat("x", 15<<10)) }

// numbers returns those of the commands of the i-th batch.
func (c *throng) numbers(i int) []int {
	numbers := make([]int, perBatch)
	for k := range numbers {
		numbers[k] = i*perBatch + k + 1
	}
	return numbers
}

func (c *throng) flushing() bool {
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	return c.mux.flushing
}

func (c *throng) full() bool {
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	return c.mux.fullLocked()
}

// inLine returns how many wait for room.
func (c *throng) inLine() int {
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	return c.mux.waiting.Len()
}

// written returns how many of the batches have left.
func (c *throng) written() (batches int) {
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	bytes := c.mux.flights.unread
	for ; bytes > 0; batches++ {
		bytes -= len(c.batches[batches].text)
	}
	return batches
}

// line enlists so many batches, for which there is no room.
func (c *throng) line(t *testing.T, batches int) {
	t.Helper()
	gathered, _, flights := c.look()
	was := c.inLine()
	for range batches {
		c.enlist(t)
	}
	after, _, still := c.look()
	assert.Equal(t, gathered, after, "what waits for room stands in the buffer")
	assert.Equal(t, flights, still)
	assert.Equal(t, was+batches, c.inLine())
}

// results waits for the end of the i-th batch.
func (c *throng) results(t *testing.T, i int) (replies []int, errs []error) {
	t.Helper()
	b := c.batches[i]
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for k := range b.Len() {
		require.NoError(t, b.Wait(ctx, k), "batch %d of %d has no end", i, len(c.batches))
		reply, err := redis.Int(b.Reply(ctx, k, "RPUSH"))
		replies, errs = append(replies, reply), append(errs, err)
	}
	return replies, errs
}

// requireReplies checks that every batch is answered, in order.
func (c *throng) requireReplies(t *testing.T) {
	t.Helper()
	for i := range c.batches {
		replies, errs := c.results(t, i)
		for _, err := range errs {
			require.NoError(t, err, "batch %d", i)
		}
		require.Equal(t, c.numbers(i), replies, "batch %d", i)
	}
	assert.Zero(t, c.inLine())
}

// requireFailure checks that the batches that were written may have been executed, and
// that all others, in line or not, cannot.
func (c *throng) requireFailure(t *testing.T, written int, cause error) {
	t.Helper()
	require.Positive(t, written)
	require.Less(t, written, len(c.batches))
	for i := range c.batches {
		_, errs := c.results(t, i)
		for _, err := range errs {
			require.Error(t, err)
			if cause != nil {
				require.ErrorIs(t, err, cause)
			}
			assert.Equal(t, i < written, MaybeExecuted(err), "batch %d, %d were written: %v", i, written, err)
			assert.Equal(t, i >= written, SafeToRetry(err), "batch %d, %d were written: %v", i, written, err)
		}
	}
	assert.Zero(t, c.fake.Executed("RPUSH"))
}

const unlimited = "?read_timeout=0s&write_timeout=0s"

func TestBatchesThatFindNoRoomWaitInLine(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	for range 3 {
		c.line(t, 10)
	}
	c.fake.Resume()
	c.requireReplies(t)
	c.enlist(t) // as if nothing had been
	c.requireReplies(t)
}

// What is in the buffer must stay bounded also while it is emptied again and again.
func TestALineOfBatchesIsLetInLittleByLittle(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	c.line(t, 60)
	release := make(chan struct{})
	defer close(release)
	c.fake.Handle(func(cmd []string) []byte {
		if cmd[0] == "RPUSH" {
			<-release
		}
		return nil
	})
	c.fake.Resume()
	for i := range c.batches {
		for range perBatch {
			release <- struct{}{}
		}
		replies, errs := c.results(t, i)
		require.Equal(t, make([]error, perBatch), errs)
		require.Equal(t, c.numbers(i), replies)
		gathered, _, _ := c.look()
		require.Less(t, gathered, maxGathered+maxBatchSize, "after batch %d", i)
	}
	c.fake.Handle(nil)
	assert.Zero(t, c.inLine())
}

// callInLine has a call wait in line behind all that do, and returns what waits for its
// reply.
func (c *throng) callInLine(ctx context.Context, t *testing.T) (wait func() (int, error)) {
	t.Helper()
	was := c.inLine()
	var reply int
	var err error
	var caller sync.WaitGroup
	caller.Go(func() { reply, err = redis.Int(c.mux.do(ctx, "RPUSH", []any{"log", c.value(0)})) })
	redistest.WaitFor(t, patience, func() bool { return c.inLine() == was+1 }, "a call waits in line")
	return func() (int, error) {
		caller.Wait()
		return reply, err
	}
}

func TestNobodyWhoComesLaterGoesBeforeABatchInLine(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	c.line(t, 3)
	const calls = 6
	var waits []func() (int, error)
	var behind []int // how many batches were enlisted before each call
	for range calls {
		behind = append(behind, len(c.batches))
		waits = append(waits, c.callInLine(t.Context(), t))
		c.line(t, 2)
	}
	assert.False(t, c.mux.begin(newOp(t.Context()), "RPUSH", []any{"log", c.value(0)}))
	c.fake.Resume()
	var all []int
	last := make([]int, len(c.batches)) // reply of each batch
	for i := range c.batches {
		replies, errs := c.results(t, i)
		require.Equal(t, make([]error, perBatch), errs)
		for k := range replies[1:] {
			assert.Equal(t, replies[k]+1, replies[k+1], "something stands in the middle of a batch")
		}
		all = append(all, replies...)
		last[i] = replies[perBatch-1]
	}
	assert.IsIncreasing(t, all, "batches have changed places")
	for k, wait := range waits {
		reply, err := wait()
		require.NoError(t, err)
		assert.Greater(t, reply, last[behind[k]-1], "call %d went before a batch that had come before it", k)
		all = append(all, reply)
	}
	slices.Sort(all)
	for i, n := range all {
		require.Equal(t, i+1, n, "a command was executed twice or not at all")
	}
	assert.Equal(t, len(all), c.fake.Executed("RPUSH"))
}

func TestACallThatLeavesTheLineIsNotExecutedAndHoldsUpNoBatch(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var waits []func() (int, error)
	for range 5 {
		waits = append(waits, c.callInLine(ctx, t))
		c.line(t, 3)
	}
	cancel()
	for _, wait := range waits {
		_, err := wait()
		require.ErrorIs(t, err, context.Canceled)
		assert.True(t, SafeToRetry(err), "%v", err)
	}
	assert.Equal(t, 15, c.inLine(), "the batches stay")
	c.fake.Resume()
	c.requireReplies(t)
	assert.Equal(t, c.commands, c.fake.Executed("RPUSH"))
}

func TestACallerWhoLeavesHisBatchInLineHarmsNoOther(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	c.line(t, 9)
	left := c.batches[len(c.batches)-5]
	ctx, cancel := context.WithCancel(t.Context())
	waited := make(chan error)
	go func() { waited <- left.Wait(ctx, 0) }()
	cancel()
	require.ErrorIs(t, <-waited, context.Canceled)
	err := left.Leave(ctx, "RPUSH")
	require.ErrorIs(t, err, context.Canceled)
	left.Release() // as one that is under way it must not be used again
	b := NewBatch()
	require.NotSame(t, left, b)
	b.Add("PING", nil)
	assert.Equal(t, 9, c.inLine())
	require.True(t, left.Withdraw(ctx.Err()))
	assert.Equal(t, 8, c.inLine())
	_, err = left.Reply(ctx, 0, "RPUSH")
	require.ErrorIs(t, err, context.Canceled)
	assert.True(t, SafeToRetry(err), "%v", err)
	assert.False(t, MaybeExecuted(err), "%v", err)
	c.fake.Resume()
	for i, other := range c.batches {
		_, errs := c.results(t, i)
		if other != left {
			assert.Equal(t, make([]error, perBatch), errs)
		}
	}
	assert.Equal(t, c.commands-perBatch, c.fake.Executed("RPUSH"))
	assert.False(t, c.batches[0].Withdraw(ctx.Err()), "it was executed")
}

func TestWhatIsSaidOfBatchesInLineOnABrokenConnectionIsTrue(t *testing.T) {
	for name, lose := range map[string]func(f *redistest.Fake){"closed": (*redistest.Fake).Drop, "reset": (*redistest.Fake).Reset} {
		t.Run(name, func(t *testing.T) {
			redistest.NoLeaks(t)
			c := crowded(t, unlimited)
			c.line(t, 20)
			wait := c.callInLine(t.Context(), t)
			c.line(t, 1)
			written := c.written()
			lose(c.fake)
			c.requireFailure(t, written, nil)
			_, err := wait()
			assert.Equal(t, errMuxOver, err, "a call goes elsewhere")
			assert.Zero(t, c.inLine())
			c.fake.Resume()
			b := NewBatch()
			b.Add("PING", nil)
			redistest.WaitFor(t, patience, func() bool { return c.Enlist(b, c.batches[len(c.batches)-1]) }, "there is another connection")
			Launch([]*Batch{b})
			require.NoError(t, b.Wait(t.Context(), 0))
		})
	}
}

// The connection breaks at one of the commands after the other, so that it is one of
// those that were written first, gathered or stood in line when the server went on.
func TestBatchesInLineAreNeverSaidNotToHaveRunWhenTheyHave(t *testing.T) {
	redistest.NoLeaks(t)
	for _, fatal := range []int{1, 2, 5, 9, 40, 43, 44, 61, 100, 150} {
		c := crowded(t, unlimited)
		c.line(t, 30)
		var ran sync.Map // by number
		c.fake.Handle(func(cmd []string) []byte {
			if cmd[0] != "RPUSH" {
				return nil
			}
			number, _, _ := strings.Cut(cmd[2], ":")
			ran.Store(number, true)
			if number == fmt.Sprint(fatal) {
				c.fake.Drop()
			}
			return nil
		})
		c.fake.Resume()
		safe, maybe := 0, 0
		for i := range c.batches {
			replies, errs := c.results(t, i)
			for k, number := range c.numbers(i) {
				_, ran := ran.Load(fmt.Sprint(number))
				switch {
				case errs[k] == nil:
					require.True(t, ran)
					require.Equal(t, number, replies[k])
				case SafeToRetry(errs[k]):
					safe++
					require.False(t, MaybeExecuted(errs[k]))
					require.False(t, ran, "command %d of %d, broken at %d", number, c.commands, fatal)
				default:
					maybe++
					require.True(t, MaybeExecuted(errs[k]))
				}
			}
		}
		t.Logf("broken at %d of %d: %d may have run, %d cannot", fatal, c.commands, maybe, safe)
		assert.Positive(t, maybe)
		if fatal < 10 {
			assert.Positive(t, safe)
		}
		c.Close()
		c.fake.Close()
	}
}

func TestBatchesInLineAreAnsweredThoughTheConnectionTakesNoMoreCalls(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	c.line(t, 20)
	wait := c.callInLine(t.Context(), t)
	c.line(t, 1)
	c.SetState(health.State{Live: true, Generation: 1})
	c.Sever()
	_, err := wait()
	assert.Equal(t, errMuxOver, err, "a call goes elsewhere")
	assert.False(t, c.mux.enlist(NewBatch()), "nothing new comes in")
	c.fake.Resume()
	c.requireReplies(t)
	redistest.WaitFor(t, patience, func() bool { return c.mux.conn.Err() != nil }, "then the connection is closed")
	_, _, err = c.Do(t.Context(), "PING", nil)
	require.NoError(t, err)
}

// A batch may have got its place on a connection that took no more calls afterwards. The
// next of the same pipeline must not go over another one and overtake it.
func TestABatchDoesNotOvertakeOneInLineOverAnotherConnection(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	c.line(t, 5)
	release := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(release) })
	defer goOn()
	c.fake.Handle(func(cmd []string) []byte {
		if cmd[0] == "RPUSH" {
			<-release
		}
		return nil
	})
	c.fake.Resume() // so that another connection can be dialed
	c.SetState(health.State{Live: true, Generation: 1})
	c.Sever()
	_, _, err := c.Do(t.Context(), "PING", nil)
	require.NoError(t, err)
	require.NotSame(t, c.mux, c.shared.mux.Load())
	next, last := NewBatch(), c.batches[len(c.batches)-1]
	next.Add("PING", nil)
	for range 100 {
		require.False(t, c.Enlist(next, last))
	}
	goOn()
	c.requireReplies(t)
	require.True(t, last.Ended())
	require.True(t, c.Enlist(next, last))
	Launch([]*Batch{next})
	require.NoError(t, next.Wait(t.Context(), 0))
}

func TestCloseLetsBatchesInLineHaveTheirReplies(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, "?read_timeout=30s&write_timeout=30s")
	c.line(t, 20)
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.Close()
	}()
	redistest.WaitFor(t, patience, c.mux.over.Load, "no more calls are taken")
	assert.False(t, c.Enlist(NewBatch(), nil))
	c.fake.Resume()
	c.requireReplies(t)
	<-closed
}

func TestCloseDoesNotWaitForBatchesInLineAtAServerThatIsFrozen(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited) // so nothing would end by itself
	c.line(t, 20)
	written := c.written()
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		c.Close()
	}()
	c.requireFailure(t, written, ErrClosed)
	<-closed
}

func TestAStalledServerFailsBatchesInLineHonestly(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, "?read_timeout=1s&write_timeout=30s")
	c.line(t, 20)
	written := c.written()
	c.requireFailure(t, written, nil)
	_, errs := c.results(t, len(c.batches)-1)
	var late interface{ Timeout() bool }
	require.ErrorAs(t, errs[0], &late)
	assert.True(t, late.Timeout(), "%v", errs[0])
	assert.Equal(t, mostFlights, c.shared.pace.flights(1000, 100), "nobody waits for its answer any more")
}

// Whoever renders an error reads a batch's commands, at a time when they may just be put
// behind others. The race detector sees it if that changes them.
func TestTheCommandsOfABatchInLineCanBeToldMeanwhile(t *testing.T) {
	for name, end := range map[string]func(f *redistest.Fake){
		"answered": func(f *redistest.Fake) { f.Resume() },
		"broken":   func(f *redistest.Fake) { f.Drop() },
	} {
		t.Run(name, func(t *testing.T) {
			redistest.NoLeaks(t)
			c := crowded(t, unlimited)
			c.line(t, 20)
			var over atomic.Bool
			var readers sync.WaitGroup
			tell := func(i int) {
				b := c.batches[i]
				for k, number := range c.numbers(i) {
					cmd, args := b.Command(k)
					assert.Equal(t, "RPUSH", cmd)
					assert.Len(t, args, 2)
					assert.Equal(t, []byte("log"), args[0])
					value, ok := b.Arg(k, 1)
					assert.True(t, ok)
					assert.True(t, strings.HasPrefix(string(value), fmt.Sprintf("%d:x", number)), "another command's argument")
				}
			}
			var told atomic.Int64
			for range 2 {
				readers.Go(func() {
					for !over.Load() {
						for i := range c.batches {
							tell(i)
						}
						told.Add(1)
					}
				})
			}
			redistest.WaitFor(t, patience, func() bool { return told.Load() > 0 }, "they are told")
			end(c.fake)
			for i := range c.batches {
				_, errs := c.results(t, i)
				for _, err := range errs {
					assert.Equal(t, name == "broken", err != nil, "%v", err)
				}
			}
			over.Store(true)
			readers.Wait()
			for i := range c.batches {
				tell(i)
			}
		})
	}
}
