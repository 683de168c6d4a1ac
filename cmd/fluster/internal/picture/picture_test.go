package picture_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/cmd/fluster/internal/picture"
)

// sound fails the test unless svg is XML with figures that are numbers.
func sound(t *testing.T, svg string) {
	t.Helper()
	assert.NotContains(t, svg, "NaN")
	assert.NotContains(t, svg, "Inf")
	for d := xml.NewDecoder(strings.NewReader(svg)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

var barWidth = regexp.MustCompile(`<rect class="value" x="[^"]*" y="[^"]*" width="([^"]*)" height="16"`)

func TestBarsAreAsLongAsTheirValues(t *testing.T) {
	svg := picture.Bars{Title: "t", Bars: []picture.Bar{{Label: "a", Value: 0.5, Mark: 0.25}, {Label: "b", Value: 0.25, Mark: 0.5}, {Label: "c"}}}.SVG()
	sound(t, svg)
	var widths []string
	for _, m := range barWidth.FindAllStringSubmatch(svg, -1) {
		widths = append(widths, m[1])
	}
	assert.Equal(t, []string{"560.0", "280.0", "0.0"}, widths)
	assert.Equal(t, 2, strings.Count(svg, `class="mark"`)-1, "a node without a share has no mark; the legend has one")
}

func TestPicturesQuoteWhatXMLWouldRead(t *testing.T) {
	odd := "<a> & \"b\" \x01"
	bars := picture.Bars{Title: odd, Subtitle: odd, Axis: odd, Value: odd, Mark: odd, Bars: []picture.Bar{{Label: odd, Text: odd, Value: 1, Mark: 1}}}
	matrix := picture.Matrix{
		Title: odd, Subtitle: odd, Rows: odd, Columns: odd, Scale: odd, Stays: odd,
		RowLabels: []string{odd}, ColumnLabels: []string{odd}, Cells: [][]picture.Cell{{{Value: 1, Text: odd}}},
	}
	for _, svg := range []string{bars.SVG(), matrix.SVG()} {
		sound(t, svg)
		assert.Contains(t, svg, "&lt;a&gt;")
	}
}

func TestEmptyPicturesArePicturesToo(t *testing.T) {
	sound(t, picture.Bars{}.SVG())
	sound(t, picture.Matrix{}.SVG())
	sound(t, picture.Bars{Bars: make([]picture.Bar, 3)}.SVG())
}

// square is a matrix with n rows and columns.
func square(n int) picture.Matrix {
	var m picture.Matrix
	for i := range n {
		m.RowLabels = append(m.RowLabels, fmt.Sprint("r", i))
		m.ColumnLabels = append(m.ColumnLabels, fmt.Sprint("c", i))
		row := make([]picture.Cell, n)
		for j := range row {
			row[j] = picture.Cell{Value: float64(i+j) / float64(n*n*n), Stays: i == j, Text: "text"}
		}
		m.Cells = append(m.Cells, row)
	}
	return m
}

func TestSmallMatricesShowFiguresAndLargeOnesHints(t *testing.T) {
	small, large := square(4).SVG(), square(60).SVG()
	sound(t, small)
	sound(t, large)
	assert.Contains(t, small, ">text<")
	assert.NotContains(t, large, ">text<")
	assert.Contains(t, large, "r1 → c2: text")
	assert.Less(t, strings.Count(square(150).SVG(), `rotate(-45)`), 100, "names of small columns would lie on each other")
}

func TestTheLargestFlowIsTheDarkest(t *testing.T) {
	m := picture.Matrix{
		RowLabels: []string{"a"}, ColumnLabels: []string{"a", "b", "c"},
		Cells: [][]picture.Cell{{{Value: 0.9, Stays: true}, {Value: 0.02, Text: "x"}, {Value: 0.08, Text: "y"}}},
	}
	svg := m.SVG()
	assert.Regexp(t, `y</title><rect class="value" fill-opacity="0.600"`, svg)
	assert.Regexp(t, `x</title><rect class="value" fill-opacity="0.340"`, svg)
	assert.Equal(t, 2, strings.Count(svg, `class="stays"`), "one cell, and the legend")
}
