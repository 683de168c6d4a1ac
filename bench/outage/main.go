// Command outage lets the same things happen to the servers of go-redis's Ring and of
// this library, side by side and under the same load, and prints what it cost each as
// tables in Markdown.
//
// Every client has three servers of its own. All are measured at their defaults and,
// in the same run, with the same short time-outs.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9/logging"
)

func main() {
	only := flag.String("only", "", "the rows whose names have this in them; empty means all")
	rounds := flag.Int("rounds", 3, "how often each fault happens")
	file := flag.String("json", "", "a file for every round's figures")
	flag.Parse()
	logging.Disable() // go-redis tells of every failed dial
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := run{only: *only, rounds: max(*rounds, 1), progress: os.Stderr, begun: time.Now()}
	if err := errors.Join(run.all(ctx), run.report(os.Stdout), run.save(*file)); err != nil {
		fmt.Fprintln(os.Stderr, "outage:", err)
		os.Exit(1)
	}
}

// run is one comparison, as far as it has come.
type run struct {
	only     string
	rounds   int
	progress io.Writer
	begun    time.Time

	Faults  []result
	Rushes  []rushResult
	Singles []finding
}

// result is what became of one client in a fault.
type result struct {
	Fault, Setting, Client string
	Rounds                 []outcome
}

// finding is what a single thing came to with one client.
type finding struct {
	What, Setting, Client string
	Rounds                []float64 // empty if it cannot be done with that client
}

// all lets everything happen that is wanted.
func (r *run) all(ctx context.Context) error {
	faults, rushes, singles := wanted(faults, r.only), wanted(rushes, r.only), wanted(singles, r.only)
	if len(faults)+len(rushes)+len(singles) == 0 {
		return fmt.Errorf("no row's name has %q in it", r.only)
	}
	for i, f := range faults {
		if err := r.fault(ctx, f, fmt.Sprintf("%d of %d faults", i+1, len(faults))); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	for _, f := range rushes {
		if err := r.stampedes(ctx, f); err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	for _, s := range singles {
		if err := r.single(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// wanted returns the rows whose names have only in them.
func wanted[T fmt.Stringer](rows []T, only string) []T {
	return slices.DeleteFunc(slices.Clone(rows), func(row T) bool { return !strings.Contains(row.String(), only) })
}

// say tells those who wait what is going on.
func (r *run) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.progress, "%4.0fs  %s\n", time.Since(r.begun).Seconds(), fmt.Sprintf(format, args...))
}

// fault lets one fault happen in each round.
func (r *run) fault(ctx context.Context, f fault, place string) error {
	var results []result
	for round := range r.rounds {
		r.say("%s, round %d of %d: %s", place, round+1, r.rounds, f)
		field, err := f.happen(ctx, []setting{byDefault, alike})
		if err != nil {
			return err
		}
		for i, c := range field {
			if round == 0 {
				results = append(results, result{Fault: f.name, Setting: c.setting.Name, Client: c.kind.Name})
			}
			results[i].Rounds = append(results[i].Rounds, c.outcome)
		}
	}
	r.Faults = append(r.Faults, results...)
	return nil
}

// single measures one thing in each round.
func (r *run) single(ctx context.Context, s single) error {
	r.say("%s", s)
	for _, k := range kinds {
		f := finding{What: s.name, Setting: s.setting.Name, Client: k.Name}
		for range r.rounds {
			if s.whole && !k.whole {
				break
			}
			x, err := s.measure(ctx, k, s.setting)
			if err != nil {
				return fmt.Errorf("%s: %w", k.Name, err)
			}
			f.Rounds = append(f.Rounds, x)
		}
		r.Singles = append(r.Singles, f)
	}
	return nil
}

// report writes the tables.
func (r *run) report(w io.Writer) error {
	for _, t := range r.tables() {
		if len(t.Rows) == 0 {
			continue
		}
		if err := t.WriteMarkdown(w); err != nil {
			return err
		}
	}
	return nil
}

// save writes every round's figures to a file, if there is one.
func (r *run) save(file string) error {
	if file == "" {
		return nil
	}
	data, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o600)
}
