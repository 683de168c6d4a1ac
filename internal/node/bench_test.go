package node_test

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

// benchPools are pools of one server: redigo's own, and observed ones.
func benchPools(b *testing.B) map[string]*redis.Pool {
	s := redistest.Start(b)
	pools := map[string]*redis.Pool{
		"bare":    s.Pool(redistest.PoolOptions{}),
		"user":    watchPool(b, s.Pool(redistest.PoolOptions{})).Pool(),
		"library": watchURL(b, s.URL(), "?read_timeout=1s").Pool(),
	}
	s.Do("SET", "k", "value")
	b.Cleanup(func() { _ = pools["bare"].Close() })
	return pools
}

// benchConns runs a benchmark with a connection of each kind.
func benchConns(b *testing.B, call func(rc redis.Conn) error) {
	for name, pool := range benchPools(b) {
		b.Run(name, func(b *testing.B) {
			rc, err := pool.DialContext(b.Context())
			require.NoError(b, err)
			defer rc.Close()
			b.ReportAllocs()
			for b.Loop() {
				if err := call(rc); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDo(b *testing.B) {
	benchConns(b, func(rc redis.Conn) error { return second(rc.Do("GET", "k")) })
}

func BenchmarkDoContext(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	benchConns(b, func(rc redis.Conn) error { return second(redis.DoContext(rc, ctx, "GET", "k")) })
}

func BenchmarkPipelineOf100(b *testing.B) {
	benchConns(b, func(rc redis.Conn) error {
		for range 100 {
			if err := rc.Send("GET", "k"); err != nil {
				return err
			}
		}
		return second(rc.Do(""))
	})
}

// BenchmarkPool is what a caller pays for one command: Get, Do, Close.
func BenchmarkPool(b *testing.B) {
	for name, pool := range benchPools(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rc := pool.Get()
				if _, err := rc.Do("GET", "k"); err != nil {
					b.Fatal(err)
				}
				_ = rc.Close()
			}
		})
	}
}

// BenchmarkBorrow is Get and Close alone; for the library's pool most of it is
// the look at the socket.
func BenchmarkBorrow(b *testing.B) {
	for name, pool := range benchPools(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				rc := pool.Get()
				if err := rc.Err(); err != nil {
					b.Fatal(err)
				}
				_ = rc.Close()
			}
		})
	}
}

func BenchmarkLookAtAnIdleConnection(b *testing.B) {
	pool := benchPools(b)["library"]
	rc, err := pool.DialContext(b.Context())
	require.NoError(b, err)
	defer rc.Close()
	lastUsed := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if err := pool.TestOnBorrow(rc, lastUsed); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLargeReply reads a value of 1 MiB.
func BenchmarkLargeReply(b *testing.B) {
	for name, pool := range benchPools(b) {
		b.Run(name, func(b *testing.B) {
			rc, err := pool.DialContext(b.Context())
			require.NoError(b, err)
			defer rc.Close()
			value := strings.Repeat("x", 1<<20)
			require.NoError(b, second(rc.Do("SET", "large", value)))
			b.SetBytes(int64(len(value)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := rc.Do("GET", "large"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkBesideRedigo takes turns between the pools, so that whatever else the
// machine does falls on all of them alike, and reports medians per call and what
// they are in per cent of redigo's.
func BenchmarkBesideRedigo(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	for name, call := range map[string]func(rc redis.Conn) error{
		"Do":        func(rc redis.Conn) error { return second(rc.Do("GET", "k")) },
		"DoContext": func(rc redis.Conn) error { return second(redis.DoContext(rc, ctx, "GET", "k")) },
	} {
		b.Run(name, func(b *testing.B) {
			pools := benchPools(b)
			took := map[string][]time.Duration{}
			for b.Loop() {
				for kind, pool := range pools {
					took[kind] = append(took[kind], timeTurn(b, pool, call))
				}
			}
			b.ReportMetric(0, "ns/op") // of a turn of all pools, which says nothing
			bare := median(took["bare"])
			b.ReportMetric(float64(bare), "ns/bare")
			for _, kind := range []string{"user", "library"} {
				b.ReportMetric(float64(median(took[kind]))/float64(bare)*100, "%/"+kind)
			}
		})
	}
}

// timeTurn returns what one call takes, of some in a row, with Get and Close.
func timeTurn(b *testing.B, pool *redis.Pool, call func(redis.Conn) error) time.Duration {
	const calls = 50
	begun := time.Now()
	for range calls {
		rc := pool.Get()
		if err := call(rc); err != nil {
			b.Fatal(err)
		}
		_ = rc.Close()
	}
	return time.Since(begun) / calls
}

func median[T cmp.Ordered](all []T) T {
	slices.Sort(all)
	return all[len(all)/2]
}
