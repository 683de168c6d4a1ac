package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/redisfluster/fluster/bench/internal/report"
	"github.com/redisfluster/fluster/bench/internal/stats"
)

// none stands where there is nothing to tell.
const none = "–"

// figureColumns are the heads of what figureCells writes.
var figureColumns = []string{
	"ops/s", "× plain, ops/s", "p50 µs", "p99 µs", "p99.9 µs", "allocs/op",
	"client CPU µs/op", "× plain, CPU", "servers' CPU µs/op",
}

// figureCells is a client's row, without what names it.
func figureCells(samples, base []sample) []string {
	return []string{
		report.Figure(rate.median(samples)), ratioCell(rate, samples, base),
		report.Figure(p50.median(samples)), report.Figure(p99.median(samples)), report.Figure(p999.median(samples)),
		report.Count(allocated.median(samples)),
		figureCell(clientCPU, samples), ratioCell(clientCPU, samples, base),
		report.Figure(serversCPU.median(samples)),
	}
}

// figureCell writes a figure, if it was measured.
func figureCell(m measure, samples []sample) string {
	s := m.summary(samples)
	if !finite(s) {
		return none
	}
	return report.Figure(s.Median)
}

// ratioCell writes a ratio, if there is something to compare.
func ratioCell(m measure, samples, base []sample) string {
	if samples == nil || base == nil {
		return none
	}
	s := m.ratio(samples, base)
	if !finite(s) {
		return none
	}
	return report.Ratio(s)
}

// commandTable has a row for each client and number of goroutines. All outcomes
// are of one operation.
func commandTable(outcomes []outcome) *report.Table {
	st := outcomes[0].step
	table := &report.Table{
		Title:  st.title(),
		Header: append([]string{"client", "goroutines"}, figureColumns...),
		Remark: fmt.Sprintf("%d servers on this machine, %d keys, %d rounds for each client, of %v; with many "+
			"goroutines they are longer and may be fewer. An operation is one call.%s%s",
			st.nodes, st.keys, st.rounds, st.slice, st.condition.remark, failures(outcomes)),
	}
	for _, o := range outcomes {
		addRows(table, o, o.callers)
	}
	return table
}

// addRows adds a row for each client of an outcome, with the number that tells
// the outcome from others.
func addRows(table *report.Table, o outcome, number int) {
	base := o.of(plainID)
	for i, k := range o.clients {
		table.Add(append([]string{k.name, fmt.Sprint(number)}, figureCells(o.samples[i], base)...)...)
	}
}

// failures says which clients had calls that failed, or nothing.
func failures(outcomes []outcome) string {
	var text strings.Builder
	for _, o := range outcomes {
		for i, k := range o.clients {
			n, fault := failedIn(o.samples[i])
			if n > 0 {
				fmt.Fprintf(&text, " **%d calls of %s with %d goroutines failed**, one with: %v.", n, k.name, o.callers, fault)
			}
		}
	}
	return text.String()
}

func failedIn(samples []sample) (n int, fault error) {
	for _, s := range samples {
		n += s.failed
		if fault == nil {
			fault = s.fault
		}
	}
	return n, fault
}

// staleTable compares the two kinds of pools that GetClient gives.
func staleTable(outcomes []outcome) *report.Table {
	table := &report.Table{
		Title:  "The stale check's share",
		Header: []string{"goroutines", "ParseNode ÷ user-built, ops/s", "ParseNode ÷ user-built, CPU"},
		Remark: "GET of 64 B, the same rounds as above. ParseNode's pools look at the socket of an idle connection before " +
			"they lend it; user-built pools cannot. They also count bytes and follow the replies.",
	}
	for _, o := range outcomes {
		with, without := o.of(parsedPoolsID), o.of(userPoolsID)
		if o.op.id == "get-64" && with != nil && without != nil {
			table.Add(fmt.Sprint(o.callers), ratioCell(rate, with, without), ratioCell(clientCPU, with, without))
		}
	}
	return table
}

// rivals are those that the cluster is to beat.
var rivals = []string{ringID, rueidisID, plainID}

// subject returns the samples of the call that the cluster has for an operation:
// Do, or Get where Do can't.
func subject(o outcome) (name string, samples []sample) {
	if samples := o.of(doerID); samples != nil {
		return "Do", samples
	}
	return "Get", o.of(routedID)
}

// summaryTable sets the cluster against each rival and against the best of them.
func summaryTable(title string, outcomes []outcome) *report.Table {
	table := &report.Table{
		Title: title,
		Header: []string{
			"operation", "goroutines", "call", "ops/s × Ring", "× rueidis", "× plain", "× the best",
			"p99 ÷ Ring", "÷ rueidis", "÷ plain", "client CPU ÷ Ring", "÷ rueidis", "÷ plain",
		},
		Remark: "Of ops/s, above 1 is better; of p99 and of CPU, below 1. The best of the three is each round's.",
	}
	for _, o := range outcomes {
		name, samples := subject(o)
		if samples == nil {
			continue
		}
		row := []string{o.title(), fmt.Sprint(o.callers), name}
		row = append(row, againstRivals(rate, o, samples)...)
		row = append(row, againstBest(o, samples))
		row = append(row, againstRivals(p99, o, samples)...)
		table.Add(append(row, againstRivals(clientCPU, o, samples)...)...)
	}
	return table
}

func againstRivals(m measure, o outcome, samples []sample) []string {
	var cells []string
	for _, id := range rivals {
		cells = append(cells, ratioCell(m, samples, o.of(id)))
	}
	return cells
}

// againstBest compares rates with that of the fastest rival in the same round.
func againstBest(o outcome, samples []sample) string {
	best, met := make([]float64, len(samples)), false
	for _, id := range rivals {
		for i, r := range figures(o.of(id), rate.of) {
			best[i], met = max(best[i], r), true
		}
	}
	if !met {
		return none
	}
	return report.Ratio(stats.Summarize(stats.Ratios(figures(samples, rate.of), best)))
}

// nodesTable has a row for each client and number of nodes.
func nodesTable(outcomes []outcome) *report.Table {
	return growthTable("As nodes become more", "nodes", outcomes, func(o outcome) int { return o.nodes })
}

// keysTable has a row for each client and number of keys.
func keysTable(outcomes []outcome) *report.Table {
	return growthTable("As keys become more", "keys", outcomes, func(o outcome) int { return o.keys })
}

func growthTable(title, what string, outcomes []outcome, number func(outcome) int) *report.Table {
	table := &report.Table{
		Title:  title,
		Header: append([]string{"operation", "client", "goroutines", what}, figureColumns...),
		Remark: strings.TrimSpace(failures(outcomes)),
	}
	// By operation first: the order of measuring was another.
	sorted := slices.Clone(outcomes)
	slices.SortStableFunc(sorted, func(a, b outcome) int {
		return cmp.Or(rank(a.op)-rank(b.op), a.callers-b.callers)
	})
	for _, o := range sorted {
		base := o.of(plainID)
		for i, k := range o.clients {
			table.Add(append([]string{o.op.title, k.name, fmt.Sprint(o.callers), fmt.Sprint(number(o))}, figureCells(o.samples[i], base)...)...)
		}
	}
	return table
}

// rank is where an operation stands in the list.
func rank(op operation) int {
	return slices.IndexFunc(operations, func(other operation) bool { return other.id == op.id })
}
