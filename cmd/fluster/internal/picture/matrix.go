package picture

import (
	"fmt"
	"math"
)

// Matrix shows how much goes from each row to each column, the darker the more.
type Matrix struct {
	Title, Subtitle         string
	Rows, Columns           string // what rows and columns are called
	Scale, Stays            string // what the colors mean, for the legend
	RowLabels, ColumnLabels []string
	Cells                   [][]Cell // by row
}

// Cell is a share of 1. What stays where it is has no color.
type Cell struct {
	Value float64
	Stays bool
	Text  string
}

const (
	maxCells    = 900 // pixels for the cells of a row
	cellWidth   = 76
	cellHeight  = 34
	leastCell   = 6
	textFits    = 60 // pixels of a cell that has room for its text
	scaleWidth  = 160
	leastWidth  = 580 // for the legend
	labelSpace  = 14
	legendSpace = 60
)

// grid is where the cells are.
type grid struct{ left, top, width, height float64 }

func (g grid) at(row, column int) (x, y float64) {
	return g.left + g.width*float64(column), g.top + g.height*float64(row)
}

// SVG returns the picture. Many columns make the cells smaller; those without
// room for their text show it under the pointer.
func (m Matrix) SVG() string {
	g := m.grid()
	right, bottom := g.at(len(m.RowLabels), len(m.ColumnLabels))
	tilt := widest(m.ColumnLabels) * math.Sqrt2 / 2 // the last label leans over the edge
	width := max(right+tilt+margin, g.left+leastWidth, 2*margin+perRune*float64(len(m.Subtitle)))
	most := m.most()

	c := new(canvas)
	c.begin(width, bottom+legendSpace, m.Title, m.Subtitle)
	c.text(g.left-10, g.top-10, "soft end", m.Rows+" \\ "+m.Columns)
	m.drawCells(c, g, most)
	g.drawLines(c, len(m.RowLabels), len(m.ColumnLabels))
	m.drawLabels(c, g)
	m.drawLegend(c, g.left, bottom+legendSpace-22, most)
	return c.end()
}

func (m Matrix) drawCells(c *canvas, g grid, most float64) {
	for i, row := range m.Cells {
		for j, cell := range row {
			if cell.Value > 0 || cell.Stays {
				x, y := g.at(i, j)
				m.drawCell(c, g, x, y, cell, most, fmt.Sprintf("%s → %s: %s", m.RowLabels[i], m.ColumnLabels[j], cell.Text))
			}
		}
	}
}

// drawLines draws the lines between cells.
func (g grid) drawLines(c *canvas, rows, columns int) {
	right, bottom := g.at(rows, columns)
	for j := range columns + 1 {
		x, _ := g.at(0, j)
		c.printf(`<path class="line" d="M%.1f %.1fV%.1f"/>`+"\n", x, g.top, bottom)
	}
	for i := range rows + 1 {
		_, y := g.at(i, 0)
		c.printf(`<path class="line" d="M%.1f %.1fH%.1f"/>`+"\n", g.left, y, right)
	}
}

// drawLabels names rows and columns; of many it names every second or third, so
// that the names stay apart.
func (m Matrix) drawLabels(c *canvas, g grid) {
	for j := 0; j < len(m.ColumnLabels); j += every(g.width) {
		x, y := g.at(0, j)
		c.printf(`<g transform="translate(%.1f %.1f) rotate(-45)">`, x+g.width/2+4, y-8)
		c.label(0, 0, "", m.ColumnLabels[j])
		c.WriteString("</g>\n")
	}
	for i := 0; i < len(m.RowLabels); i += every(g.height) {
		_, y := g.at(i, 0)
		c.label(g.left-10, y+g.height/2+4.5, "end", m.RowLabels[i])
	}
}

// every returns how many cells of a size one label needs.
func every(size float64) int { return int(math.Ceil(labelSpace / size)) }

// grid fits the cells to their number.
func (m Matrix) grid() grid {
	size := max(leastCell, math.Min(cellWidth, maxCells/float64(max(1, len(m.ColumnLabels)))))
	g := grid{
		left: margin + max(widest(m.RowLabels), 60) + 10,
		top:  top + widest(m.ColumnLabels)*math.Sqrt2/2 + 10, width: size, height: math.Min(cellHeight, size),
	}
	g.height = max(g.height, math.Min(size, 16))
	return g
}

// most returns the largest share that moves.
func (m Matrix) most() float64 {
	most := 0.0
	for _, row := range m.Cells {
		for _, cell := range row {
			if !cell.Stays {
				most = max(most, cell.Value)
			}
		}
	}
	return most
}

func (m Matrix) drawCell(c *canvas, g grid, x, y float64, cell Cell, most float64, hint string) {
	look := `class="stays"`
	if !cell.Stays {
		look = fmt.Sprintf(`class="value" fill-opacity="%.3f"`, strength(cell.Value/most))
	}
	c.printf(`<g><title>%s</title><rect %s x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`,
		escape(hint), look, x, y, g.width, g.height)
	if cell.Value > 0 && g.width >= textFits {
		class := "middle"
		if cell.Stays {
			class += " soft"
		}
		c.printf(`<text x="%.1f" y="%.1f" class="%s">%s</text>`, x+g.width/2, y+g.height/2+4.5, class, escape(cell.Text))
	}
	c.WriteString("</g>\n")
}

// strength is how much color a share of the largest has: little enough for text to
// be read on it, and some even for the smallest.
func strength(share float64) float64 { return 0.08 + 0.52*math.Sqrt(share) }

func (m Matrix) drawLegend(c *canvas, x, y, most float64) {
	const steps = 16
	for i := range steps {
		c.printf(`<rect class="value" fill-opacity="%.3f" x="%.1f" y="%.1f" width="%.1f" height="12"/>`+"\n",
			strength(float64(i+1)/steps), x+scaleWidth*float64(i)/steps, y-10.5, float64(scaleWidth)/steps)
	}
	x += scaleWidth + 8
	scale := fmt.Sprintf("up to %.2f %%: %s", 100*most, m.Scale)
	c.text(x, y, "soft", scale)
	x += perRune*float64(len(scale)) + 16
	c.printf(`<rect class="stays" x="%.1f" y="%.1f" width="14" height="12"/>`+"\n", x, y-10.5)
	c.text(x+20, y, "soft", m.Stays)
}
