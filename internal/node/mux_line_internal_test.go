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

// Many calls stand in line, a batch stands behind them, and the calls' common context ends
// when the last replies come.
func TestABatchBehindManyCallsThatLeaveAtOnceIsWritten(t *testing.T) {
	redistest.NoLeaks(t)
	for round := range 30 {
		c := crowded(t, unlimited)
		ctx, cancel := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		const calls = 5000
		for range calls {
			callers.Go(func() { _, _ = c.mux.do(ctx, "PING", nil) })
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
		over, end := context.WithTimeout(t.Context(), patience)
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

func TestACallInLineIsNotOvertakenByTheBatchesBehindIt(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	c.line(t, 2)
	before := c.commands
	wait := c.callInLine(t.Context(), t)
	c.line(t, 60)
	c.fake.Resume()
	reply, err := wait()
	require.NoError(t, err)
	assert.Equal(t, before+1, reply)
	for i := range c.batches {
		_, errs := c.results(t, i)
		require.Equal(t, make([]error, perBatch), errs)
	}
}

// A call in line is encoded by others. Whatever its caller does with his arguments when it
// has its end, what is executed is what he called, once or not at all, as its error says.
func TestACallThatLeavesTheLineTakesItsArgumentsAlong(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	const calls = 300
	var ctxs [10]context.Context
	var ends [10]context.CancelFunc
	for i := range ctxs {
		ctxs[i], ends[i] = context.WithCancel(t.Context())
		defer ends[i]()
	}
	var ran sync.Map // by value
	var executed atomic.Int64
	c.fake.Handle(func(cmd []string) []byte {
		if cmd[0] != "SADD" {
			return nil
		}
		_, twice := ran.LoadOrStore(cmd[2], true)
		assert.False(t, twice, "%s was executed twice, or though it is said not to be sent", cmd[2][:3])
		if n := executed.Add(1); n%10 == 0 && n/10 < int64(len(ends))-1 {
			ends[n/10]() // and while it does
		}
		return []byte(":1\r\n")
	})
	var unsent, unknown, done atomic.Int64
	var callers sync.WaitGroup
	for i := range calls {
		callers.Go(func() {
			value := fmt.Appendf(nil, "%03d%s", i, strings.Repeat("x", 8<<10))
			was := string(value)
			_, err := c.mux.do(ctxs[i%len(ctxs)], "SADD", []any{"set", value})
			clear(value)
			_, has := ran.Load(was)
			if i%len(ctxs) == len(ctxs)-1 {
				assert.NoError(t, err, "its context does not end")
			}
			switch {
			case err == nil:
				done.Add(1)
				assert.True(t, has)
			case SafeToRetry(err):
				unsent.Add(1)
				assert.False(t, has)
				ran.Store(was, true) // so that it must not be, later
			default:
				unknown.Add(1)
				assert.True(t, MaybeExecuted(err), "%v", err)
			}
		})
	}
	redistest.WaitFor(t, patience, func() bool { return c.inLine() == calls }, "all stand in line")
	ends[0]() // before the line moves,
	redistest.WaitFor(t, patience, func() bool { return unsent.Load() == calls/10 }, "some leave")
	c.fake.Resume()
	callers.Wait()
	t.Logf("%d executed, %d unsent, %d unknown", done.Load(), unsent.Load(), unknown.Load())
	ran.Range(func(value, _ any) bool {
		return assert.NotContains(t, value, "\x00", "what a caller has changed was executed")
	})
	assert.Equal(t, [2]int{}, c.lineNow())
	c.requireReplies(t)
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
	for ; enlist(); taken++ { // as does a flush that ends only now
		require.Less(t, taken, 2000)
	}
	assert.Greater(t, taken, (maxLined+maxGathered)/(61<<10), "there is room for so many")
	assert.LessOrEqual(t, taken, (maxLined+(1+mostFlights)*(maxGathered+maxBatchSize))/(60<<10), "and no more than that in line, gathered and sent")
	f.Resume()
	redistest.WaitFor(t, patience, func() bool { return m.flying() == flying{} }, "all is answered")
	m.mu.Lock()
	assert.Zero(t, m.lined)
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
	assert.Equal(t, [2]int{}, c.lineNow())
}

// lineNow returns how many wait in line, and how many bytes of batches.
func (c *throng) lineNow() [2]int {
	c.mux.mu.Lock()
	defer c.mux.mu.Unlock()
	return [2]int{c.mux.waiting.Len(), c.mux.lined}
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
	assert.Equal(t, [2]int{}, c.lineNow())
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

// Whoever is sent away goes elsewhere, also if his context ends meanwhile: he has his end,
// and his call is not to be used again with it.
func TestACallThatIsSentAwayHasNotLeft(t *testing.T) {
	for name, sendAway := range map[string]func(m *mux){
		"retired": (*mux).sendAwayLocked,
		"failed":  func(m *mux) { m.readErr = errStale; m.admitLocked() },
	} {
		t.Run(name, func(t *testing.T) {
			for range 50 {
				m := &mux{node: &Node{}}
				ctx, cancel := context.WithCancel(t.Context())
				m.mu.Lock()
				l := m.lineUpLocked(newOp(ctx), "PING", nil)
				sendAway(m)
				m.mu.Unlock()
				cancel()
				_, err := m.waitInLine(ctx, l)
				require.Equal(t, errMuxOver, err)
			}
		})
	}
}

// Many short calls are all sent, and still there is no room: replies make it. When a
// connection that takes no new calls has given them, it does not end before its line is
// answered, too.
func TestRepliesLetTheLineIn(t *testing.T) {
	for _, retires := range []bool{false, true} {
		t.Run(fmt.Sprintf("retires %t", retires), func(t *testing.T) {
			redistest.NoLeaks(t)
			f := redistest.NewFake(t)
			m := nodeOf(t, f, unlimited).shared.mux.Load()
			redistest.WaitFor(t, patience, func() bool { return m.flying() == flying{} }, "the first call is over")
			f.Hang()
			var all []*Batch
			enlist := func() {
				b := NewBatch()
				for range maxBatchOps {
					b.Add("PING", nil)
				}
				require.True(t, m.enlist(b))
				Launch([]*Batch{b})
				all = append(all, b)
			}
			m.node.shared.pace.forget() // so that no flush waits for an answer
			const together = 16         // in one flush: there may not be any number of those
			for range maxUnanswered / maxBatchOps / together {
				m.mu.Lock()
				m.flushing = true // as if somebody did
				m.mu.Unlock()
				for range together {
					enlist()
				}
				m.mu.Lock()
				m.flushing = false
				turn := m.leadLocked()
				m.mu.Unlock()
				m.flush(turn)
			}
			redistest.WaitFor(t, patience, func() bool {
				m.mu.Lock()
				defer m.mu.Unlock()
				return len(m.gathered) == 0 && !m.flushing && m.fullLocked()
			}, "all is sent")
			var caller sync.WaitGroup
			caller.Go(func() {
				_, err := m.do(t.Context(), "PING", nil)
				assert.Equal(t, retires, err == errMuxOver, "%v", err) //nolint:errorlint // never wrapped
			})
			redistest.WaitFor(t, patience, func() bool {
				m.mu.Lock()
				defer m.mu.Unlock()
				return m.waiting.Len() == 1
			}, "a call stands in line")
			enlist()
			if retires {
				m.retire()
			}
			f.Resume()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			for i, b := range all {
				if !assert.NoError(t, b.Wait(ctx, b.Len()-1), "batch %d of %d", i, len(all)) {
					f.Drop()
					break
				}
				_, err := b.Reply(ctx, 0, "PING")
				assert.NoError(t, err)
			}
			caller.Wait()
		})
	}
}

func TestACallThatHasLeftTheLineForTheServerEndsWithItsContext(t *testing.T) {
	redistest.NoLeaks(t)
	c := crowded(t, unlimited)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	release := make(chan struct{})
	goOn := sync.OnceFunc(func() { close(release) })
	defer goOn()
	last := fmt.Sprint(c.commands, ":")
	c.fake.Handle(func(cmd []string) []byte {
		if cmd[0] == "RPUSH" && strings.HasPrefix(cmd[2], last) {
			<-release
		}
		return nil
	})
	wait := c.callInLine(ctx, t)
	c.fake.Resume()
	redistest.WaitFor(t, patience, func() bool { return c.inLine() == 0 }, "it comes in")
	ended := make(chan error, 1)
	go func() {
		_, err := wait()
		ended <- err
	}()
	cancel()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.Canceled)
		assert.True(t, MaybeExecuted(err), "%v", err)
	case <-time.After(patience):
		assert.Fail(t, "it waits for the reply")
	}
	goOn()
	c.requireReplies(t)
}
