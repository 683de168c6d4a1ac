// Package report writes what was measured, as Markdown.
package report

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table is a table with a title above and a remark below.
type Table struct {
	Title  string
	Header []string
	Rows   [][]string
	Remark string // a paragraph, or empty
}

// Add appends a row.
func (t *Table) Add(cells ...string) { t.Rows = append(t.Rows, cells) }

// WriteMarkdown writes the table, with columns that line up in the source too:
// the first to the left and the others, which hold figures, to the right. Rows
// may be shorter than the header but not longer: then it panics.
func (t *Table) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "## %s\n\n", t.Title)
	widths := t.widths()
	writeRow(&b, widths, t.Header)
	writeRule(&b, widths)
	for _, row := range t.Rows {
		writeRow(&b, widths, row)
	}
	if t.Remark != "" {
		fmt.Fprintf(&b, "\n%s\n", t.Remark)
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// widths returns how many characters each column needs.
func (t *Table) widths() []int {
	widths := make([]int, len(t.Header))
	for _, row := range append([][]string{t.Header}, t.Rows...) {
		if len(row) > len(widths) {
			panic(fmt.Sprintf("report: a row of %d cells is in a table of %d columns.", len(row), len(widths)))
		}
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(escape(cell)), 2)
		}
	}
	return widths
}

func writeRow(b *strings.Builder, widths []int, row []string) {
	for i, width := range widths {
		cell := ""
		if i < len(row) {
			cell = escape(row[i])
		}
		if i == 0 {
			fmt.Fprintf(b, "| %-*s ", width, cell)
		} else {
			fmt.Fprintf(b, "| %*s ", width, cell)
		}
	}
	b.WriteString("|\n")
}

func writeRule(b *strings.Builder, widths []int) {
	for i, width := range widths {
		if i == 0 {
			fmt.Fprintf(b, "|-%s-", strings.Repeat("-", width))
		} else {
			fmt.Fprintf(b, "|-%s:", strings.Repeat("-", width))
		}
	}
	b.WriteString("|\n")
}

// escape keeps a cell one cell.
func escape(cell string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ").Replace(cell)
}
