package main

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/redisfluster/fluster/cmd/fluster/internal/picture"
)

// movement is how many keys go from which node to which. Nodes go by their
// positions; one behind the last is no node.
type movement struct {
	from, to *fleet
	flows    [][]int
	same     []int // by the position before: that after, or -1
	keys     int
	moved    int
	lost     lost // after
}

// newMovement matches the nodes of both sides by their identities. A node without
// one is on its side only.
func newMovement(from, to *fleet, identity func(*fleet, int) string) (*movement, error) {
	if err := errors.Join(distinct("--from", from, identity), distinct("--to", to, identity)); err != nil {
		return nil, err
	}
	m := &movement{from: from, to: to, flows: make([][]int, len(from.nodes)+1)}
	for i := range m.flows {
		m.flows[i] = make([]int, len(to.nodes)+1)
	}
	after := make(map[string]int)
	for i := range to.nodes {
		after[identity(to, i)] = i
	}
	for i := range from.nodes {
		j, known := after[identity(from, i)]
		if !known || identity(from, i) == "" {
			j = -1
		}
		m.same = append(m.same, j)
	}
	m.same = append(m.same, len(to.nodes)) // no node is no node
	return m, nil
}

// distinct refuses nodes of one side that are the same.
func distinct(side string, f *fleet, identity func(*fleet, int) string) error {
	seen := make(map[string]int)
	for i := range f.nodes {
		id := identity(f, i)
		if first, twice := seen[id]; twice && id != "" {
			return fmt.Errorf("%s: %s and %s have the same address, so that they can only be matched by name",
				side, f.nodes[first].Name, f.nodes[i].Name)
		}
		seen[id] = i
	}
	return nil
}

// add counts a key by its positions.
func (m *movement) add(before, after int) {
	if before < 0 {
		before = len(m.from.nodes)
	}
	if after < 0 {
		after = len(m.to.nodes)
	}
	m.flows[before][after]++
}

// count works out the figures for all nodes together.
func (m *movement) count() {
	for i, row := range m.flows {
		for j, n := range row {
			m.keys += n
			if m.same[i] != j {
				m.moved += n
			}
			if j < len(m.to.nodes) && !m.to.live[j] {
				m.lost.stuck += n
			}
		}
		m.lost.homeless += row[len(m.to.nodes)]
	}
}

// strangers tells that no node is on both sides.
func (m *movement) strangers() bool {
	return !slices.ContainsFunc(m.same[:len(m.from.nodes)], func(j int) bool { return j >= 0 })
}

// least returns the least share of keys that must move for shares by weight.
func (m *movement) least() float64 {
	before, after := m.from.livingShares(), m.to.livingShares()
	least := 0.0
	for i, share := range before {
		if j := m.same[i]; j >= 0 {
			share -= after[j]
		}
		least += max(share, 0)
	}
	return rounded(least)
}

// flow is how many keys go from one node to one. A name is nil if there is no node.
type flow struct {
	From  *string `json:"from"`
	To    *string `json:"to"`
	Keys  int     `json:"keys"`
	Share float64 `json:"share"`
	Moves bool    `json:"moves"`
}

// all returns the flows that are not empty, the largest first, and those that
// move before those that stay.
func (m *movement) all() []flow {
	var all []flow
	for i, row := range m.flows {
		for j, n := range row {
			if n > 0 {
				all = append(all, flow{m.from.nameAt(i), m.to.nameAt(j), n, ratio(float64(n), float64(m.keys)), m.same[i] != j})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b flow) int {
		if a.Moves != b.Moves {
			if a.Moves {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Keys, a.Keys)
	})
	return all
}

// nameAt returns the name of the node at a position, or nil where there is none.
func (f *fleet) nameAt(i int) *string {
	if i >= len(f.nodes) {
		return nil
	}
	return &f.nodes[i].Name
}

// sideReport is one side of a comparison.
type sideReport struct {
	Placement string   `json:"placement"`
	Source    string   `json:"nodes_from"`
	Nodes     []string `json:"nodes"`
	Down      []string `json:"down"`
}

func (f *fleet) report() sideReport {
	r := sideReport{Placement: f.placement, Source: f.source, Nodes: []string{}, Down: []string{}}
	for i, n := range f.nodes {
		r.Nodes = append(r.Nodes, n.Name)
		if !f.live[i] {
			r.Down = append(r.Down, n.Name)
		}
	}
	return r
}

// movementReport is a comparison for programs.
type movementReport struct {
	From       sideReport `json:"from"`
	To         sideReport `json:"to"`
	Keys       int        `json:"keys"`
	Moved      int        `json:"moved"`
	MovedShare float64    `json:"moved_share"`
	LeastShare float64    `json:"least_share"`
	Homeless   int        `json:"keys_without_node"`
	Stuck      int        `json:"keys_on_down_nodes"`
	Flows      []flow     `json:"flows"`
}

func (m *movement) report() movementReport {
	return movementReport{
		From: m.from.report(), To: m.to.report(), Keys: m.keys, Moved: m.moved, MovedShare: m.share(m.moved),
		LeastShare: m.least(), Homeless: m.lost.homeless, Stuck: m.lost.stuck, Flows: m.all(),
	}
}

func (m *movement) share(n int) float64 { return ratio(float64(n), float64(m.keys)) }

// What a terminal has room for.
const (
	maxColumns = 10
	maxFlows   = 20
)

// write writes the report for people.
func (m *movement) write(w *bufio.Writer) {
	_, _ = fmt.Fprintf(w, "from  %s on %s (%s)\n", m.from.placement, count(len(m.from.nodes), "node"), m.from.source)
	_, _ = fmt.Fprintf(w, "to    %s on %s (%s)\n\n", m.to.placement, count(len(m.to.nodes), "node"), m.to.source)
	if rows, columns := m.lines(); len(rows) <= 3*maxColumns && len(columns) <= maxColumns {
		m.matrix(rows, columns).write(w)
	} else {
		m.writeFlows(w)
	}
	_, _ = fmt.Fprintf(w, "\n%s\n", m.summary())
}

func (m *movement) summary() string {
	text := fmt.Sprintf("%s of %s move: %s (the least for these weights: %s)",
		number(m.moved), count(m.keys, "key"), percent(m.share(m.moved)), percent(m.least()))
	if m.lost.homeless > 0 {
		text += fmt.Sprintf("; %s without any node after", number(m.lost.homeless))
	}
	if m.lost.stuck > 0 {
		text += fmt.Sprintf("; %s with nodes that are down after", number(m.lost.stuck))
	}
	return text
}

// lines returns the positions of the rows and columns of a matrix: nodes that are
// on both sides in the order before, so that what stays is a diagonal; then those
// that are new; and no node, if there are keys without one.
func (m *movement) lines() (rows, columns []int) {
	for i := range m.from.nodes {
		rows = append(rows, i)
		if m.same[i] >= 0 {
			columns = append(columns, m.same[i])
		}
	}
	for j := range m.to.nodes {
		if !slices.Contains(columns, j) {
			columns = append(columns, j)
		}
	}
	none := len(m.from.nodes)
	if slices.Max(m.flows[none]) > 0 {
		rows = append(rows, none)
	}
	if m.lost.homeless > 0 {
		columns = append(columns, len(m.to.nodes))
	}
	return rows, columns
}

// title names the node at a position for people.
func (f *fleet) title(i int) string {
	switch {
	case i >= len(f.nodes):
		return "(none)"
	case !f.live[i]:
		return f.nodes[i].Name + " (down)"
	}
	return f.nodes[i].Name
}

// matrix returns the flows as a table, what stays in brackets.
func (m *movement) matrix(rows, columns []int) table {
	t := table{head: []string{"from \\ to"}}
	for _, j := range columns {
		t.head = append(t.head, m.to.title(j))
	}
	for _, i := range rows {
		row := []string{m.from.title(i)}
		for _, j := range columns {
			row = append(row, m.cell(i, j))
		}
		t.rows = append(t.rows, row)
	}
	return t
}

func (m *movement) cell(i, j int) string {
	switch n := m.flows[i][j]; {
	case n == 0:
		return "."
	case m.same[i] == j:
		return "[" + percent(m.share(n)) + "]"
	default:
		return percent(m.share(n))
	}
}

// writeFlows lists the largest flows.
func (m *movement) writeFlows(w *bufio.Writer) {
	t := table{head: []string{"from", "to", "keys", "share"}}
	left := 0
	for _, f := range m.all() {
		switch {
		case !f.Moves:
		case len(t.rows) == maxFlows:
			left++
		default:
			t.rows = append(t.rows, []string{nameOr(f.From), nameOr(f.To), number(f.Keys), percent(f.Share)})
		}
	}
	t.write(w)
	if left > 0 {
		_, _ = fmt.Fprintf(w, "... and %s smaller ones (--json has all)\n", number(left))
	}
}

func nameOr(name *string) string {
	if name == nil {
		return "(none)"
	}
	return *name
}

// picture draws the flows as a matrix.
func (m *movement) picture() string {
	rows, columns := m.lines()
	p := picture.Matrix{
		Title:    fmt.Sprintf("From %s to %s", m.from.placement, m.to.placement),
		Subtitle: m.summary(),
		Rows:     "from", Columns: "to", Scale: "share of all keys that moves", Stays: "stays",
	}
	for _, j := range columns {
		p.ColumnLabels = append(p.ColumnLabels, m.to.title(j))
	}
	for _, i := range rows {
		p.RowLabels = append(p.RowLabels, m.from.title(i))
		var cells []picture.Cell
		for _, j := range columns {
			cells = append(cells, picture.Cell{Value: m.share(m.flows[i][j]), Stays: m.same[i] == j, Text: percent(m.share(m.flows[i][j]))})
		}
		p.Cells = append(p.Cells, cells)
	}
	return p.SVG()
}
