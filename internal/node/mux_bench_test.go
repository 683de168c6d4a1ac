package node_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

// BenchmarkShareBesidePool takes turns between calls over a node's shared connection
// and calls over connections of a pool, from many goroutines over three servers, and
// reports medians of calls per second and their ratio.
func BenchmarkShareBesidePool(b *testing.B) {
	var shared, own [3]*watched
	var bare [3]*redis.Pool
	for i := range shared {
		s := redistest.Start(b)
		s.Do("SET", "k", "0123456789012345678901234567890123456789012345678901234567890123")
		shared[i] = watchURL(b, s.URL(), "?read_timeout=1s&max_idle=1024")
		own[i] = watchURL(b, s.URL(), "?read_timeout=1s&max_idle=1024")
		bare[i] = s.Pool(redistest.PoolOptions{})
		bare[i].MaxIdle = 1024
		b.Cleanup(func() { _ = bare[i].Close() })
	}
	overPool := func(p *redis.Pool) error {
		rc := p.Get()
		defer rc.Close()
		_, err := rc.Do("GET", "k")
		return err
	}
	kinds := map[string]func(i int) error{
		"shared": func(i int) error {
			_, _, err := shared[i%3].Do(context.Background(), "GET", []any{"k"})
			return err
		},
		"own":  func(i int) error { return overPool(own[i%3].Pool()) },
		"bare": func(i int) error { return overPool(bare[i%3]) },
	}
	for _, goroutines := range []int{1, 2, 4, 8, 16, 64, 512} {
		b.Run(fmt.Sprint(goroutines), func(b *testing.B) {
			took := map[string][]time.Duration{}
			for b.Loop() {
				for kind, call := range kinds {
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

// timeCrowd returns what a call takes, of goroutines that call for a while.
func timeCrowd(b *testing.B, goroutines int, call func(i int) error) time.Duration {
	const turn = 50 * time.Millisecond
	var calls atomic.Int64
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
			calls.Add(int64(n))
		})
	}
	wg.Wait()
	return time.Since(begun) / time.Duration(max(calls.Load(), 1))
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
