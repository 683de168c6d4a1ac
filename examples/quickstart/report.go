package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/gomodule/redigo/redis"
)

// report is the summary: what was seen, and what was checked.
type report struct {
	lines   []string
	checked int      // claims that count
	wrong   []string // those of them that did not hold
	excused int      // claims that did not hold and do not count
}

func (r *report) section(title string) { r.lines = append(r.lines, "", title) }

func (r *report) note(format string, args ...any) {
	r.lines = append(r.lines, "      "+fmt.Sprintf(format, args...))
}

// check adds a claim, and how many exceptions to it there were.
func (r *report) check(exceptions int, format string, args ...any) {
	claim, mark := fmt.Sprintf(format, args...), "  ok  "
	r.checked++
	if exceptions > 0 {
		mark = "WRONG "
		claim += fmt.Sprintf(" (exceptions: %d)", exceptions)
		r.wrong = append(r.wrong, claim)
	}
	r.lines = append(r.lines, mark+claim)
}

func (r *report) print(out io.Writer) {
	end := ""
	if len(r.wrong) == 0 {
		end = fmt.Sprintf("\nAll %d checks held.\n", r.checked)
	}
	if r.excused > 0 {
		end += fmt.Sprintf("%d did not, but a server that was out may have lost data.\n", r.excused)
	}
	_, _ = fmt.Fprintln(out, strings.Join(r.lines, "\n")+"\n"+strings.TrimSuffix(end, "\n"))
}

// verdict returns what was wrong.
func (r *report) verdict() error {
	if len(r.wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d checks failed: %s", len(r.wrong), r.checked, strings.Join(r.wrong, "; "))
}

// reckon holds the ledger against what the servers say.
func (s *show) reckon() {
	s.reckonErrors()
	live := 0
	for _, n := range s.cluster.Nodes() {
		if n.Live {
			live++
		}
	}
	switch {
	case live < len(s.load.tallies):
		s.report.section("Counters and jobs")
		s.report.note("%d of %d nodes live now, so what the others hold cannot be told", live, len(s.load.tallies))
	case s.outages > 0:
		s.reckonCounters(s.report.mayForget)
		s.reckonJobs(s.report.mayForget)
	default:
		s.reckonCounters(s.report.check)
		s.reckonJobs(s.report.check)
	}
}

// mayForget is check for real servers that were out: one without persistence
// comes back empty, and then an exception says nothing of the cluster.
func (r *report) mayForget(exceptions int, format string, args ...any) {
	if exceptions == 0 {
		r.check(0, format, args...)
		return
	}
	r.excused++
	r.lines = append(r.lines, "   no "+fmt.Sprintf(format, args...), fmt.Sprintf("      (exceptions: %d)", exceptions))
}

func (s *show) reckonErrors() {
	t := s.load.ledger.sum()
	s.report.section("Errors that callers saw")
	var commands, elsewhere int64
	for _, n := range s.cluster.Nodes() {
		tally := s.load.tallies[n.Pool]
		commands += tally.commands.Load()
		failed := tally.errors.Load()
		if failed > 0 {
			s.report.note("%s at node %s", commas(failed), n.Name)
		}
		if len(s.servers) > 0 && n.Name != s.servers[1].name {
			elsewhere += failed
		}
	}
	s.report.note("in %s commands: %d safe to retry, %d whose answer was lost, %d others",
		commas(commands), t.refused, t.unanswered, t.otherErrors)
	if len(s.servers) > 0 {
		s.report.check(int(elsewhere), "no caller saw an error of a node that lived")
		s.report.check(int(t.gaveUp), "no increment was given up: the node that stood in took it")
	}
}

// reckonCounters checks that each counter's sum over the nodes is what was
// acknowledged, give or take what is uncertain.
func (s *show) reckonCounters(check func(int, string, ...any)) {
	s.report.section("Counters")
	sums, holders, err := s.load.sums()
	if err != nil {
		s.report.check(1, "the counters can be read: %v", err)
		return
	}
	var total int64
	split, wrong := 0, 0
	for key, c := range s.load.ledger.counts() {
		sum := sums[key]
		total += sum
		if sum < c.acknowledged || sum > c.acknowledged+c.uncertain {
			wrong++
		}
		if holders[key] > 1 {
			split++
		}
	}
	t := s.load.ledger.sum()
	s.report.note("%s increments acknowledged, %d uncertain; the nodes add up to %s",
		commas(t.counted), t.perhapsCounted, commas(total))
	s.report.note("%d of %d counters stand on more than one node: add up to read them", split, len(s.load.counters))
	check(wrong, "each adds up to what was acknowledged, plus at most what is uncertain")
}

func (s *show) reckonJobs(check func(int, string, ...any)) {
	t, c := s.load.ledger.sum(), s.load.ledger.jobCounts()
	s.report.section("Jobs")
	s.report.note("%s pushed, %s handled, %d twice after an error that left it open",
		commas(t.pushed), commas(t.handled), c.again)
	check(c.lost, "none was lost")
	check(c.twice, "none was handled twice without such an error")
	check(c.unasked, "none was handled that nobody pushed")
	left, err := s.load.left()
	if err != nil {
		s.report.check(1, "the queues can be read: %v", err)
		return
	}
	check(left, "the queues and the workers' own lists are empty")
}

// sums adds up each counter over all live nodes, and counts those that hold it.
func (w *workload) sums() (sums map[string]int64, holders map[string]int, err error) {
	sums, holders = map[string]int64{}, map[string]int{}
	for node, err := range w.cluster.Rounds(context.Background(), 1) {
		if err != nil {
			return nil, nil, err
		}
		values, err := redis.Values(w.do(node.Pool, "MGET", redis.Args{}.AddFlat(w.counters)...))
		if err != nil {
			return nil, nil, err
		}
		for i, value := range values {
			n, err := redis.Int64(value, nil)
			if errors.Is(err, redis.ErrNil) {
				continue
			}
			if err != nil {
				return nil, nil, fmt.Errorf("%s at node %s: %w", w.counters[i], node.Name, err)
			}
			sums[w.counters[i]] += n
			holders[w.counters[i]]++
		}
	}
	return sums, holders, nil
}

// left returns how many jobs are still in a list on a live node.
func (w *workload) left() (int, error) {
	sum := 0
	for node, err := range w.cluster.Rounds(context.Background(), 1) {
		if err != nil {
			return sum, err
		}
		for _, list := range w.lists() {
			n, err := redis.Int(w.do(node.Pool, "LLEN", list))
			if err != nil {
				return sum, err
			}
			sum += n
		}
	}
	return sum, nil
}
