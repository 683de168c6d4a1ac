package picture

import "math"

// Bars is a chart of horizontal bars of shares, each with a mark to compare with.
type Bars struct {
	Title, Subtitle string
	Axis            string // what the axis is called
	Value, Mark     string // what bars and marks are, for the legend
	Bars            []Bar
}

// Bar is one bar. Value and Mark are shares of 1.
type Bar struct {
	Label, Text string
	Value, Mark float64
}

const (
	plotWidth = 560
	rowHeight = 24
	barHeight = 16
)

// SVG returns the chart. It grows with the bars.
func (b Bars) SVG() string {
	labels, texts := make([]string, len(b.Bars)), make([]string, len(b.Bars))
	longest := 1e-9
	for i, bar := range b.Bars {
		labels[i], texts[i] = bar.Label, bar.Text
		longest = max(longest, bar.Value, bar.Mark)
	}
	left := margin + max(widest(labels), 40) + 10
	bottom := float64(top + rowHeight*len(b.Bars))
	width := max(left+plotWidth+10+widest(texts)+margin, margin+perRune*float64(len(b.Subtitle))+margin)
	at := func(share float64) float64 { return left + plotWidth*share/longest }

	c := new(canvas)
	c.begin(width, bottom+78, b.Title, b.Subtitle)
	b.drawAxis(c, at, longest, bottom)
	for i, bar := range b.Bars {
		bar.draw(c, at, float64(top+rowHeight*i))
	}
	b.drawLegend(c, left, bottom+58)
	return c.end()
}

func (b Bars) drawAxis(c *canvas, at func(float64) float64, longest, bottom float64) {
	step := roundStep(longest)
	for i := 0; float64(i)*step <= longest*(1+1e-9); i++ {
		x := at(float64(i) * step)
		c.printf(`<path class="line" d="M%.1f %dV%.1f"/>`+"\n", x, top-4, bottom+4)
		c.text(x, bottom+20, "soft middle", percent(float64(i)*step, step))
	}
	c.text(at(longest), bottom+38, "soft end", b.Axis)
}

func (b Bar) draw(c *canvas, at func(float64) float64, y float64) {
	middle := y + rowHeight/2
	c.label(at(0)-10, middle+4.5, "end", b.Label)
	c.printf(`<rect class="value" x="%.1f" y="%.1f" width="%.1f" height="%d" rx="2"/>`+"\n",
		at(0), middle-barHeight/2, math.Max(at(b.Value)-at(0), 0), barHeight)
	if b.Mark > 0 {
		c.printf(`<path class="mark" d="M%.1f %.1fv%d"/>`+"\n", at(b.Mark), middle-rowHeight/2+1, rowHeight-2)
	}
	c.text(at(max(b.Value, b.Mark))+8, middle+4.5, "", b.Text)
}

func (b Bars) drawLegend(c *canvas, x, y float64) {
	c.printf(`<rect class="value" x="%.1f" y="%.1f" width="14" height="12" rx="2"/>`+"\n", x, y-10.5)
	c.text(x+20, y, "soft", b.Value)
	x += 20 + perRune*float64(len(b.Value)) + 24
	c.printf(`<path class="mark" d="M%.1f %.1fv16"/>`+"\n", x, y-12.5)
	c.text(x+8, y, "soft", b.Mark)
}
