// Package plot draws lines on logarithmic axes, as SVG that a browser shows by
// itself: no script, no font but the reader's own, nothing from elsewhere.
package plot

import (
	"cmp"
	"fmt"
	"html"
	"slices"
	"strings"
)

// Chart is a chart of lines. Both axes are logarithmic, so that all figures must
// be larger than zero; points that are not are left out.
type Chart struct {
	Title string
	X, Y  string // what the axes are called
	Lines []Line
}

// Line is a line with a name, which stands at its right end.
type Line struct {
	Name   string
	Look   Look
	Points []Point // by growing X
}

// Point is a point of a line. If Low and High are given, a bar shows them.
type Point struct{ X, Y, Low, High float64 }

// Look is how a line is drawn.
type Look struct {
	Color string // as in CSS
	Mark  Mark
	Bold  bool
}

// Mark is the shape of a line's points.
type Mark int

// Marks.
const (
	Circle Mark = iota
	Square
	Diamond
	Triangle
)

// Measures of the picture, in pixels as an unscaled browser shows it.
const (
	width, height            = 860, 460
	left, right, top, bottom = 74, 268, 44, 52
	fontSize                 = 13
	labelStep                = 19 // between the names of lines
	plotRight, plotBottom    = width - right, height - bottom
)

// SVG returns the picture. It has a white ground of its own, for pages that are
// dark.
func (c Chart) SVG() string {
	var b strings.Builder
	x, y := c.axes()
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%[1]d" height="%[2]d" `+
		`font-family="Helvetica, Arial, sans-serif" font-size="%d" role="img" aria-label="%s">`+"\n",
		width, height, fontSize, html.EscapeString(c.Title))
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	text(&b, left, 24, "start", `font-size="16" font-weight="bold"`, c.Title)
	c.drawAxes(&b, x, y)
	for _, line := range c.drawn() {
		line.draw(&b, x, y)
	}
	c.drawNames(&b, x, y)
	b.WriteString("</svg>\n")
	return b.String()
}

// axes fits both axes to the points.
func (c Chart) axes() (x, y axis) {
	var xs, ys []float64
	for _, line := range c.drawn() {
		for _, p := range line.Points {
			xs = append(xs, p.X)
			ys = append(ys, p.Y)
			if p.hasBar() {
				ys = append(ys, p.Low, p.High)
			}
		}
	}
	return newAxis(xs, left+14, plotRight-10), newAxis(ys, plotBottom-8, top+8)
}

// drawn returns the lines as they are drawn: without points that an axis has no
// place for, and bold ones last, so that they lie on top.
func (c Chart) drawn() []Line {
	var lines []Line
	for _, line := range c.Lines {
		line.Points = slices.DeleteFunc(slices.Clone(line.Points), func(p Point) bool { return p.X <= 0 || p.Y <= 0 })
		if len(line.Points) > 0 {
			lines = append(lines, line)
		}
	}
	slices.SortStableFunc(lines, func(a, b Line) int {
		if a.Look.Bold == b.Look.Bold {
			return 0
		}
		if a.Look.Bold {
			return 1
		}
		return -1
	})
	return lines
}

func (c Chart) drawAxes(b *strings.Builder, x, y axis) {
	for _, at := range y.ticks() {
		rule(b, left, y.at(at), plotRight, y.at(at), "#e4e4e4")
		text(b, left-8, y.at(at)+4, "end", "", figure(at))
	}
	for _, at := range c.columns() {
		rule(b, x.at(at), top, x.at(at), plotBottom, "#f0f0f0")
		text(b, x.at(at), plotBottom+18, "middle", "", figure(at))
	}
	rule(b, left, plotBottom, plotRight, plotBottom, "#555")
	rule(b, left, top, left, plotBottom, "#555")
	text(b, (left+plotRight)/2, height-12, "middle", `fill="#555"`, c.X)
	fmt.Fprintf(b, `<text transform="translate(16 %d) rotate(-90)" text-anchor="middle" fill="#555">%s</text>`+"\n",
		(top+plotBottom)/2, html.EscapeString(c.Y))
}

// columns returns every X that a point has.
func (c Chart) columns() []float64 {
	var xs []float64
	for _, line := range c.drawn() {
		for _, p := range line.Points {
			xs = append(xs, p.X)
		}
	}
	slices.Sort(xs)
	return slices.Compact(xs)
}

func (p Point) hasBar() bool { return p.Low > 0 && p.High > 0 }

func (l Line) draw(b *strings.Builder, x, y axis) {
	stroke := 1.6
	if l.Look.Bold {
		stroke = 3.2
	}
	var path []string
	for _, p := range l.Points {
		path = append(path, fmt.Sprintf("%.1f,%.1f", x.at(p.X), y.at(p.Y)))
	}
	fmt.Fprintf(b, `<g stroke="%s" fill="%[1]s">`+"\n", l.Look.Color)
	fmt.Fprintf(b, `<polyline fill="none" stroke-width="%.1f" stroke-linejoin="round" points="%s"/>`+"\n",
		stroke, strings.Join(path, " "))
	for _, p := range l.Points {
		if p.hasBar() {
			fmt.Fprintf(b, `<path fill="none" stroke-opacity=".5" d="M%.1f %.1fV%.1f"/>`+"\n", x.at(p.X), y.at(p.Low), y.at(p.High))
		}
		l.Look.Mark.draw(b, x.at(p.X), y.at(p.Y))
	}
	b.WriteString("</g>\n")
}

func (m Mark) draw(b *strings.Builder, x, y float64) {
	switch m {
	case Circle:
		fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3"/>`+"\n", x, y)
	case Square:
		fmt.Fprintf(b, `<path d="M%.1f %.1fh6v6h-6z"/>`+"\n", x-3, y-3)
	case Diamond:
		fmt.Fprintf(b, `<path d="M%.1f %.1fl4 4l-4 4l-4 -4z"/>`+"\n", x, y-4)
	case Triangle:
		fmt.Fprintf(b, `<path d="M%.1f %.1fl4 7h-8z"/>`+"\n", x, y-4)
	}
}

// drawNames writes the lines' names beside their ends, from top to bottom as the
// ends are, no two on each other, with a thin line from end to name.
func (c Chart) drawNames(b *strings.Builder, x, y axis) {
	lines := c.drawn()
	end := func(l Line) Point { return l.Points[len(l.Points)-1] }
	slices.SortStableFunc(lines, func(a, b Line) int { return cmp.Compare(end(b).Y, end(a).Y) })
	wanted := make([]float64, len(lines))
	for i, l := range lines {
		wanted[i] = y.at(end(l).Y)
	}
	for i, at := range spreadOut(wanted, top+8, plotBottom-4, labelStep) {
		l := lines[i]
		fmt.Fprintf(b, `<path d="M%.1f %.1fL%d %.1fH%d" fill="none" stroke="%s" stroke-opacity=".45"/>`+"\n",
			x.at(end(l).X)+5, wanted[i], plotRight+12, at, plotRight+18, l.Look.Color)
		style := fmt.Sprintf(`fill="%s"`, l.Look.Color)
		if l.Look.Bold {
			style += ` font-weight="bold"`
		}
		text(b, plotRight+22, at+4, "start", style, l.Name)
	}
}

// spreadOut moves positions, which grow, so that no two are nearer than step and
// as many as fit stay between low and high, each about where it was.
func spreadOut(positions []float64, low, high, step float64) []float64 {
	moved := slices.Clone(positions)
	for i := range moved {
		moved[i] = max(moved[i], low)
		if i > 0 {
			moved[i] = max(moved[i], moved[i-1]+step)
		}
	}
	for i := len(moved) - 1; i >= 0; i-- {
		limit := high
		if i+1 < len(moved) {
			limit = moved[i+1] - step
		}
		moved[i] = min(moved[i], limit)
	}
	return moved
}

func text(b *strings.Builder, x, y float64, anchor, style, content string) {
	fmt.Fprintf(b, `<text x="%.1f" y="%.1f" text-anchor="%s" %s>%s</text>`+"\n", x, y, anchor, style, html.EscapeString(content))
}

func rule(b *strings.Builder, x1, y1, x2, y2 float64, color string) {
	fmt.Fprintf(b, `<path d="M%.1f %.1fL%.1f %.1f" stroke="%s"/>`+"\n", x1, y1, x2, y2, color)
}
