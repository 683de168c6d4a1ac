package redistest

import (
	"fmt"
	"testing"
	"time"
)

// WaitFor polls cond until it holds, and fails the test at once if it does not
// within the given time; what and args say, as for fmt.Sprintf, what was waited
// for. Choose within generously: it costs nothing when all is well.
//
// It starts no goroutine, and works under fake time too. Call it from the
// test's own goroutine.
func WaitFor(t testing.TB, within time.Duration, cond func() bool, what string, args ...any) {
	t.Helper()
	if !poll(within, cond) {
		t.Fatalf("not within %v: %s", within, fmt.Sprintf(what, args...))
	}
}

// poll asks cond again and again, less and less often, and reports whether it
// came to hold within the given time.
func poll(within time.Duration, cond func() bool) bool {
	const longestPause = 20 * time.Millisecond
	deadline := time.Now().Add(within)
	for pause := time.Millisecond; !cond(); pause = min(2*pause, longestPause) {
		if time.Now().After(deadline) {
			return false
		}
		time.Sleep(pause)
	}
	return true
}
