package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/redisfluster/fluster/bench/internal/report"
	"github.com/redisfluster/fluster/bench/internal/stats"
)

// column is one figure of an outcome.
type column struct {
	title string
	of    func(outcome) float64
	write func(float64) string
}

var columns = []column{
	{"calls lost", func(o outcome) float64 { return float64(o.Lost) }, count},
	{"calls missed", func(o outcome) float64 { return float64(o.Missed) }, count},
	{"longest call", func(o outcome) float64 { return float64(o.Longest) }, span},
	{"trouble over after", func(o outcome) float64 { return float64(o.Trouble) }, span},
	{"keys home after", func(o outcome) float64 { return float64(o.Home) }, span},
}

// tables returns all tables: what faults cost under each setting, single calls, and
// the spread of the figures.
func (r *run) tables() []report.Table {
	return []report.Table{r.cost(byDefault), r.cost(alike), r.rushTable(), r.calls(), r.details()}
}

// cost is the table of one setting, with all clients in each cell.
func (r *run) cost(s setting) report.Table {
	t := report.Table{
		Title:  "What faults cost, " + s.Name,
		Header: []string{"fault of one of three servers"},
		Remark: fmt.Sprintf("Each cell: go-redis Ring : `GetClient` : `Do`, %s, and in parentheses how many times as much it is "+
			"for the Ring as for the worse of the two. %s Each has servers of its own and %d callers that INCR every %s. "+
			"*Lost* is calls that failed; *missed* is those, those that took %s and longer, and those that were due while a caller was held up. "+
			"*Trouble* is over when the last call has failed or been late; that counts from the fault. "+
			"*Keys home* is from the fault's end until the server gets its calls again. "+
			"The Ring repeats a failed INCR up to three times, `GetClient` never, and `Do` only one that cannot have run. "+
			"While all servers are down every call is lost, and who fails at once makes more of them.",
			r.medians(), s.remark(), callers, span(float64(pace)), span(float64(late))),
	}
	for _, c := range columns {
		t.Header = append(t.Header, c.title)
	}
	for _, rows := range chunk(r.Faults, s) {
		cells := []string{rows[0].Fault}
		for _, c := range columns {
			cells = append(cells, c.cell(rows))
		}
		t.Add(cells...)
	}
	return t
}

// medians says what the figures are.
func (r *run) medians() string {
	if r.rounds == 1 {
		return "of one round"
	}
	return fmt.Sprintf("medians of %d rounds", r.rounds)
}

// remark says how patient the clients are.
func (s setting) remark() string {
	if s.limit == 0 {
		return "The Ring waits 5 s for a server and looks after each every 500 ms; this library waits 1 s and looks every second."
	}
	return fmt.Sprintf("All wait %s for a server and look after each every %s; the Ring heeds contexts and has a connection for every caller.", span(float64(s.limit)), span(float64(s.beat)))
}

// chunk returns the results under a setting, those of each fault together.
func chunk(results []result, s setting) (faults [][]result) {
	for _, r := range results {
		if r.Setting != s.Name {
			continue
		}
		if n := len(faults); n > 0 && faults[n-1][0].Fault == r.Fault {
			faults[n-1] = append(faults[n-1], r)
			continue
		}
		faults = append(faults, []result{r})
	}
	return faults
}

// cell writes the medians of the first client and of the others, and their ratio.
func (c column) cell(rows []result) string {
	var medians []float64
	var words []string
	for _, r := range rows {
		m := stats.Summarize(c.figures(r)).Median
		medians = append(medians, m)
		words = append(words, c.write(m))
	}
	return strings.Join(words, " : ") + ratio(medians[0], slices.Max(medians[1:]))
}

// ratio writes how many times as much first is as other, if that can be said.
func ratio(first, other float64) string {
	if first <= 0 || other <= 0 {
		return ""
	}
	switch r := first / other; {
	case r >= 9.95:
		return fmt.Sprintf(" (%.0f ×)", r)
	case r >= 0.995:
		return fmt.Sprintf(" (%.1f ×)", r)
	default:
		return fmt.Sprintf(" (%.2g ×)", r)
	}
}

func (c column) figures(r result) (xs []float64) {
	for _, o := range r.Rounds {
		xs = append(xs, c.of(o))
	}
	return xs
}

// calls is the table of single calls.
func (r *run) calls() report.Table {
	t := report.Table{
		Title:  "What single calls do",
		Header: []string{"call"},
		Remark: fmt.Sprintf("At the defaults where nothing else is said; %s. With `GetClient` keys of several servers are the caller's to split.", r.medians()),
	}
	for _, k := range kinds {
		t.Header = append(t.Header, k.Name)
	}
	for i, f := range r.Singles {
		if i%len(kinds) == 0 {
			t.Add(f.What)
		}
		row := &t.Rows[len(t.Rows)-1]
		*row = append(*row, f.cell())
	}
	return t
}

func (f finding) cell() string {
	if len(f.Rounds) == 0 {
		return "–"
	}
	for _, s := range singles {
		if s.name == f.What {
			return s.write(stats.Summarize(f.Rounds).Median)
		}
	}
	return ""
}

// details is the table with a row for each client and the range of each figure.
func (r *run) details() report.Table {
	t := report.Table{
		Title:  "The same, with the least and the most of all rounds",
		Header: []string{"fault", "setting", "client", "calls", "longest before"},
		Remark: "*Longest before* is of the calls before the fault, and tells how busy the machine was with other things. " +
			"*Ran again* is how many calls the servers ran more than once, in all rounds.",
	}
	for _, c := range columns {
		t.Header = append(t.Header, c.title)
	}
	t.Header = append(t.Header, "ran again")
	for _, res := range r.Faults {
		t.Add(res.detail()...)
	}
	return t
}

func (r result) detail() []string {
	calls, again := 0, 0
	for _, o := range r.Rounds {
		calls += o.Calls
		again += o.Again
	}
	before := column{of: func(o outcome) float64 { return float64(o.Before) }, write: span}
	cells := []string{r.Fault, r.Setting, r.Client, fmt.Sprint(calls / len(r.Rounds))}
	for _, c := range append([]column{before}, columns...) {
		xs := c.figures(r)
		cell := c.write(stats.Summarize(xs).Median)
		if least, most := c.write(slices.Min(xs)), c.write(slices.Max(xs)); least != most {
			cell += fmt.Sprintf(" (%s–%s)", least, most)
		}
		cells = append(cells, cell)
	}
	return append(cells, fmt.Sprint(again))
}

func count(x float64) string { return fmt.Sprintf("%.0f", math.Round(x)) }

// span writes a time in nanoseconds with two digits or three; none at all as a dash.
func span(ns float64) string {
	d := time.Duration(ns)
	switch {
	case d < 0:
		return "never"
	case d == 0:
		return "–"
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	case d < time.Second:
		return fmt.Sprintf("%.0f ms", float64(d)/1e6)
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("%.0f s", d.Seconds())
}
