package redistest

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// NoLeaks fails the test if goroutines that it started still run when it ends.
// Goroutines that run already when NoLeaks is called do not count, and cleanups
// registered after the call run before the check, so call it first of all. It
// cannot tell one test's goroutines from another's: not for parallel tests. Those that
// ignore describes do not count either.
func NoLeaks(t testing.TB, ignore ...goleak.Option) {
	t.Helper()
	ignore = append(ignore, goleak.IgnoreCurrent())
	t.Cleanup(func() {
		if !t.Failed() { // what a failed test leaves behind is no news
			goleak.VerifyNone(t, ignore...)
		}
	})
}

// OpenFDs returns how many file descriptors this process has open, or -1 where
// the system does not tell.
func OpenFDs() int {
	for _, dir := range []string{"/proc/self/fd", "/dev/fd"} {
		if entries, err := os.ReadDir(dir); err == nil {
			return len(entries) - 1 // not the one that reads the directory
		}
	}
	return -1
}
