package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/redisfluster/fluster/fluster"
)

const redrawEvery = 100 * time.Millisecond

// board is what the terminal shows: lines of what happens, and below them a
// table of the nodes that is redrawn in place. Without a terminal the lines are
// plain, and the table is printed where table is called.
type board struct {
	// Immutable after startBoard.
	out     io.Writer
	cluster *fluster.FlusterCluster
	load    *workload
	keys    []string
	live    bool // redraw in place
	colour  bool
	began   time.Time
	orders  chan order
	done    chan struct{} // closed when run has ended

	// Owned by run.
	headline string
	drawn    int // lines of the table on the screen
	samples  []rateSample
}

// order is something to print.
type order struct {
	line     string // happens now
	headline string // of the table from now on
	table    bool
}

func startBoard(out io.Writer, plain bool, cluster *fluster.FlusterCluster, load *workload, keys []string) *board {
	live := !plain && isTerminal(out)
	b := &board{
		out: out, cluster: cluster, load: load, keys: keys,
		live: live, colour: live && os.Getenv("NO_COLOR") == "",
		began: time.Now(), orders: make(chan order), done: make(chan struct{}),
	}
	go b.run()
	return b
}

// isTerminal reports whether out is a terminal that can do more than print.
func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// say prints a line of what happens.
func (b *board) say(format string, args ...any) {
	b.orders <- order{line: fmt.Sprintf(format, args...)}
}

// phase prints a line and makes it the headline of the table.
func (b *board) phase(headline string) { b.orders <- order{line: headline, headline: headline} }

// table prints the table, if it is not on the screen all the time.
func (b *board) table() { b.orders <- order{table: true} }

// close leaves the table as it is now. Nothing may be ordered afterwards.
func (b *board) close() {
	close(b.orders)
	<-b.done
}

func (b *board) run() {
	defer close(b.done)
	ticker := time.NewTicker(redrawEvery)
	defer ticker.Stop()
	for {
		select {
		case o, more := <-b.orders:
			if !more {
				b.redraw("")
				return
			}
			b.carryOut(o)
		case <-ticker.C:
			b.sample(time.Now())
			b.redraw("")
		}
	}
}

func (b *board) carryOut(o order) {
	b.headline = cmp.Or(o.headline, b.headline)
	line := ""
	if o.line != "" {
		line = fmt.Sprintf("%6.1f s  %s\n", time.Since(b.began).Seconds(), o.line)
	}
	switch {
	case b.live:
		b.redraw(line)
	case o.table:
		_, _ = io.WriteString(b.out, "\n"+strings.Join(b.frame(), "\n")+"\n\n")
	default:
		_, _ = io.WriteString(b.out, line)
	}
}

// redraw prints lines where the table is, and the table below them, in one write.
func (b *board) redraw(lines string) {
	if !b.live {
		return
	}
	var s strings.Builder
	if b.drawn > 0 {
		fmt.Fprintf(&s, "\x1b[%dA", b.drawn) // up
	}
	s.WriteString("\r\x1b[J") // erase from here on
	s.WriteString(lines)
	frame := append([]string{""}, b.frame()...)
	s.WriteString("\x1b[?7l") // a line that is too long is cut, not wrapped
	for _, line := range frame {
		s.WriteString(line + "\n")
	}
	s.WriteString("\x1b[?7h")
	b.drawn = len(frame)
	_, _ = io.WriteString(b.out, s.String())
}

// frame returns the lines of the table. They fit into 80 columns.
func (b *board) frame() []string {
	nodes := b.cluster.Nodes()
	width := len("node")
	for _, n := range nodes {
		width = max(width, min(len(n.Name), 16))
	}
	cells := max(4, 16-width) // of a bar
	t := b.load.ledger.sum()
	frame := []string{
		b.paint(bold, " fluster: "+b.headline),
		b.paint(faint, fmt.Sprintf(" %-*s  state  %-*s%7s%8s%12s  %s", width, "node", cells+7, "home of keys", "cmd/s", "errors", "next probe", "cause")),
	}
	counts, rates := takeSurvey(b.cluster, b.keys).counts(), b.rates()
	for i, n := range nodes {
		frame = append(frame, b.row(n, width, cells, counts[n.Name], rates[i]))
	}
	return append(frame, b.paint(faint, fmt.Sprintf(
		" counters: %s acknowledged, %s uncertain   jobs: %s pushed, %s waiting",
		commas(t.counted), commas(t.perhapsCounted), commas(t.pushed), commas(max(0, t.pushed-t.handled)))))
}

// row returns a node's line.
func (b *board) row(n fluster.NodeStatus, width, cells, keys int, rate float64) string {
	state, probe, cause := b.paint(green, "live "), "", ""
	if !n.Live {
		state, cause = b.paint(red, "DOWN "), rootCause(n.Cause)
		probe = "now"
		if wait := time.Until(n.Until); wait > 0 {
			probe = duration(wait).String()
		}
	}
	share := float64(keys) / float64(len(b.keys))
	line := fmt.Sprintf(" %-*s  %s %6s %s%7.0f%8s%12s  ", width, clip(n.Name, width), state,
		commas(keys), b.paint(blue, bar(share, cells)), rate, commas(b.load.tallies[n.Pool].errors.Load()), probe)
	return strings.TrimRight(line+clip(cause, 80-45-cells-width), " ")
}

// rateSample is how many commands each node had had at a moment.
type rateSample struct {
	at       time.Time
	commands []int64
}

// sample remembers the tallies, for a second.
func (b *board) sample(now time.Time) {
	s := rateSample{at: now}
	for _, n := range b.cluster.Nodes() {
		s.commands = append(s.commands, b.load.tallies[n.Pool].commands.Load())
	}
	b.samples = append(b.samples, s)
	for now.Sub(b.samples[0].at) > time.Second {
		b.samples = b.samples[1:]
	}
}

// rates returns the commands per second at each node, over the last second.
func (b *board) rates() []float64 {
	rates := make([]float64, len(b.load.tallies))
	if len(b.samples) < 2 {
		return rates
	}
	first, last := b.samples[0], b.samples[len(b.samples)-1]
	for i := range rates {
		rates[i] = float64(last.commands[i]-first.commands[i]) / last.at.Sub(first.at).Seconds()
	}
	return rates
}

// The styles that paint knows, as the terminal numbers them.
const (
	bold  = "1"
	faint = "2"
	red   = "1;31"
	green = "32"
	blue  = "36"
)

func (b *board) paint(style, text string) string {
	if !b.colour {
		return text
	}
	return "\x1b[" + style + "m" + text + "\x1b[0m"
}

// bar returns a bar of that many columns, filled to a share, by eighths.
func bar(share float64, columns int) string {
	eighths := int(share*float64(columns)*8 + 0.5)
	filled := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		filled += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return filled + strings.Repeat(" ", columns-utf8.RuneCountInString(filled))
}

// clip cuts text to that many columns.
func clip(text string, columns int) string {
	runes := []rune(text)
	if len(runes) <= columns {
		return text
	}
	return string(runes[:max(0, columns-1)]) + "…"
}

// rootCause says what is at the bottom of an error: what is above it names the
// node and its address, which the table does already.
func rootCause(err error) string {
	for err != nil {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
	return "no cause"
}

// duration is one that is told in as many digits as matter.
type duration time.Duration

func (d duration) String() string {
	switch t := time.Duration(d); {
	case t < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(t)/float64(time.Millisecond))
	case t < time.Second:
		return fmt.Sprintf("%d ms", t.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", t.Seconds())
	}
}

// commas writes a number with a comma between thousands.
func commas[T int | int64](n T) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
