package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/redisfluster/fluster/internal/redistest"
)

// lastRow is the number of the matrix's last row.
const lastRow = 60

// elsewhere is the row of nodes that are added and removed while the cluster runs,
// which there is no call for.
const elsewhere = 50

// read returns the rows of a file, in order.
func read(file string) ([]redistest.RowReport, error) {
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no test wrote a row")
	}
	if err != nil {
		return nil, err
	}
	var rows []redistest.RowReport
	for line := range bytes.Lines(data) {
		var r redistest.RowReport
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("row %d: %w", len(rows)+1, err)
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b redistest.RowReport) int {
		return cmp.Or(cmp.Compare(a.Number, b.Number), cmp.Compare(a.Test, b.Test))
	})
	return rows, nil
}

// table returns the rows as Markdown.
func table(rows []redistest.RowReport) string {
	var b strings.Builder
	b.WriteString("| row | fault | by | calls lost | longest call | back after | verdict |\n")
	b.WriteString("| ---: | --- | --- | ---: | ---: | ---: | --- |\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| %d | %s | %s | %s | %s | %s | %s |\n",
			r.Number, r.Fault, r.Injected, lost(r), span(r.Longest), span(r.Recovered), verdict(r))
	}
	return b.String()
}

func lost(r redistest.RowReport) string {
	if r.Calls == 0 {
		return ""
	}
	return fmt.Sprintf("%d of %d", r.Lost, r.Calls)
}

func span(d time.Duration) string {
	switch {
	case d == 0:
		return ""
	case d < time.Millisecond:
		return d.Round(time.Microsecond).String()
	case d < 10*time.Millisecond:
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

func verdict(r redistest.RowReport) string {
	if r.Remark == "" {
		return r.Verdict
	}
	return r.Verdict + ": " + r.Remark
}

// missing returns an error that names the rows without a test.
func missing(rows []redistest.RowReport) error {
	seen := map[int]bool{elsewhere: true}
	for _, r := range rows {
		seen[r.Number] = true
	}
	var none []string
	for n := 1; n <= lastRow; n++ {
		if !seen[n] {
			none = append(none, fmt.Sprint(n))
		}
	}
	if none == nil {
		return nil
	}
	return errors.New("no test for rows " + strings.Join(none, ", "))
}
