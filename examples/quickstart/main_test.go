package main

import (
	"context"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

// screen is what a program under test prints to while the test reads along.
type screen struct {
	mu   sync.Mutex
	text strings.Builder
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await waits until the program has printed text.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	redistest.WaitFor(t, time.Minute, func() bool { return strings.Contains(s.String(), text) }, "output: %s", text)
}

// begin runs f beside the test, and returns what waits for its error.
func begin(f func() error) func() error {
	result := make(chan error, 1)
	go func() { result <- f() }()
	return func() error { return <-result }
}

func TestANodeDiesAndComesBackAndAllThatIsClaimedHolds(t *testing.T) {
	redistest.NoLeaks(t)
	var out screen
	require.NoError(t, run(t.Context(), []string{"-phase", "500ms"}, &out), out.String())
	for _, want := range []string{
		"killing node b", "b is penalized after", "GetClient gave another node after", "DOWN",
		"restarting node b", "b is back after", "no key of a live node has moved", "All 12 checks held.",
	} {
		assert.Contains(t, out.String(), want)
	}
	assert.NotRegexp(t, `ok    ?0 waited`, out.String(), "jobs waited on the node that died")
	assert.NotContains(t, out.String(), "WRONG")
}

func TestWithoutATerminalLinesArePlainAndFit(t *testing.T) {
	var out screen
	require.NoError(t, run(t.Context(), []string{"-phase", "150ms"}, &out), out.String())
	assert.NotContains(t, out.String(), "\x1b")
	for line := range strings.Lines(out.String()) {
		assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), 80, line)
	}
}

func TestRealServersAreOnlyWatchedAndLeftClean(t *testing.T) {
	redistest.NoLeaks(t)
	var urls []string
	var servers []*redistest.Server
	for range 3 {
		s := redistest.Start(t, "--appendonly", "yes", "--appendfsync", "always")
		servers, urls = append(servers, s), append(urls, s.URL())
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out screen
	result := begin(func() error { return run(ctx, append([]string{"-for", "10m"}, urls...), &out) })
	out.await(t, "nothing here stops them")
	servers[2].Kill()
	out.await(t, " is penalized: ")
	servers[2].Restart()
	out.await(t, " is back: ")
	interrupt()
	require.NoError(t, result(), out.String())
	assert.Regexp(t, `All \d+ checks held.`, out.String())
	for _, s := range servers {
		assert.EqualValues(t, 0, s.Do("DBSIZE"), "keys that were left behind")
	}
}

func TestDataThatVanishesFromALiveNodeIsReportedAsWrong(t *testing.T) {
	redistest.NoLeaks(t)
	servers, err := startServers("a", "b", "c")
	require.NoError(t, err)
	defer stopServers(servers)
	var out screen
	opts := options{phase: 500 * time.Millisecond}
	result := begin(func() error { return perform(t.Context(), opts, urlsOf(servers), servers, &out) })
	out.await(t, "node b is dead")
	servers[0].redis.FlushAll()
	err = result()
	require.ErrorContains(t, err, "checks failed: ")
	assert.ErrorContains(t, err, "each adds up to what was acknowledged")
	assert.Contains(t, out.String(), "WRONG each adds up")
	assert.NotContains(t, out.String(), "checks held")
}

func TestANodeThatDiesUncalledForEndsTheShow(t *testing.T) {
	redistest.NoLeaks(t)
	servers, err := startServers("a", "b", "c")
	require.NoError(t, err)
	defer stopServers(servers)
	var out screen
	opts := options{phase: time.Minute}
	result := begin(func() error { return perform(t.Context(), opts, urlsOf(servers), servers, &out) })
	out.await(t, "all nodes live")
	servers[2].kill()
	require.ErrorContains(t, result(), "nothing was done to any node, but c is penalized")
}

func TestAnInterruptEndsTheShow(t *testing.T) {
	redistest.NoLeaks(t)
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	var out screen
	result := begin(func() error { return run(ctx, []string{"-phase", "1m"}, &out) })
	out.await(t, "all nodes live")
	interrupt()
	require.ErrorIs(t, result(), context.Canceled)
}

func TestArgumentsThatMakeNoSenseAreRefused(t *testing.T) {
	require.ErrorContains(t, run(t.Context(), []string{"redis://localhost", "http://localhost"}, io.Discard), "argument 2")
	require.Error(t, run(t.Context(), []string{"-nonsense"}, io.Discard))
}

func TestATerminalGetsATableThatIsRedrawnInPlace(t *testing.T) {
	servers, err := startServers("a", "b")
	require.NoError(t, err)
	defer stopServers(servers)
	cluster, err := open(t.Context(), urlsOf(servers), nil)
	require.NoError(t, err)
	defer func() { _ = cluster.Close() }()
	var out screen
	b := &board{out: &out, cluster: cluster, load: newWorkload(cluster), keys: sample(), live: true, colour: true}
	b.redraw("first\n")
	b.redraw("second\n")
	first, second, found := strings.Cut(out.String(), "second\n")
	require.True(t, found)
	assert.Contains(t, first, "first\n")
	up := regexp.MustCompile(`\x1b\[(\d+)A\r\x1b\[J$`).FindStringSubmatch(first)
	require.NotNil(t, up, "the cursor goes back up, and the old table is erased")
	_, table, _ := strings.Cut(second, "\x1b[?7l")
	assert.Equal(t, up[1], strconv.Itoa(strings.Count(table, "\n")))
	assert.Contains(t, table, "\x1b[32mlive")
	b.colour = false
	assert.NotContains(t, strings.Join(b.frame(), ""), "\x1b")
}

func TestOnlyATerminalIsATerminal(t *testing.T) {
	f, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	defer f.Close()
	assert.False(t, isTerminal(f))
	assert.False(t, isTerminal(&screen{}))
}

func TestASurveyFindsEveryKeyThatShouldNotHaveMoved(t *testing.T) {
	home := survey{at: []string{"a", "a", "b", "c"}, live: map[string]bool{"a": true, "b": true, "c": true}}
	dead := map[string]bool{"a": true, "b": false, "c": true}
	tests := []struct {
		name string
		now  survey
		want movement
	}{
		{"nothing happened", home, movement{}},
		{"the dead node's key moved", survey{[]string{"a", "a", "c", "c"}, dead}, movement{away: 1}},
		{"a live node's key moved too", survey{[]string{"a", "c", "c", "c"}, dead}, movement{away: 2, wrong: 1}},
		{"the dead node's key stayed", survey{[]string{"a", "a", "b", "c"}, dead}, movement{wrong: 1}},
		{"no node lives", survey{[]string{"", "", "", ""}, nil}, movement{away: 4}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { assert.Equal(t, test.want, test.now.since(home)) })
	}
}

func TestTheLedgerTellsWhatBecameOfTheJobs(t *testing.T) {
	l := newLedger()
	l.pushed("fine", "a")
	l.handled("fine")
	l.pushed("lost", "a")
	l.pushed("again", "a")
	l.doubt("again")
	l.handled("again")
	l.handled("again")
	l.pushed("twice", "a")
	l.handled("twice")
	l.handled("twice")
	l.handled("unasked")
	l.doubt("half pushed")
	l.handled("half pushed")
	assert.Equal(t, jobCounts{lost: 1, again: 1, twice: 1, unasked: 1}, l.jobCounts())
	assert.Equal(t, []string{"lost"}, l.waitingAt("a"))
	assert.Equal(t, 1, l.unhandled([]string{"fine", "lost"}))
}

func TestFiguresAreTold(t *testing.T) {
	assert.Equal(t, "0", commas(0))
	assert.Equal(t, "999", commas(999))
	assert.Equal(t, "1,000", commas(1000))
	assert.Equal(t, "-1,234,567", commas(-1234567))
	assert.Equal(t, "1.2 ms", duration(1234*time.Microsecond).String())
	assert.Equal(t, "234 ms", duration(234*time.Millisecond).String())
	assert.Equal(t, "1.5 s", duration(1500*time.Millisecond).String())
	assert.Equal(t, "████████████", bar(1, 12))
	assert.Equal(t, "            ", bar(0, 12))
	assert.Equal(t, "██▌  ", bar(0.5, 5))
	assert.Equal(t, "abc…", clip("abcdef", 4))
	assert.Equal(t, "abcd", clip("abcd", 4))
}
