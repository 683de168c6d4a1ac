package main

import "github.com/redisfluster/fluster/bench/internal/stats"

// measure is one thing that samples of a load tell.
type measure struct {
	id string // in JSON
	of func(sample) float64
}

// measures are all of them.
var measures = []measure{rate, p50, p99, p999, allocated, clientCPU, serversCPU}

var (
	rate       = measure{"ops_per_second", func(s sample) float64 { return 1e9 / s.time }}
	p50        = measure{"p50_us", func(s sample) float64 { return s.p50 / 1e3 }}
	p99        = measure{"p99_us", func(s sample) float64 { return s.p99 / 1e3 }}
	p999       = measure{"p999_us", func(s sample) float64 { return s.p999 / 1e3 }}
	allocated  = measure{"allocs_per_op", func(s sample) float64 { return s.allocs }}
	clientCPU  = measure{"client_cpu_us_per_op", func(s sample) float64 { return s.cpu / 1e3 }}
	serversCPU = measure{"servers_cpu_us_per_op", func(s sample) float64 { return s.servers / 1e3 }}
)

// median is that of all rounds.
func (m measure) median(samples []sample) float64 { return median(figures(samples, m.of)) }

// summary is that of all rounds.
func (m measure) summary(samples []sample) stats.Summary {
	return stats.Summarize(figures(samples, m.of))
}

// ratio compares round by round.
func (m measure) ratio(samples, base []sample) stats.Summary {
	return ratio(figures(samples, m.of), figures(base, m.of))
}
