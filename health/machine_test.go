package health

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const ms = time.Millisecond

var (
	epoch    = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	errFault = errors.New("fault")
)

func longest() float64 { return 1 }

func TestMachineJudgesEvidence(t *testing.T) {
	event := func(class Class) Evidence { return Evidence{Class: class, Cause: errFault} }
	verify := func(class Class) Evidence { return Evidence{Class: class, Cause: errFault, Verify: true} }
	for name, test := range map[string]struct {
		failures int
		events   []Evidence // 100 ms apart
		want     move
		wanted   bool // a probe
	}{
		"nothing":                     {1, []Evidence{event(None)}, stay, false},
		"life":                        {1, []Evidence{event(Alive)}, stay, false},
		"a question":                  {1, []Evidence{event(Ask)}, stay, true},
		"refused":                     {3, []Evidence{event(Hard)}, enter, false},
		"loading":                     {3, []Evidence{event(Refusing)}, enter, false},
		"a wrong password":            {3, []Evidence{event(Misconfigured)}, enter, false},
		"refused, they say":           {1, []Evidence{verify(Hard)}, stay, true},
		"loading, they say":           {1, []Evidence{verify(Refusing)}, stay, true},
		"a wrong password, they say":  {1, []Evidence{verify(Misconfigured)}, stay, true},
		"soft, they say":              {1, []Evidence{verify(Soft)}, stay, true},
		"one soft of one":             {1, []Evidence{event(Soft)}, enter, true},
		"two soft of three":           {3, []Evidence{event(Soft), event(Soft)}, stay, true},
		"three soft of three":         {3, []Evidence{event(Soft), event(Soft), event(Soft)}, enter, true},
		"three soft, life between":    {3, []Evidence{event(Soft), event(Soft), event(Alive), event(Soft)}, stay, true},
		"three soft, nothing between": {3, []Evidence{event(Soft), event(None), event(Soft), event(None), event(Soft)}, enter, true},
		"broken":                      {1, []Evidence{event(Broken), event(Broken)}, stay, true},
		"an older generation":         {1, []Evidence{{Class: Hard, Generation: 7}}, stay, false},
		"time-outs, no probe started": {1, []Evidence{{Class: Timeout, Conn: 1}, {Class: Timeout, Conn: 2}}, stay, true},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(Config{Failures: test.failures}.withDefaults(), longest, epoch)
			m.due = epoch.Add(time.Hour)
			var v verdict
			for i, ev := range test.events {
				v = m.report(epoch.Add(time.Duration(i)*100*ms), ev)
			}
			assert.Equal(t, test.want, v.move)
			assert.Equal(t, test.wanted, m.wanted)
		})
	}
}

func TestSoftFailuresOlderThanASecondDoNotCount(t *testing.T) {
	m := newMachine(Config{}.withDefaults(), longest, epoch)
	for i := range 20 {
		v := m.report(epoch.Add(time.Duration(i)*501*ms), Evidence{Class: Soft})
		require.Equal(t, stay, v.move)
	}
	assert.Equal(t, stay, m.report(epoch.Add(30*time.Second), Evidence{Class: Soft}).move)
	assert.Equal(t, stay, m.report(epoch.Add(31*time.Second), Evidence{Class: Soft}).move)
	assert.Equal(t, enter, m.report(epoch.Add(31*time.Second), Evidence{Class: Soft}).move)
}

func TestMachineJudgesProbes(t *testing.T) {
	for name, test := range map[string]struct {
		results []Class // one probe each, as soon as it may begin
		want    move
		fresh   bool          // the next probe dials
		pause   time.Duration // before it
	}{
		"it answers":                           {[]Class{Alive}, stay, false, time.Second},
		"nothing learned":                      {[]Class{None}, stay, false, time.Second},
		"refused":                              {[]Class{Hard}, enter, false, 0},
		"loading":                              {[]Class{Refusing}, enter, false, 0},
		"a wrong password":                     {[]Class{Misconfigured}, enter, false, 0},
		"silent once":                          {[]Class{Timeout}, stay, true, 0},
		"silent twice":                         {[]Class{Timeout, Timeout}, stay, true, repeatAfter},
		"silent three times":                   {[]Class{Timeout, Timeout, Timeout}, enter, true, 0},
		"soft three times":                     {[]Class{Soft, Soft, Soft}, enter, true, 0},
		"an answer between":                    {[]Class{Soft, Soft, Alive, Soft, Soft}, stay, true, repeatAfter},
		"the kept connection broke":            {[]Class{Broken}, stay, true, 0},
		"broke, and a fresh one thrice":        {[]Class{Broken, Broken, Broken, Broken}, enter, true, 0},
		"broke, and a fresh one twice":         {[]Class{Broken, Broken, Broken}, stay, true, repeatAfter},
		"broke, and a fresh one answered":      {[]Class{Broken, Alive}, stay, false, time.Second},
		"broke, and a fresh one was refused":   {[]Class{Broken, Hard}, enter, false, 0},
		"silent, then nothing, then silent":    {[]Class{Timeout, None, Timeout}, stay, true, repeatAfter},
		"silent, nothing, silent, and silent":  {[]Class{Timeout, None, Timeout, Timeout}, enter, true, 0},
		"silent, and a fresh connection broke": {[]Class{Timeout, Broken, Timeout}, enter, true, 0},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMachine(Config{}.withDefaults(), func() float64 { return 0.5 }, epoch)
			now := epoch
			var v verdict
			for _, class := range test.results {
				now = later(now, m.next(now))
				_, begun := m.begin(now)
				require.True(t, begun)
				_, twice := m.begin(now)
				require.False(t, twice, "one at a time")
				v = m.finish(now, Evidence{Class: class, Cause: errFault})
			}
			require.Equal(t, test.want, v.move)
			if v.move == stay {
				assert.Equal(t, now.Add(test.pause), m.next(now))
				req, _ := m.begin(m.next(now))
				assert.Equal(t, ProbeRequest{Fresh: test.fresh}, req)
			}
		})
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Connections that break within one incident count once, with the first: only that one may
// write, of them all, is kept.
func TestABreakThatDoesNotCountIsNotWhatAPenaltyIsFor(t *testing.T) {
	m := newMachine(Config{Failures: 1}.withDefaults(), longest, epoch)
	m.begin(epoch)
	m.report(epoch, Evidence{Class: Broken, Cause: errFault})
	m.report(epoch, Evidence{Class: Timeout, Cause: errFault, Conn: 1, Sent: epoch})
	m.report(epoch, Evidence{Class: Broken, Cause: errFault, Write: true})
	v := m.tick(epoch.Add(brokenFor))
	assert.Equal(t, verdict{enter, Evidence{Class: Timeout, Cause: errFault, Conn: 1, Sent: epoch, Write: true}}, v)
}

func TestAskedProbesAreShared(t *testing.T) {
	m := newMachine(Config{}.withDefaults(), longest, epoch)
	m.due = epoch.Add(time.Hour)
	m.report(epoch, Evidence{Class: Ask})
	m.report(epoch, Evidence{Class: Broken, Write: true})
	req, begun := m.begin(epoch)
	require.True(t, begun)
	assert.Equal(t, ProbeRequest{Write: true}, req)

	m.report(epoch, Evidence{Class: Soft, Fresh: true})
	m.report(epoch, Evidence{Class: Soft})
	m.finish(epoch, Evidence{Class: Alive})
	req, begun = m.begin(epoch)
	require.True(t, begun, "what was asked while one ran needs another")
	assert.Equal(t, ProbeRequest{Fresh: true}, req)
	m.finish(epoch, Evidence{Class: Alive})
	_, begun = m.begin(epoch)
	assert.False(t, begun)
}

func TestProbeThatBeganBeforeThePenaltyProvesNothing(t *testing.T) {
	for _, class := range []Class{Alive, Hard, Timeout} {
		m := newMachine(Config{}.withDefaults(), longest, epoch)
		m.begin(epoch)
		m.penalize(epoch, Evidence{Class: Hard, Cause: errFault})
		before := m.due
		v := m.finish(epoch.Add(ms), Evidence{Class: class, Cause: errFault})
		assert.Equal(t, stay, v.move, "%v", class)
		assert.Equal(t, before, m.due)
		assert.Equal(t, class == Alive, m.answered)
	}
}

func TestProbeThatSaysNothingInTheBoxIsRepeatedAfterTheSameWait(t *testing.T) {
	m := newMachine(Config{}.withDefaults(), longest, epoch)
	m.penalize(epoch, Evidence{Class: Hard, Cause: errFault})
	now := epoch
	for range 5 {
		now = m.next(now)
		_, begun := m.begin(now)
		require.True(t, begun)
		assert.Equal(t, stay, m.finish(now, Evidence{Class: None}).move)
		assert.Equal(t, DefaultMinWait, m.due.Sub(now))
	}
}

func TestPatienceGrowsWithTheDistance(t *testing.T) {
	m := newMachine(Config{}.withDefaults(), longest, epoch)
	for _, test := range []struct{ took, want time.Duration }{
		{0, 20 * ms}, {5 * ms, 20 * ms}, {30 * ms, 120 * ms}, {time.Second, DefaultTimeout},
	} {
		m.took = recent{}
		m.took.add(test.took)
		assert.Equal(t, test.want, m.patience(silentFor), "%v", test.took)
	}
}

func TestWhichPenaltiesAreSilent(t *testing.T) {
	for class, want := range map[Class]bool{
		Broken: true, Timeout: true, Hard: true,
		Soft: false, Refusing: false, Misconfigured: false,
	} {
		assert.Equal(t, want, class.silent(), "%v", class)
	}
}

func TestWaitsGrowAndNeverLeaveTheirBounds(t *testing.T) {
	for _, test := range []struct {
		min, max   time.Duration
		multiplier float64
		want       []time.Duration
	}{
		{500 * ms, 2 * time.Second, 1.5, []time.Duration{500 * ms, 750 * ms, 1125 * ms, 1687500 * time.Microsecond, 2 * time.Second, 2 * time.Second}},
		{1, 5, 1.5, []time.Duration{1, 2, 3, 5, 5}},
		{time.Second, time.Second, 10, []time.Duration{time.Second, time.Second}},
		{time.Hour, math.MaxInt64, math.MaxFloat64, []time.Duration{time.Hour, math.MaxInt64, math.MaxInt64}},
		{10 * time.Second, 300 * time.Second, 1.5, []time.Duration{10 * time.Second, 15 * time.Second, 22500 * ms}},
	} {
		b := backoff{min: test.min, max: test.max, multiplier: test.multiplier}
		for i, want := range test.want {
			assert.Equal(t, want, b.next(Hard), "step %d of %+v", i, test)
		}
		b.soil(epoch)
		b.soil(epoch.Add(1000 * time.Hour))
		assert.LessOrEqual(t, b.level, test.max)
	}
}

func TestJitterKeepsItsBounds(t *testing.T) {
	for _, wait := range []time.Duration{1, 2, 3, 250 * ms, time.Second, math.MaxInt64} {
		for _, u := range []float64{0, 0.25, 0.5, 1} {
			got := equalJitter(wait, u)
			assert.Positive(t, got)
			assert.GreaterOrEqual(t, got, wait/2)
			assert.LessOrEqual(t, got, wait)
		}
	}
	assert.Zero(t, fullJitter(time.Second, 0))
	assert.Equal(t, 500*ms, fullJitter(time.Second, 0.5))
	assert.Equal(t, time.Second, fullJitter(time.Second, 1))
	assert.Equal(t, 900*ms, tenthJitter(time.Second, 0))
	assert.Equal(t, time.Second, tenthJitter(time.Second, 0.5))
	assert.Equal(t, 1100*ms, tenthJitter(time.Second, 1))
}

// WaitReady waits for nodes that have not answered, and hurries their probes. An answer
// after which a node stays out is not what it waits for.
func TestAFirstAnswerThatIsLateIsNotTheLastThatIsWaitedFor(t *testing.T) {
	g := newGroup(Config{}.withDefaults(), 2, func() float64 { return 1 }, epoch)
	m := g.nodes[0]
	m.penalize(epoch, Evidence{Class: Timeout, Cause: errFault})
	g.out++
	g.rouse()
	m.begin(epoch)
	now := epoch.Add(100 * time.Millisecond)
	g.finish(now, 0, Evidence{Class: Alive})
	require.False(t, m.state.Live)
	assert.False(t, m.answered)
	g.rouse()
	assert.True(t, m.wanted, "its probe is not hurried")
	m.begin(now)
	verdict := m.finish(now.Add(100*time.Millisecond), Evidence{Class: Alive})
	assert.Equal(t, leave, verdict.move, "the second one counts")
	assert.True(t, m.answered)
}
