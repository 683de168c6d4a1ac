package report_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/bench/internal/report"
	"github.com/redisfluster/fluster/bench/internal/stats"
)

func markdown(t *testing.T, table report.Table) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, table.WriteMarkdown(&b))
	return b.String()
}

func TestATableIsMarkdownWhoseColumnsLineUp(t *testing.T) {
	table := report.Table{Title: "GET", Header: []string{"client", "ops/s"}, Remark: "Read it thus."}
	table.Add("plain", "1.0")
	table.Add("längër name", "100.0")
	assert.Equal(t, `## GET

| client      | ops/s |
|-------------|------:|
| plain       |   1.0 |
| längër name | 100.0 |

Read it thus.

`, markdown(t, table))
}

func TestATableWithoutARemarkEndsWithItsRows(t *testing.T) {
	table := report.Table{Title: "t", Header: []string{"a"}, Rows: [][]string{{"1"}}}
	assert.Equal(t, "## t\n\n| a  |\n|----|\n| 1  |\n\n", markdown(t, table))
}

func TestACellStaysOneCell(t *testing.T) {
	table := report.Table{Title: "t", Header: []string{"a", "b"}}
	table.Add("x|y", "1\n2")
	assert.Contains(t, markdown(t, table), `| x\|y | 1 2 |`)
}

func TestAShortRowIsFilledUp(t *testing.T) {
	table := report.Table{Title: "t", Header: []string{"a", "b"}}
	table.Add("1")
	assert.Contains(t, markdown(t, table), "| 1  |    |\n")
}

func TestALongRowIsABug(t *testing.T) {
	table := report.Table{Header: []string{"a"}}
	table.Add("1", "2")
	assert.Panics(t, func() { _ = table.WriteMarkdown(&strings.Builder{}) })
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestAWriteErrorIsReturned(t *testing.T) {
	full := errors.New("disk full")
	table := report.Table{Header: []string{"a"}}
	assert.ErrorIs(t, table.WriteMarkdown(brokenWriter{full}), full)
}

func TestARatioHasItsSpread(t *testing.T) {
	tests := []struct {
		summary stats.Summary
		want    string
	}{
		{stats.Summary{Low: 0.951, Median: 0.966, High: 0.994}, "0.97 (0.95–0.99)"},
		{stats.Summary{Low: 9.4, Median: 10.04, High: 12}, "9.40–"},
		{stats.Summary{Low: 99, Median: 100.4, High: 101}, "100 (99.0–101)"},
	}
	for _, tt := range tests {
		assert.Contains(t, report.Ratio(tt.summary), tt.want)
	}
}

func TestAFigureIsShort(t *testing.T) {
	assert.Equal(t, "18.9", report.Figure(18.92))
	assert.Equal(t, "9999.0", report.Figure(9999))
	assert.Equal(t, "21.4k", report.Figure(21_432))
}

func TestACountIsWholeWhereItCanBe(t *testing.T) {
	tests := map[float64]string{0: "0", 0.003: "0", -0.001: "0", 4.97: "5", 5.03: "5", 6.5: "6.5", 0.06: "0.1"}
	for x, want := range tests {
		assert.Equal(t, want, report.Count(x))
	}
}
