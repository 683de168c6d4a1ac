package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/redisfluster/fluster/bench/internal/plot"
)

// looks are the colors of clients: of the palette by Okabe and Ito, which people
// with any eyes can tell apart, and two more. The cluster's own are drawn bold.
var looks = map[string]plot.Look{
	plainID:       {Color: "#000000", Mark: plot.Circle},
	plainInTurnID: {Color: "#777777", Mark: plot.Circle},
	userPoolsID:   {Color: "#56B4E9", Mark: plot.Square},
	parsedPoolsID: {Color: "#0072B2", Mark: plot.Square},
	routedID:      {Color: "#CC79A7", Mark: plot.Diamond},
	doerID:        {Color: "#D55E00", Mark: plot.Diamond, Bold: true},
	ringID:        {Color: "#009E73", Mark: plot.Triangle},
	rueidisID:     {Color: "#E69F00", Mark: plot.Triangle},
	proxyID:       {Color: "#8B5A2B", Mark: plot.Circle},
}

// plotted are the measures that have a chart, with what their files and axes are
// called.
var plotted = []struct {
	measure
	file, title, axis string
}{
	{rate, "throughput", "throughput", "operations per second"},
	{p99, "p99", "99th percentile", "µs per call"},
}

// writePlots writes a chart for each operation and plotted measure to dir, which
// is made if it is not there.
func writePlots(dir string, outcomes []outcome) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	for _, op := range operations {
		own := byGoroutines(outcomes, op)
		if len(own) == 0 {
			continue
		}
		for _, p := range plotted {
			chart := plot.Chart{
				Title: op.title + ": " + p.title, X: "goroutines", Y: p.axis, Lines: lines(own, p.measure),
			}
			path := filepath.Join(dir, fmt.Sprintf("%s-%s.svg", op.id, p.file))
			if err := os.WriteFile(path, []byte(chart.SVG()), 0o666); err != nil {
				return err
			}
		}
	}
	return nil
}

// byGoroutines returns the outcomes of an operation that differ in goroutines only.
func byGoroutines(outcomes []outcome, op operation) []outcome {
	var own []outcome
	for _, o := range outcomes {
		if o.part == commands && o.op.id == op.id {
			own = append(own, o)
		}
	}
	return own
}

// lines returns a line for each client, with a point for each outcome.
func lines(outcomes []outcome, m measure) []plot.Line {
	var all []plot.Line
	for _, k := range kinds {
		line := plot.Line{Name: k.name, Look: looks[k.id]}
		for _, o := range outcomes {
			if samples := o.of(k.id); samples != nil {
				s := m.summary(samples)
				line.Points = append(line.Points, plot.Point{X: float64(o.callers), Low: s.Low, Y: s.Median, High: s.High})
			}
		}
		if line.Points != nil {
			all = append(all, line)
		}
	}
	return all
}
