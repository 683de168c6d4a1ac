package main

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"

	"github.com/redisfluster/fluster/cmd/fluster/internal/keys"
	"github.com/redisfluster/fluster/cmd/fluster/internal/picture"
)

// spreadCmd tells how evenly keys are shared.
type spreadCmd struct {
	fleetFlags  `embed:""`
	sampleFlags `embed:""`
	outputFlags `embed:""`
}

// outputFlags say how a report is written.
type outputFlags struct {
	JSON bool   `name:"json" help:"Write JSON instead of a table."`
	SVG  string `name:"svg" placeholder:"FILE" help:"Write a picture to a file, too."`
}

// Help is what --help adds.
func (spreadCmd) Help() string {
	return `Counts the keys of each node and compares them with its weight. A load of 100 % is a node's fair share; max/mean and min/mean are the largest and the smallest load. The standard deviation is of the loads; beside it stands what chance alone would make it with so many keys.

Examples:

    fluster spread --nodes nodes.yml --keys 1000000
    fluster spread --nodes nodes.yml --keys 1000000 --pattern session:%08x --down cache3
    redis-cli --scan | fluster spread --nodes nodes.yml --svg spread.svg`
}

// Run is called by kong.
func (c *spreadCmd) Run(s *session) error {
	f, err := s.open(c.fleetFlags)
	if err != nil {
		return err
	}
	batches, err := c.sample(s)
	if err != nil {
		return err
	}
	counts, err := tally(f, batches)
	if err != nil {
		return err
	}
	e := weigh(f, counts)
	if e.Keys == 0 {
		return errNoKeys
	}
	if c.SVG != "" {
		if err := writePicture(c.SVG, e.picture()); err != nil {
			return err
		}
	}
	if c.JSON {
		err = writeJSON(s.stdout, e)
	} else {
		e.write(s.stdout)
	}
	return errors.Join(err, lost{e.Homeless, e.Stuck}.verdict(s))
}

var errNoKeys = errors.New("there are no keys to count")

// tally counts the keys of each node, and behind them those that none has.
func tally(f *fleet, batches keys.Batches) ([]int, error) {
	counts := make([]int, len(f.nodes)+1)
	for batch, err := range batches {
		if err != nil {
			return nil, err
		}
		for _, key := range batch {
			node := f.view.Locate(key)
			if node < 0 {
				node = len(f.nodes)
			}
			counts[node]++
		}
	}
	return counts, nil
}

// barColumns is how wide the widest bar is.
const barColumns = 30

// write writes the report for people.
func (e evenness) write(w *bufio.Writer) {
	t := table{head: []string{"node", "weight", "keys", "share", "load"}}
	widest := 0.0
	for _, n := range e.Nodes {
		widest = max(widest, n.Share)
	}
	for _, n := range e.Nodes {
		row := []string{n.Name, strconv.Itoa(n.Weight), number(n.Keys), percent(n.Share), "down"}
		if !n.Down {
			row[4] = fmt.Sprintf("%.1f %%", 100*n.Load)
		}
		t.rows = append(t.rows, append(row, bar(barColumns*ratio(n.Share, widest))))
	}
	t.write(w)
	_, _ = fmt.Fprintf(w, "\n%s on %s by %s (%s)\n%s\n",
		count(e.Keys, "key"), count(len(e.Nodes), "node"), e.Placement, e.Source, e.summary())
}

// summary is the figures for all nodes together.
func (e evenness) summary() string {
	return fmt.Sprintf("max/mean %.3f, min/mean %.3f, standard deviation %s (by chance alone %s)",
		e.MaxOverMean, e.MinOverMean, percent(e.Deviation), percent(e.Chance))
}

// picture draws the shares as bars.
func (e evenness) picture() string {
	chart := picture.Bars{
		Title:    fmt.Sprintf("%s on %s by %s", count(e.Keys, "key"), count(len(e.Nodes), "node"), e.Placement),
		Subtitle: e.summary(),
		Axis:     "share of the keys", Value: "share of the keys", Mark: "fair share by weight",
	}
	for _, n := range e.Nodes {
		b := picture.Bar{Label: n.Name, Value: n.Share, Mark: n.Fair, Text: fmt.Sprintf("%s (%s)", percent(n.Share), number(n.Keys))}
		if n.Down {
			b.Label += " (down)"
		}
		chart.Bars = append(chart.Bars, b)
	}
	return chart.SVG()
}
