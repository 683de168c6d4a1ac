package node

import (
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

func TestFlightsLandInTheirOrderAndOnceTheyAreAnsweredWhole(t *testing.T) {
	var f flights
	_, ok := f.land(1 << 40)
	assert.False(t, ok, "none has begun")
	f.add(flight{last: 3, begun: 10, size: 100})
	f.add(flight{last: 4, begun: 20, size: 30})
	f.add(flight{last: 9, begun: 30, size: 7})
	assert.Equal(t, 3, f.n)
	assert.Equal(t, 137, f.unread)

	_, ok = f.land(2)
	assert.False(t, ok, "one of its calls is not answered")
	assert.Equal(t, 137, f.unread)
	one, ok := f.land(4)
	assert.True(t, ok)
	assert.Equal(t, flight{last: 3, begun: 10, size: 100}, one, "the first comes first, whatever is answered")
	one, ok = f.land(4)
	assert.True(t, ok)
	assert.Equal(t, flight{last: 4, begun: 20, size: 30}, one)
	assert.Equal(t, 7, f.unread)
	_, ok = f.land(8)
	assert.False(t, ok)
	f.add(flight{last: 9, begun: 40, size: 0}) // of no calls
	for _, begun := range []int64{30, 40} {
		one, ok = f.land(9)
		assert.True(t, ok)
		assert.Equal(t, begun, one.begun)
	}
	assert.Zero(t, f.n)
	assert.Zero(t, f.unread)
}

func TestFlightsAreWhatAListOfThemWouldBe(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var f flights
	var want []flight
	var calls, answered uint64
	full := 0
	for i := range 20_000 {
		if f.n < mostFlights && rng.IntN(5) < 3 {
			calls += rng.Uint64N(5)
			one := flight{last: calls, begun: int64(i), size: rng.IntN(1000)}
			f.add(one)
			want = append(want, one)
		} else if calls > answered {
			answered += rng.Uint64N(calls-answered) + 1
		}
		for rng.IntN(3) > 0 {
			one, ok := f.land(answered)
			if due := len(want) > 0 && want[0].last <= answered; !due {
				require.False(t, ok)
				require.Zero(t, one)
				break
			}
			require.True(t, ok)
			require.Equal(t, want[0], one)
			want = want[1:]
		}
		unread := 0
		for _, one := range want {
			unread += one.size
		}
		require.Equal(t, unread, f.unread)
		require.True(t, slices.Equal(want, f.all[:f.n]), "%v, not %v", f.all[:f.n], want)
		if f.n == mostFlights {
			full++
		}
	}
	assert.Positive(t, full, "there is room for so many")
}

// noted is a pace after flights that took so long, each so many times.
func noted(times int, took ...time.Duration) *pace {
	p := new(pace)
	for _, took := range took {
		for range times {
			p.note(int64(took))
		}
	}
	return p
}

func TestHowManyFlightsThereMayBe(t *testing.T) {
	const many = 1000
	for name, tc := range map[string]struct {
		pace  *pace
		calls uint64
		want  int
	}{
		"nothing is known, many call":             {new(pace), many, mostFlights},
		"nothing is known, few call":              {new(pace), fewCalls, mostFlights},
		"nobody calls":                            {noted(100, 30*time.Microsecond), 0, 2},
		"few call a server next door":             {noted(100, 30*time.Microsecond), 1, 2},
		"few call one that is far away":           {noted(100, 5*time.Millisecond), fewCalls, mostFlights},
		"few call while processors are slow":      {noted(100, 30*time.Microsecond, time.Millisecond), fewCalls, 2},
		"many call a server next door":            {noted(100, 30*time.Microsecond), many, 1},
		"one more than few":                       {noted(100, 30*time.Microsecond), fewCalls + 1, 1},
		"two gaps away":                           {noted(100, 100*time.Microsecond), many, 2},
		"half a millisecond away":                 {noted(100, 500*time.Microsecond), many, 10},
		"so many at one more than few, too":       {noted(100, 500*time.Microsecond), fewCalls + 1, 10},
		"far away":                                {noted(100, 5*time.Millisecond), many, mostFlights},
		"farther than any":                        {noted(100, time.Hour), many, mostFlights},
		"it took no time at all":                  {noted(100, 0), many, 1},
		"processors are slow":                     {noted(30, 50*time.Microsecond, time.Millisecond), many, 1},
		"processors are slow, and it is far, too": {noted(30, 500*time.Microsecond, 5*time.Millisecond), many, 1},
		"four times as long is usual":             {noted(30, 500*time.Microsecond, 1900*time.Microsecond), many, 10},
		"processors were slow":                    {noted(50, 500*time.Microsecond, 5*time.Millisecond, 500*time.Microsecond), many, 10},
		"one was slow":                            {noted(1, 500*time.Microsecond, 500*time.Microsecond, 500*time.Microsecond, time.Millisecond), many, 10},
		"it was the first that took long":         {noted(100, time.Second, 500*time.Microsecond), many, 10},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, tc.want, tc.pace.flights(tc.calls, fullFlight-1))
		})
	}
}

func TestThereIsOneFlightAtLeastAndNoMoreThanThereIsRoomFor(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var p pace
	var f flights
	for range 100_000 {
		p.note(rng.Int64N(int64(1) << rng.IntN(45)))
		n := p.flights(rng.Uint64N(uint64(1)<<rng.IntN(20)), rng.IntN(2*fullFlight))
		if n < 1 || n > len(f.all) {
			t.Fatalf("%d flights after %+v", n, &p)
		}
	}
}

func TestAFullFlightNeedNotWaitForTheOneBefore(t *testing.T) {
	const many = 1000
	for want, p := range map[int]*pace{
		2:           noted(30, 50*time.Microsecond, time.Millisecond),
		10:          noted(100, 500*time.Microsecond),
		mostFlights: new(pace),
	} {
		assert.Equal(t, want, p.flights(many, fullFlight))
	}
}

// A server may move, or its way become a longer one, so the quickest flight must not
// count for ever. But what is forgotten soon tells nothing of slow processors.
func TestTheQuickestFlightIsForgottenSlowly(t *testing.T) {
	const many = 1000
	p := noted(50, 100*time.Microsecond)
	require.Equal(t, 2, p.flights(many, 100))
	for range 200 {
		p.note(int64(5 * time.Millisecond))
	}
	assert.Equal(t, 1, p.flights(many, 100), "it was no accident that one was as quick as that")
	before := p.quickest.Load()
	assert.Less(t, before, int64(200*time.Microsecond))
	for i := 0; p.flights(many, 100) != mostFlights; i++ {
		require.Less(t, i, 10_000, "the quickest is not forgotten")
		p.note(int64(5 * time.Millisecond))
		require.Greater(t, p.quickest.Load(), before)
		before = p.quickest.Load()
	}
	for range 10_000 {
		p.note(int64(5 * time.Millisecond))
	}
	assert.Equal(t, int64(5*time.Millisecond), p.quickest.Load(), "nothing is made up")
	p.note(int64(time.Millisecond))
	assert.Equal(t, int64(time.Millisecond), p.quickest.Load(), "a quicker one counts at once")
}

func TestFlightsThatGotNoAnswerAreNotWaitedFor(t *testing.T) {
	p := noted(100, 30*time.Microsecond, time.Millisecond)
	require.Equal(t, 1, p.flights(1000, 100))
	p.forget()
	assert.Equal(t, mostFlights, p.flights(1000, 100))
	assert.Equal(t, mostFlights, p.flights(1, 100))
	p.note(int64(30 * time.Microsecond))
	assert.Equal(t, 1, p.flights(1000, 100), "one that was answered is known again")
}

// flying is what stands between the callers of a shared connection and its server.
type flying struct {
	calls   uint64
	flights int
	waits   bool // some have gathered and nobody flushes
}

func (m *mux) flying() flying {
	m.mu.Lock()
	defer m.mu.Unlock()
	return flying{m.calls - m.answered, m.flights.n, len(m.gathered) > 0 && !m.flushing}
}

// Of calls that begin one after the other while nothing is answered, the first two leave
// at once. Whether the others do depends on how long the way is.
func TestCallsLeaveBeforeOthersAreAnsweredWhereTheWayIsLong(t *testing.T) {
	const calls = 40
	for name, tc := range map[string]struct {
		usual, quickest time.Duration
		want            []flying // after each call
	}{
		"a long way": {5 * time.Millisecond, 5 * time.Millisecond, []flying{
			{1, 1, false},
			{2, 2, false},
			{3, 3, false},
			{4, 4, false},
			{5, 5, false},
			{6, 6, false},
			{7, 7, false},
			{8, 8, false},
			{9, 9, false},
			{10, 10, false},
			{11, 11, false},
			{12, 12, false},
			{13, 13, false},
			{14, 14, false},
			{15, 15, false},
			{16, 16, false},
			{17, 16, true},
			{18, 16, true},
		}},
		"some way": {250 * time.Microsecond, 250 * time.Microsecond, []flying{
			{1, 1, false}, {2, 2, false}, {3, 3, false}, {4, 4, false}, {5, 5, false}, {6, 5, true},
		}},
		"nothing is known": {0, 0, []flying{
			{1, 1, false},
			{2, 2, false},
			{3, 3, false},
			{4, 4, false},
			{5, 5, false},
			{6, 6, false},
			{7, 7, false},
			{8, 8, false},
			{9, 9, false},
			{10, 10, false},
			{11, 11, false},
			{12, 12, false},
			{13, 13, false},
			{14, 14, false},
			{15, 15, false},
			{16, 16, false},
			{17, 16, true},
		}},
		"next door": {30 * time.Microsecond, 30 * time.Microsecond, []flying{
			{1, 1, false}, {2, 2, false}, {3, 2, true}, {4, 2, true}, {5, 2, true}, {6, 2, true},
		}},
		"slow processors": {time.Millisecond, 30 * time.Microsecond, []flying{
			{1, 1, false}, {2, 2, false}, {3, 2, true}, {4, 2, true}, {5, 2, true}, {6, 2, true},
		}},
		"slow processors and a long way": {21 * time.Millisecond, 5 * time.Millisecond, []flying{
			{1, 1, false}, {2, 2, false}, {3, 3, false}, {4, 4, false}, {5, 4, true}, {6, 4, true},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			redistest.NoLeaks(t)
			f := redistest.NewFake(t)
			n := nodeOf(t, f, "?read_timeout=0s&write_timeout=0s")
			m := n.shared.mux.Load()
			redistest.WaitFor(t, patience, func() bool { return m.flying().flights == 0 }, "the first call is over")
			n.shared.pace.usual.Store(int64(tc.usual))
			n.shared.pace.quickest.Store(int64(tc.quickest))
			f.Hang()
			var callers sync.WaitGroup
			for i := range calls {
				callers.Go(func() {
					reply, err := redis.Int(m.do(t.Context(), "INCR", []any{"n"}))
					assert.NoError(t, err)
					assert.Equal(t, i+1, reply, "calls are executed in the order in which they began")
				})
				want := flying{uint64(i + 1), tc.want[len(tc.want)-1].flights, true}
				if i < len(tc.want) {
					want = tc.want[i]
				}
				redistest.WaitFor(t, patience, func() bool { return m.flying() == want }, "after %d calls: %+v, not %+v", i+1, want, m.flying())
				if !want.waits {
					redistest.WaitFor(t, patience, func() bool { return f.Received("INCR") == i+1 }, "call %d has left", i+1)
				}
			}
			assert.Less(t, f.Received("INCR"), calls, "those that wait have not left")
			f.Resume()
			callers.Wait()
			redistest.WaitFor(t, patience, func() bool { return m.flying() == flying{} }, "all is answered")
		})
	}
}

// longWay stands between clients and a server. What the server says takes a while to
// arrive, however much is under way meanwhile.
type longWay struct {
	net.Listener
	server string
	takes  time.Duration
	ended  chan struct{}
	wg     sync.WaitGroup
}

func startLongWay(t *testing.T, server string, takes time.Duration) *longWay {
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &longWay{Listener: l, server: server, takes: takes, ended: make(chan struct{})}
	w.wg.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			w.wg.Go(func() { w.serve(client) })
		}
	})
	t.Cleanup(func() {
		close(w.ended)
		l.Close()
		w.wg.Wait()
	})
	return w
}

// parcel is bytes that are under way.
type parcel struct {
	bytes []byte
	due   time.Time
}

func (w *longWay) serve(client net.Conn) {
	defer client.Close()
	server, err := (&net.Dialer{}).Dial("tcp", w.server)
	if err != nil {
		return
	}
	defer server.Close()
	back := make(chan parcel, 1<<16)
	w.wg.Go(func() {
		defer server.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := client.Read(buf)
			if err != nil {
				return
			}
			if _, err := server.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	w.wg.Go(func() { w.deliver(client, back) })
	defer close(back)
	buf := make([]byte, 1<<16)
	for {
		n, err := server.Read(buf)
		if err != nil {
			return
		}
		back <- parcel{slices.Clone(buf[:n]), time.Now().Add(w.takes)}
	}
}

// deliver hands on what is due.
func (w *longWay) deliver(client net.Conn, back <-chan parcel) {
	for p := range back {
		select {
		case <-time.After(time.Until(p.due)):
		case <-w.ended:
		}
		if _, err := client.Write(p.bytes); err != nil {
			client.Close()
		}
	}
}

// A call that begins while others are under way must not wait for their replies: then
// it would take up to twice as long as the way is, and one and a half times on average.
func TestACallOverALongWayDoesNotWaitForTheRepliesOfOthers(t *testing.T) {
	redistest.NoLeaks(t)
	const way = 15 * time.Millisecond
	f := redistest.NewFake(t)
	n := nodeAt(t, startLongWay(t, f.Addr(), way).Addr().String(), "?read_timeout=30s&write_timeout=30s&dial_timeout=30s")
	call := func() time.Duration {
		begun := time.Now()
		_, shared, err := n.Do(t.Context(), "ECHO", []any{"hello"})
		assert.NoError(t, err)
		assert.True(t, shared)
		return time.Since(begun)
	}
	typical := func(took []time.Duration) time.Duration {
		slices.Sort(took)
		return took[len(took)/2]
	}
	lone := func() time.Duration {
		took := make([]time.Duration, 20)
		for i := range took {
			took[i] = call()
		}
		return typical(took)
	}
	// spread is what calls take that begin half a millisecond apart, whatever is
	// answered, and how many flushes were unanswered at once.
	spread := func() (took time.Duration, most int) {
		all := make([]time.Duration, 300)
		ticks := time.NewTicker(time.Millisecond / 2)
		defer ticks.Stop()
		var callers sync.WaitGroup
		for i := range all {
			<-ticks.C
			callers.Go(func() { all[i] = call() })
			_, _, flights := n.look()
			most = max(most, flights)
		}
		callers.Wait()
		return typical(all), most
	}
	var alone, together time.Duration
	var most int
	quick := func() bool { // a machine that is busy for a while may spoil some tries
		alone = lone()
		together, most = spread()
		t.Logf("alone %v, together %v, %d flushes at once", alone, together, most)
		return most >= 4 && together < alone*5/4
	}
	assert.GreaterOrEqual(t, lone(), way)
	redistest.WaitFor(t, patience, quick, "calls wait for the replies of others")
}
