package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gomodule/redigo/redis"
	goredis "github.com/redis/go-redis/v9"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
	"github.com/redisfluster/fluster/bench/internal/report"
	"github.com/redisfluster/fluster/bench/internal/stats"
)

const (
	rushKeys = 10_000
	// window is for how long calls are counted before a fault and after it.
	window = time.Second
	// blink is how long the time after a fault is looked at by itself.
	blink = 100 * time.Millisecond
)

// rushes are faults under calls that follow each other without a pause.
var rushes = []rush{
	{"kill -9 while all call GET as fast as they can", "GET", kill},
	{"kill -9 while all call INCR as fast as they can", "INCR", kill},
	{"SIGSTOP of 2 s while all call GET as fast as they can", "GET", freeze},
	{"SIGSTOP of 2 s while all call INCR as fast as they can", "INCR", freeze},
}

type rush struct {
	name, cmd string
	inject    injection
}

func (r rush) String() string { return r.name }

// rushed is what a rush came to with one client.
type rushed struct {
	Failed  int           // calls
	Most    int           // of them that one caller had
	Last    time.Duration // after the fault: when the last of them ended
	Longest time.Duration
	Before  float64 // calls per second before the fault,
	Blink   float64 // right after it,
	After   float64 // and in the whole window after it
}

// stampede is callers who never pause.
type stampede struct {
	client client
	cmd    string
	begun  time.Time
	over   atomic.Bool
	wg     sync.WaitGroup
	each   [callers]struct {
		ends   [int(12 * window / slice)]uint32 // calls that ended in each slice
		failed []time.Duration                  // when they ended
		long   time.Duration
	}
}

const slice = 10 * time.Millisecond

func startStampede(c client, cmd string) *stampede {
	s := &stampede{client: c, cmd: cmd, begun: time.Now()}
	for i := range callers {
		s.wg.Go(func() { s.run(i) })
	}
	return s
}

func (s *stampede) run(caller int) {
	mine := &s.each[caller]
	for from := time.Since(s.begun); !s.over.Load(); {
		_, err := s.client.Do(context.Background(), s.cmd, fmt.Sprint("rush:", rand.IntN(rushKeys)))
		now := time.Since(s.begun)
		mine.long = max(mine.long, now-from)
		mine.ends[min(int(now/slice), len(mine.ends)-1)]++
		if err != nil && !errors.Is(err, redis.ErrNil) && !errors.Is(err, goredis.Nil) {
			mine.failed = append(mine.failed, now)
		}
		from = now
	}
}

// rate returns how many calls ended in a second, by the slices in between.
func (s *stampede) rate(from, to time.Duration) float64 {
	n := uint32(0)
	for i := range s.each {
		for _, ends := range s.each[i].ends[from/slice : to/slice] {
			n += ends
		}
	}
	return float64(n) / (to - from).Seconds()
}

// result is what it came to; the fault was at that time.
func (s *stampede) result(fault time.Duration) rushed {
	r := rushed{
		Before: s.rate(fault-window, fault),
		Blink:  s.rate(fault+slice, fault+slice+blink),
		After:  s.rate(fault+slice, fault+slice+window),
	}
	for i := range s.each {
		mine := &s.each[i]
		r.Failed += len(mine.failed)
		r.Most = max(r.Most, len(mine.failed))
		r.Longest = max(r.Longest, mine.long)
		if n := len(mine.failed); n > 0 {
			r.Last = max(r.Last, mine.failed[n-1]-fault)
		}
	}
	return r
}

// happen lets it happen to one client.
func (r rush) happen(ctx context.Context, k kind) (rushed, error) {
	c := &contestant{kind: k, setting: alike}
	defer c.close()
	if err := c.open(ctx); err != nil {
		return rushed{}, err
	}
	s := startStampede(c.client, r.cmd)
	fault, err := r.strike(ctx, s, c.servers[1])
	s.over.Store(true)
	s.wg.Wait()
	if err != nil {
		return rushed{}, err
	}
	return s.result(fault), nil
}

// strike lets the fault happen and end, and returns when it began.
func (r rush) strike(ctx context.Context, s *stampede, server *redisserver.Server) (fault time.Duration, err error) {
	if err := sleep(ctx, warm+window); err != nil {
		return 0, err
	}
	fault = time.Since(s.begun)
	heal, err := r.inject(ctx, server)
	if err == nil {
		err = sleep(ctx, outage)
	}
	if heal != nil {
		err = errors.Join(err, heal(ctx), sleep(ctx, window))
	}
	return fault, err
}

// stampedes lets rushes happen to every client, in turn.
func (r *run) stampedes(ctx context.Context, rush rush) error {
	for _, k := range kinds {
		res := rushResult{Fault: rush.name, Client: k.Name}
		for round := range r.rounds {
			r.say("%s, round %d of %d: %s", rush, round+1, r.rounds, k.Name)
			one, err := rush.happen(ctx, k)
			if err != nil {
				return fmt.Errorf("%s: %w", k.Name, err)
			}
			res.Rounds = append(res.Rounds, one)
		}
		r.Rushes = append(r.Rushes, res)
	}
	return nil
}

// rushResult is what became of one client in a rush.
type rushResult struct {
	Fault, Client string
	Rounds        []rushed
}

// rushTable has a row for each fault and client.
func (r *run) rushTable() report.Table {
	t := report.Table{
		Title:  "The same without a pause, " + alike.Name,
		Header: []string{"fault", "client", "calls lost", "by one caller, at most", "the last after", "longest call", "calls/s before", "in the next 0.1 s", "in the next 1 s"},
		Remark: fmt.Sprintf("%d callers, each client by itself; %s. Calls per second after the fault are × those before.", callers, r.medians()),
	}
	for _, res := range r.Rushes {
		of := func(f func(rushed) float64) float64 {
			var xs []float64
			for _, one := range res.Rounds {
				xs = append(xs, f(one))
			}
			return stats.Summarize(xs).Median
		}
		most := 0
		for _, one := range res.Rounds {
			most = max(most, one.Most)
		}
		t.Add(res.Fault, res.Client,
			count(of(func(o rushed) float64 { return float64(o.Failed) })), fmt.Sprint(most),
			span(of(func(o rushed) float64 { return float64(o.Last) })),
			span(of(func(o rushed) float64 { return float64(o.Longest) })),
			report.Figure(of(func(o rushed) float64 { return o.Before })),
			share(of(func(o rushed) float64 { return o.Blink / o.Before })),
			share(of(func(o rushed) float64 { return o.After / o.Before })))
	}
	return t
}

func share(x float64) string { return fmt.Sprintf("%.2f ×", x) }
