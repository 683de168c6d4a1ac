package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"unicode/utf8"
)

// number writes n with commas: "1,234,567".
func number(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// count writes how many there are of a thing: "1 key", "1,234 keys".
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return number(n) + " " + thing
}

// percent writes a share of 1: "33.31 %".
func percent(share float64) string { return fmt.Sprintf("%.2f %%", 100*share) }

// table is rows of cells under a head. The first column is flush left, the others
// flush right, and what follows the head's last column is as it is.
type table struct {
	head []string
	rows [][]string
}

func (t table) write(w *bufio.Writer) {
	widths := make([]int, len(t.head))
	all := append([][]string{t.head}, t.rows...)
	for _, row := range all {
		for i, cell := range row[:len(widths)] {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range all {
		var line strings.Builder
		for i, cell := range row {
			switch {
			case i == 0:
				fmt.Fprintf(&line, "%-*s", widths[i], cell)
			case i < len(widths):
				fmt.Fprintf(&line, "  %*s", widths[i], cell)
			default:
				line.WriteString("  " + cell)
			}
		}
		_, _ = w.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
}

// bar draws a bar of so many columns, to an eighth of one.
func bar(columns float64) string {
	eighths := int(8*columns + 0.5)
	drawn := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		drawn += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return drawn
}

// writeJSON writes a report for programs.
func writeJSON(w *bufio.Writer, report any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}

// writePicture writes a picture to a file.
func writePicture(file, picture string) error {
	if err := os.WriteFile(file, []byte(picture), 0o666); err != nil {
		return fmt.Errorf("--svg: %w", err)
	}
	return nil
}
