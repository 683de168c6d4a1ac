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
	cpu    float64 // in ns, of this process alone; 0 where the system doesn't tell
	allocs float64
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

// stop returns the sample of a slice of so many operations.
func (m meter) stop(operations int) sample {
	wall, cpu := time.Since(m.start), processCPU()-m.cpu
	n := float64(operations)
	return sample{
		time:   float64(wall) / n,
		cpu:    float64(cpu) / n,
		allocs: float64(allocations()-m.allocs) / n,
	}
}

func allocations() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.Mallocs
}

func times(samples []sample) []float64 {
	return figures(samples, func(s sample) float64 { return s.time })
}

func rates(samples []sample) []float64 {
	return figures(samples, func(s sample) float64 { return float64(time.Second) / s.time })
}

func cpus(samples []sample) []float64 {
	return figures(samples, func(s sample) float64 { return s.cpu })
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
