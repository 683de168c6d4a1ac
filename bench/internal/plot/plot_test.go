package plot_test

import (
	"encoding/xml"
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/bench/internal/plot"
)

func line(name string, ys ...float64) plot.Line {
	l := plot.Line{Name: name, Look: plot.Look{Color: "#123456"}}
	for i, y := range ys {
		l.Points = append(l.Points, plot.Point{X: float64(int(1) << i), Y: y})
	}
	return l
}

// wellFormed fails the test unless text is XML.
func wellFormed(t *testing.T, text string) {
	t.Helper()
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

// labels returns the heights of the names that are drawn, by name.
func labels(svg string) map[string]float64 {
	found := make(map[string]float64)
	for _, m := range regexp.MustCompile(`<text x="[^"]*" y="([^"]*)" [^>]*>([^<]*)</text>`).FindAllStringSubmatch(svg, -1) {
		found[m[2]], _ = strconv.ParseFloat(m[1], 64)
	}
	return found
}

// polylines returns the points of all lines.
func polylines(svg string) [][][2]float64 {
	var all [][][2]float64
	for _, m := range regexp.MustCompile(`points="([^"]*)"`).FindAllStringSubmatch(svg, -1) {
		var points [][2]float64
		for pair := range strings.FieldsSeq(m[1]) {
			x, y, _ := strings.Cut(pair, ",")
			px, _ := strconv.ParseFloat(x, 64)
			py, _ := strconv.ParseFloat(y, 64)
			points = append(points, [2]float64{px, py})
		}
		all = append(all, points)
	}
	return all
}

func TestAChartIsXMLWithItsNames(t *testing.T) {
	svg := plot.Chart{Title: "a < b", X: "callers & co", Y: "ops", Lines: []plot.Line{line("<one>", 1, 2)}}.SVG()
	wellFormed(t, svg)
	for _, text := range []string{"a &lt; b", "callers &amp; co", "ops", "&lt;one&gt;", "#123456"} {
		assert.Contains(t, svg, text)
	}
}

func TestEqualFactorsAreEqualDistances(t *testing.T) {
	lines := polylines(plot.Chart{Lines: []plot.Line{line("a", 1, 10, 100)}}.SVG())
	require.Len(t, lines, 1)
	p := lines[0]
	require.Len(t, p, 3)
	assert.InDelta(t, p[1][0]-p[0][0], p[2][0]-p[1][0], 0.2)
	assert.InDelta(t, p[1][1]-p[0][1], p[2][1]-p[1][1], 0.2)
	assert.Greater(t, p[0][1], p[2][1], "larger figures are higher up")
}

func TestNamesStandInTheOrderOfTheLinesEndsAndApart(t *testing.T) {
	chart := plot.Chart{Lines: []plot.Line{line("low", 5, 1), line("high", 1, 5), line("twin", 5, 1.001), line("third", 5, 1)}}
	at := labels(chart.SVG())
	assert.Less(t, at["high"], at["twin"])
	for _, names := range [][2]string{{"high", "twin"}, {"twin", "low"}, {"low", "third"}} {
		assert.GreaterOrEqual(t, at[names[1]]-at[names[0]], 15.0, "%v", names)
	}
}

func TestABoldLineLiesOnTop(t *testing.T) {
	bold := line("bold", 1, 100)
	bold.Look.Bold = true
	lines := polylines(plot.Chart{Lines: []plot.Line{bold, line("thin", 1, 2)}}.SVG())
	require.Len(t, lines, 2)
	assert.Less(t, lines[1][1][1], lines[0][1][1], "the last one drawn is the one that rises")
}

func TestWhatALogarithmHasNoPlaceForIsLeftOut(t *testing.T) {
	svg := plot.Chart{Lines: []plot.Line{line("some", 0, 2, 3), line("none", 0, -1)}}.SVG()
	wellFormed(t, svg)
	lines := polylines(svg)
	require.Len(t, lines, 1)
	assert.Len(t, lines[0], 2)
	assert.NotContains(t, svg, "none<")
	assert.NotContains(t, svg, "NaN")
}

func TestFewPointsMakeAChartToo(t *testing.T) {
	for _, chart := range []plot.Chart{{}, {Lines: []plot.Line{line("a", 7)}}} {
		svg := chart.SVG()
		wellFormed(t, svg)
		assert.NotContains(t, svg, "NaN")
		assert.NotContains(t, svg, "Inf")
	}
}

func TestEveryMarkHasAShapeOfItsOwn(t *testing.T) {
	seen := make(map[string]bool)
	for _, mark := range []plot.Mark{plot.Circle, plot.Square, plot.Diamond, plot.Triangle} {
		l := line("a", 1)
		l.Look.Mark = mark
		svg := plot.Chart{Lines: []plot.Line{l}}.SVG()
		wellFormed(t, svg)
		assert.False(t, seen[svg])
		seen[svg] = true
	}
}

func TestASpreadIsABar(t *testing.T) {
	l := line("a", 10, 20)
	bare := plot.Chart{Lines: []plot.Line{l}}.SVG()
	l.Points[1].Low, l.Points[1].High = 15, 30
	assert.NotContains(t, bare, "stroke-opacity=\".5\"")
	assert.Equal(t, 1, strings.Count(plot.Chart{Lines: []plot.Line{l}}.SVG(), "stroke-opacity=\".5\""))
}

func TestTicksAreRoundFigures(t *testing.T) {
	at := labels(plot.Chart{Lines: []plot.Line{line("a", 900, 40_000)}}.SVG())
	for _, tick := range []string{"1000", "2000", "5000", "10k", "20k"} {
		assert.Contains(t, at, tick)
	}
	assert.NotContains(t, at, "50k")
	assert.Less(t, at["20k"], at["1000"])
	at = labels(plot.Chart{Lines: []plot.Line{line("a", 0.5, 2e6)}}.SVG())
	assert.Contains(t, at, "1M")
	assert.NotContains(t, at, "2000", "a long axis has the powers of ten alone")
}
