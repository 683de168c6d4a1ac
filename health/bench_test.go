package health_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
)

func BenchmarkReport(b *testing.B) {
	ended, cancel := context.WithCancel(context.Background())
	cancel() // so that it is Report that is measured, not what it waits for
	for _, class := range []health.Class{health.None, health.Alive, health.Ask, health.Timeout, health.Broken} {
		b.Run(class.String(), func(b *testing.B) {
			c, err := health.New(health.Config{Failures: 1 << 30}, []health.Target{target()}, health.Hooks{})
			require.NoError(b, err)
			defer c.Close()
			c.Start()
			ev := health.Evidence{Class: class, Cause: errSilent, Conn: 1, Sent: time.Now()}
			b.ReportAllocs()
			for b.Loop() {
				c.Report(ended, 0, ev)
			}
		})
	}
}

func TestReportOfWhatSaysNothingDoesNotAllocate(t *testing.T) {
	c, err := health.New(health.Config{}, []health.Target{target()}, health.Hooks{})
	require.NoError(t, err)
	defer c.Close()
	ev := health.Evidence{Class: health.None, Cause: errSilent}
	require.Zero(t, testing.AllocsPerRun(100, func() { c.Report(context.Background(), 0, ev) }))
}
