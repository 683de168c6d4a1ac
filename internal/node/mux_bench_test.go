package node_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

// rigs are three servers, and how to call them: over shared connections, over a
// node's pool, and over a pool of redigo's alone.
type rigs struct {
	servers []*redistest.Server
	kinds   map[string]func(i int) error
}

func newRigs(b *testing.B) *rigs {
	r := &rigs{}
	var shared, own [3]*watched
	var bare [3]*redis.Pool
	for i := range shared {
		s := redistest.Start(b)
		s.Do("SET", "k", strings.Repeat("x", 64))
		r.servers = append(r.servers, s)
		shared[i] = watchURL(b, s.URL(), "?read_timeout=10s&write_timeout=10s&max_idle=512&pool_size=512&pool_wait=true")
		own[i] = watchURL(b, s.URL(), "?read_timeout=10s&write_timeout=10s&max_idle=512&pool_size=512&pool_wait=true")
		bare[i] = s.Pool(redistest.PoolOptions{Read: 10 * time.Second, Write: 10 * time.Second, MaxIdle: 512, MaxActive: 512, Wait: true})
		b.Cleanup(func() { _ = bare[i].Close() })
	}
	overPool := func(p *redis.Pool) error {
		rc := p.Get()
		defer rc.Close()
		_, err := rc.Do("GET", "k")
		return err
	}
	r.kinds = map[string]func(i int) error{
		"shared": func(i int) error {
			_, _, err := shared[i%3].Do(context.Background(), "GET", []any{"k"})
			return err
		},
		"own":  func(i int) error { return overPool(own[i%3].Pool()) },
		"bare": func(i int) error { return overPool(bare[i%3]) },
	}
	return r
}

// BenchmarkShareBesidePool takes turns between calls over a node's shared connection
// and calls over connections of a pool, from many goroutines over three servers, and
// reports medians of calls per second and their ratio.
func BenchmarkShareBesidePool(b *testing.B) {
	r := newRigs(b)
	for _, goroutines := range []int{1, 2, 4, 8, 16, 64, 512, 4096} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			took := map[string][]time.Duration{}
			for b.Loop() {
				for kind, call := range r.kinds {
					took[kind] = append(took[kind], timeCrowd(b, goroutines, call))
				}
			}
			b.ReportMetric(0, "ns/op")
			pool := median(took["bare"])
			b.ReportMetric(float64(time.Second)/float64(pool), "bare/s")
			b.ReportMetric(float64(pool)/float64(median(took["shared"])), "×shared")
			b.ReportMetric(float64(pool)/float64(median(took["own"])), "×own")
		})
	}
}

// BenchmarkShareAmongHogs does the same while as many goroutines as there are
// processors compute without a pause.
func BenchmarkShareAmongHogs(b *testing.B) {
	r := newRigs(b)
	for _, goroutines := range []int{1, 8, 64, 512} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			took := map[string][]time.Duration{}
			for b.Loop() {
				for _, kind := range []string{"shared", "own", "bare"} {
					stop := hogs()
					took[kind] = append(took[kind], timeCrowd(b, goroutines, r.kinds[kind]))
					stop()
				}
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(time.Second)/float64(median(took["bare"])), "bare/s")
			b.ReportMetric(float64(median(took["bare"]))/float64(median(took["shared"])), "×shared")
			b.ReportMetric(float64(median(took["bare"]))/float64(median(took["own"])), "×own")
		})
	}
}

func hogs() (stop func()) {
	var stopped atomic.Bool
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for n := 0; !stopped.Load(); n++ {
			}
		})
	}
	return func() {
		stopped.Store(true)
		wg.Wait()
	}
}

// BenchmarkShareCost reports what depends less on who else uses the machine, again as
// medians of turns: what a call costs the processors here and the servers', and how many
// calls a server reads at once.
func BenchmarkShareCost(b *testing.B) {
	r := newRigs(b)
	for _, goroutines := range []int{1, 2, 4, 8, 16, 64, 512, 4096} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			took, here, there, batch := map[string][]float64{}, map[string][]float64{}, map[string][]float64{}, map[string][]float64{}
			for b.Loop() {
				for _, kind := range []string{"bare", "shared"} {
					mine, theirs, reads := cpuOfThis(b), r.cpu(b), r.reads(b)
					span, n := countCrowd(b, goroutines, r.kinds[kind])
					calls := float64(n)
					took[kind] = append(took[kind], float64(span)/calls)
					here[kind] = append(here[kind], float64(cpuOfThis(b)-mine)/calls)
					there[kind] = append(there[kind], float64(r.cpu(b)-theirs)/calls)
					batch[kind] = append(batch[kind], calls/float64(r.reads(b)-reads))
				}
			}
			b.ReportMetric(0, "ns/op")
			for _, kind := range []string{"bare", "shared"} {
				b.ReportMetric(median(here[kind]), kind+"-ns-here")
				b.ReportMetric(median(there[kind]), kind+"-ns-there")
			}
			b.ReportMetric(median(batch["shared"]), "calls/read")
			b.ReportMetric((median(here["bare"])+median(there["bare"]))/(median(here["shared"])+median(there["shared"])), "×cpu")
			b.ReportMetric(median(took["bare"])/median(took["shared"]), "×calls/s")
		})
	}
}

func cpuOfThis(b *testing.B) time.Duration {
	var used syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// cpu returns what the servers have used.
func (r *rigs) cpu(b *testing.B) (sum time.Duration) {
	for _, field := range []string{"used_cpu_sys", "used_cpu_user"} {
		for _, text := range r.info(b, "cpu", field) {
			seconds, err := strconv.ParseFloat(text, 64)
			require.NoError(b, err)
			sum += time.Duration(seconds * float64(time.Second))
		}
	}
	return sum
}

// reads returns how often the servers have read from a connection.
func (r *rigs) reads(b *testing.B) (sum int) {
	for _, text := range r.info(b, "stats", "total_reads_processed") {
		n, err := strconv.Atoi(text)
		require.NoError(b, err)
		sum += n
	}
	return sum
}

func (r *rigs) info(b *testing.B, section, field string) (all []string) {
	for _, s := range r.servers {
		text, err := redis.String(s.Do("INFO", section), nil)
		require.NoError(b, err)
		_, rest, found := strings.Cut(text, "\n"+field+":")
		require.True(b, found, field)
		value, _, _ := strings.Cut(rest, "\r")
		all = append(all, value)
	}
	return all
}

// timeCrowd returns what a call takes, of goroutines that call for a while.
func timeCrowd(b *testing.B, goroutines int, call func(i int) error) time.Duration {
	took, calls := countCrowd(b, goroutines, call)
	return took / time.Duration(max(calls, 1))
}

// countCrowd has goroutines call for a while, and returns how long and how often.
func countCrowd(b *testing.B, goroutines int, call func(i int) error) (took time.Duration, calls int) {
	const turn = 50 * time.Millisecond
	var all atomic.Int64
	var wg sync.WaitGroup
	begun := time.Now()
	for g := range goroutines {
		wg.Go(func() {
			n := 0
			for i := g; n%16 != 0 || time.Since(begun) < turn; i++ {
				if err := call(i); err != nil {
					b.Error(err)
					return
				}
				n++
			}
			all.Add(int64(n))
		})
	}
	wg.Wait()
	return time.Since(begun), int(all.Load())
}

func BenchmarkShareAllocations(b *testing.B) {
	s := redistest.Start(b)
	s.Do("SET", "k", "value")
	w := watchURL(b, s.URL(), "?read_timeout=1s")
	warmUp(b, w)
	for name, args := range map[string][]any{"GET": {"k"}, "SET": {"k", "value"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetParallelism(32)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, _, err := w.Do(context.Background(), name, args); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
	require.NoError(b, w.Pool().Get().Close())
}
