package main

import (
	"runtime"
	"time"

	"github.com/redisfluster/fluster/bench/internal/contest"
	"github.com/redisfluster/fluster/bench/internal/stats"
)

// sample is what one slice of one entrant came to, for each operation.
type sample struct {
	time   float64 // in ns, of the whole slice: by the clock, however many goroutines
	cpu    float64 // in ns, of this process alone; 0 where the system doesn't tell, NaN if calls were not all that it did
	allocs float64

	// The rest is of loads on servers only.
	servers        float64 // in ns of processor time, of all servers and the proxy
	p50, p99, p999 float64 // in ns, that one call took
	failed         int     // calls, which count for nothing else here
	fault          error   // one of theirs
}

// meter measures a slice from its start on. What lay about before was collected.
type meter struct {
	start  time.Time
	cpu    time.Duration
	allocs uint64
}

func startMeter() meter {
	runtime.GC()
	return meter{allocs: allocations(), cpu: processCPU(), start: time.Now()}
}

// reading is what a meter shows for a whole slice.
type reading struct {
	wall, cpu time.Duration
	allocs    uint64
}

func (m meter) stop() reading {
	wall, cpu := time.Since(m.start), processCPU()-m.cpu
	return reading{wall: wall, cpu: cpu, allocs: allocations() - m.allocs}
}

// per returns the sample of a slice of so many operations.
func (r reading) per(operations int) sample {
	n := float64(operations)
	return sample{time: float64(r.wall) / n, cpu: float64(r.cpu) / n, allocs: float64(r.allocs) / n}
}

func allocations() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}

func times(samples []sample) []float64 {
	return figures(samples, func(s sample) float64 { return s.time })
}

func allocs(samples []sample) []float64 {
	return figures(samples, func(s sample) float64 { return s.allocs })
}

func figures(samples []sample, of func(sample) float64) []float64 {
	all := make([]float64, len(samples))
	for i, s := range samples {
		all[i] = of(s)
	}
	return all
}

func median(x []float64) float64 { return stats.Summarize(x).Median }

func ratio(x, base []float64) stats.Summary { return stats.Summarize(stats.Ratios(x, base)) }

// entrant is one that yields samples.
type entrant = contest.Entrant[sample]
