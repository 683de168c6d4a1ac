// Package picture draws bars and matrices as SVG that a browser shows by itself:
// no script, no font but the reader's own, nothing from elsewhere. It is dark
// where the reader's system is.
package picture

import (
	"encoding/xml"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"
)

// Measures of all pictures, in pixels as an unscaled browser shows them.
const (
	margin    = 20
	titleLine = 34  // base line of the title
	top       = 84  // below title and subtitle
	perRune   = 7.2 // about the width of a character
	maxLabel  = 28  // characters of a label that are shown
)

// style is the look of all pictures: bars and cells are blue, marks orange, which
// people with any eyes can tell apart. Colors are written out for both, since not
// every program that shows SVG knows CSS variables.
const style = `<style>
text{font:13px system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif;fill:#1f2328}
.title{font-size:17px;font-weight:600}.soft{fill:#59636e}.end{text-anchor:end}.middle{text-anchor:middle}
.ground{fill:#ffffff}.line{stroke:#d8dee4;fill:none}.value{fill:#0969da}.mark{stroke:#bc4c00;stroke-width:2}.stays{fill:#eaeef2}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.soft{fill:#9198a1}
.ground{fill:#0d1117}.line{stroke:#30363d}.value{fill:#4493f8}.mark{stroke:#f0883e}.stays{fill:#21262d}
}
</style>
`

// canvas is a picture that is being drawn.
type canvas struct{ strings.Builder }

// begin writes what every picture begins with.
func (c *canvas) begin(width, height float64, title, subtitle string) {
	c.printf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" width="%[1]f" height="%[2]f" role="img" aria-label="%s">`+"\n",
		width, height, escape(title+": "+subtitle))
	c.WriteString(style)
	c.printf(`<rect class="ground" width="%.0f" height="%.0f"/>`+"\n", width, height)
	c.text(margin, titleLine, "title", title)
	c.text(margin, titleLine+24, "soft", subtitle)
}

func (c *canvas) end() string {
	c.WriteString("</svg>\n")
	return c.String()
}

func (c *canvas) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c, format, args...) // a Builder takes everything
}

func (c *canvas) text(x, y float64, class, content string) {
	c.printf(`<text x="%.1f" y="%.1f" class="%s">%s</text>`+"\n", x, y, class, escape(content))
}

// label is text that is cut if it is long; the whole shows under the pointer.
func (c *canvas) label(x, y float64, class, content string) {
	c.printf(`<text x="%.1f" y="%.1f" class="%s">%s<title>%s</title></text>`+"\n", x, y, class, escape(short(content)), escape(content))
}

func short(label string) string {
	if runes := []rune(label); len(runes) > maxLabel {
		return string(runes[:maxLabel-1]) + "…"
	}
	return label
}

// escape makes text fit for XML, which has no place for most control characters.
func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text))
	return b.String()
}

// widest returns the width of the widest label, as it is shown.
func widest(labels []string) float64 {
	n := 0
	for _, l := range labels {
		n = max(n, utf8.RuneCountInString(short(l)))
	}
	return perRune * float64(n)
}

// percent writes a share of 1 with as many digits as steps of step need.
func percent(share, step float64) string {
	digits := max(0, int(math.Ceil(-math.Log10(100*step)-1e-9)))
	return fmt.Sprintf("%.*f %%", digits, 100*share)
}

// roundStep returns 1, 2 or 5 times a power of ten, so that some steps, five at
// least and ten at most, make the whole.
func roundStep(whole float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(whole/5)))
	for _, m := range []float64{5, 2} {
		if m*power*5 <= whole {
			return m * power
		}
	}
	return power
}
