package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/redisfluster/fluster/fluster"
)

// show is what the terminal shows: the workload, and what happens to the nodes.
type show struct {
	opts    options
	cluster *fluster.FlusterCluster
	servers []*server // embedded ones; none: real servers
	events  <-chan fluster.Event
	load    *workload
	board   *board
	report  *report
	keys    []string
	home    survey // with all nodes live
	outages int    // penalties seen
}

func newShow(opts options, cluster *fluster.FlusterCluster, servers []*server, events <-chan fluster.Event) *show {
	return &show{
		opts: opts, cluster: cluster, servers: servers, events: events,
		load: newWorkload(cluster), report: &report{}, keys: sample(),
	}
}

// play runs the show and prints the summary. It returns an error if something
// was wrong.
func (s *show) play(ctx context.Context, out io.Writer) error {
	s.board = startBoard(out, s.opts.plain, s.cluster, s.load, s.keys)
	s.load.start(ctx)
	defer s.load.cleanUp()
	err := s.act(ctx)
	s.load.stop()
	s.board.say("everybody has stopped; what was left in the queues is done")
	s.board.close()
	if err != nil {
		return err
	}
	s.reckon()
	s.report.print(out)
	return s.report.verdict()
}

func (s *show) act(ctx context.Context) error {
	s.home = takeSurvey(s.cluster, s.keys)
	s.report.section("Keys: " + commas(len(s.keys)) + " were looked up with Locate")
	s.report.note("%-10s %s", "at first", spread(s.cluster, s.home))
	if len(s.servers) == 0 {
		return s.watch(ctx)
	}
	return s.killAndRestart(ctx, s.servers[1])
}

// killAndRestart is the show with embedded servers: a node dies and comes back.
func (s *show) killAndRestart(ctx context.Context, victim *server) error {
	s.board.phase("all nodes live")
	if err := s.calm(ctx, s.opts.phase); err != nil {
		return err
	}
	waiting, death, err := s.kill(ctx, victim)
	if err != nil {
		return err
	}
	s.board.phase("node " + victim.name + " is dead")
	if err := s.calm(ctx, s.opts.phase*7/5); err != nil {
		return err
	}
	life, err := s.revive(ctx, victim)
	if err != nil {
		return err
	}
	s.board.phase("all nodes live again")
	if err := s.calm(ctx, s.opts.phase); err != nil {
		return err
	}
	s.report.section("Detection")
	s.report.note("kill -> penalized                     %s", death.penalized)
	s.report.note("kill -> GetClient gives another node  %s", death.elsewhere)
	s.report.note("restart -> released                   %s", life)
	s.report.note("(a dead node is probed after waits that grow, here up to 1 s)")
	s.report.section("Jobs that node " + victim.name + " held when it died")
	s.load.stop()
	s.report.check(s.load.ledger.unhandled(waiting), "%d waited there, and all of them were handled after its return", len(waiting))
	return nil
}

// death is how long it took after a kill until the cluster had drawn the consequence.
type death struct{ penalized, elsewhere duration }

// kill kills a server, and waits until its node is penalized. It returns the
// jobs that wait there.
func (s *show) kill(ctx context.Context, victim *server) ([]string, death, error) {
	key := s.keyOf(victim.name)
	s.board.say("killing node %s", victim.name)
	watching, stop := context.WithTimeout(ctx, 10*time.Second)
	defer stop()
	moved := s.whenMoved(watching, key)
	killed := time.Now()
	victim.kill()
	ev, err := s.await(ctx, victim.name, false)
	if err != nil {
		return nil, death{}, err
	}
	d := death{penalized: duration(ev.At.Sub(killed))}
	s.board.say("%s is penalized after %s: %s", victim.name, d.penalized, rootCause(ev.Cause))
	at, ok := <-moved
	if !ok {
		return nil, d, fmt.Errorf("GetClient(%q) still gives the pool of node %s, which is penalized", key, victim.name)
	}
	d.elsewhere = duration(at.Sub(killed))
	waiting := s.load.ledger.waitingAt(victim.name)
	s.board.say("GetClient gave another node after %s; %d jobs wait on %s", d.elsewhere, len(waiting), victim.name)
	s.surveyNow(victim.name+" dead", s.home.counts()[victim.name])
	return waiting, d, nil
}

// revive restarts a server, and waits until its node is released.
func (s *show) revive(ctx context.Context, victim *server) (duration, error) {
	s.board.say("restarting node %s at %s", victim.name, victim.addr)
	if err := victim.restart(ctx); err != nil {
		return 0, err
	}
	restarted := time.Now()
	ev, err := s.await(ctx, victim.name, true)
	if err != nil {
		return 0, err
	}
	after := duration(ev.At.Sub(restarted))
	s.board.say("%s is back after %s: its keys come home", victim.name, after)
	s.surveyNow(victim.name+" back", 0)
	return after, nil
}

// surveyNow checks where the keys belong now: those of live nodes at home, those
// of dead ones elsewhere, away of them in all.
func (s *show) surveyNow(when string, away int) {
	now := takeSurvey(s.cluster, s.keys)
	m := now.since(s.home)
	s.board.say("%s of %s keys are away from home", commas(m.away), commas(len(s.keys)))
	s.report.note("%-10s %s", when, spread(s.cluster, now))
	s.report.check(m.wrong, "no key of a live node has moved")
	if away == 0 {
		s.report.check(m.away, "all keys are at home again")
		return
	}
	s.report.check(max(m.away-away, away-m.away), "the dead node's %s keys have: %.1f %% of all",
		commas(away), 100*float64(away)/float64(len(s.keys)))
}

// keyOf returns a key whose home is the node.
func (s *show) keyOf(node string) string {
	for i, at := range s.home.at {
		if at == node {
			return s.keys[i]
		}
	}
	panic("bug: a node of three is home to none of ten thousand keys")
}

// whenMoved tells, once, when GetClient first gave key another pool than now. It
// looks every 0.1 ms. The channel is closed without a word if ctx ends before.
func (s *show) whenMoved(ctx context.Context, key string) <-chan time.Time {
	first, err := s.cluster.GetClient(key)
	moved := make(chan time.Time, 1)
	go func() {
		defer close(moved)
		for err == nil && pause(ctx, 100*time.Microsecond) == nil {
			if pool, err := s.cluster.GetClient(key); err != nil || pool != first {
				moved <- time.Now()
				return
			}
		}
	}()
	return moved
}

// await waits for the event that is due. Any other is a fault: nothing else was
// done to the nodes.
func (s *show) await(ctx context.Context, node string, live bool) (fluster.Event, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Second, errors.New("10 s are over"))
	defer cancel()
	select {
	case ev := <-s.events:
		if ev.Node.Name != node || ev.Live != live {
			return ev, fmt.Errorf("waited for node %s to be %s, but %s", node, liveness(live), tell(ev))
		}
		return ev, nil
	case <-ctx.Done():
		return fluster.Event{}, fmt.Errorf("node %s is not %s: %w", node, liveness(live), context.Cause(ctx))
	}
}

// calm lets time pass in which nothing may happen to the nodes.
func (s *show) calm(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		s.board.table()
		return nil
	case ev := <-s.events:
		return fmt.Errorf("nothing was done to any node, but %s", tell(ev))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch is the show with real servers: whatever happens to them is reported.
func (s *show) watch(ctx context.Context) error {
	s.board.phase("watching")
	s.board.say("these servers are yours, so nothing here stops them: do it yourself,")
	s.board.say("with redis-cli shutdown or kill -STOP, and start them again;")
	s.board.say("this ends in %s, or with Ctrl-C", s.opts.watch)
	timer := time.NewTimer(s.opts.watch)
	defer timer.Stop()
	for {
		select {
		case ev := <-s.events:
			s.observe(ev)
		case <-timer.C:
			s.board.table()
			return nil
		case <-ctx.Done(): // interrupted: the summary is worth having
			return nil
		}
	}
}

func (s *show) observe(ev fluster.Event) {
	s.board.say("%s", tell(ev))
	s.board.table()
	if !ev.Live {
		s.outages++
	}
	now := takeSurvey(s.cluster, s.keys)
	m := now.since(s.home)
	s.report.note("%s  %s", ev.At.Format("15:04:05"), tell(ev))
	s.report.note("%s", spread(s.cluster, now))
	s.report.check(m.wrong, "%s are away from home, but no key of a live node is", commas(m.away))
}

// tell says what an event is.
func tell(ev fluster.Event) string {
	if ev.Live {
		return fmt.Sprintf("%s is back: its keys come home", ev.Node.Name)
	}
	return fmt.Sprintf("%s is penalized: %s", ev.Node.Name, rootCause(ev.Cause))
}

func liveness(live bool) string {
	if live {
		return "released"
	}
	return "penalized"
}

// spread says how many keys belong to each node.
func spread(cluster *fluster.FlusterCluster, s survey) string {
	counts := s.counts()
	var parts []string
	for _, n := range cluster.Nodes() {
		parts = append(parts, fmt.Sprintf("%s %6s", n.Name, commas(counts[n.Name])))
	}
	return strings.Join(parts, "   ")
}
