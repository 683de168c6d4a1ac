package redistest

import (
	"encoding/json"
	"os"
	"sync"
	"testing"
	"time"
)

// RowsFile is the environment variable that names the file to which rows are
// appended, one JSON object a line. Without it they are kept to themselves.
const RowsFile = "FLUSTER_FAULT_ROWS"

// Row is what a test saw of one row of the fault matrix. Make it with Faults, and
// fill in what was measured; it is written when the test ends. Its fields belong to
// the test's own goroutine.
type Row struct {
	Number   int    // of the matrix
	Fault    string // what happened
	Injected string // by what means

	// Calls are how many calls were under way while it lasted, and Lost how many of
	// them failed. Zero Calls means that there were none to lose.
	Calls, Lost int

	// Longest is how long the longest call took, and Recovered the time from the end
	// of the fault until all was as before. Zero means not measured.
	Longest, Recovered time.Duration

	// Remark is what else is to be said.
	Remark string
}

// RowReport is a Row as it is written.
type RowReport struct {
	Row
	Test    string
	Verdict string // "holds", "broken" or "not run"
	Why     string `json:",omitempty"` // it was not run
}

// rowsMu serializes what the tests of one process write.
var rowsMu sync.Mutex

// Faults begins the row of that number: what happened, and by what means.
func Faults(t testing.TB, number int, fault, injected string) *Row {
	t.Helper()
	r := &Row{Number: number, Fault: fault, Injected: injected}
	t.Cleanup(func() { r.write(t) })
	return r
}

// NotHere ends the test as one that this machine cannot run, by name.
func (r *Row) NotHere(t testing.TB, why string) {
	t.Helper()
	r.Remark = why
	t.Skip(why)
}

func (r *Row) write(t testing.TB) {
	path := os.Getenv(RowsFile)
	if path == "" {
		return
	}
	report := RowReport{Row: *r, Test: t.Name(), Verdict: "holds"}
	switch {
	case t.Failed():
		report.Verdict = "broken"
	case t.Skipped():
		report.Verdict, report.Why = "not run", r.Remark
	}
	line, err := json.Marshal(report)
	if err != nil {
		t.Errorf("row %d: %v", r.Number, err)
		return
	}
	rowsMu.Lock()
	defer rowsMu.Unlock()
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Errorf("row %d: %v", r.Number, err)
		return
	}
	_, err = file.Write(append(line, '\n'))
	if err := file.Close(); err != nil {
		t.Errorf("row %d: %v", r.Number, err)
	}
	if err != nil {
		t.Errorf("row %d: %v", r.Number, err)
	}
}
