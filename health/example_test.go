package health_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/redisfluster/fluster/health"
)

// A node is out from the moment that its host refuses a connection, and live
// again when a probe succeeds.
func ExampleChecker() {
	var down atomic.Bool
	probe := func(context.Context, health.ProbeRequest) health.Evidence {
		if down.Load() {
			return health.Evidence{Class: health.Hard, Cause: errors.New("connection refused")}
		}
		return health.Evidence{Class: health.Alive}
	}
	released := make(chan struct{})
	checker, err := health.New(
		health.Config{MinWait: 10 * time.Millisecond},
		[]health.Target{{Name: "cache-1", Probe: probe}},
		health.Hooks{Changed: func(c health.Change) {
			switch {
			case c.Live:
				fmt.Println("live again")
				close(released)
			case !c.Still:
				fmt.Println("out:", c.Cause)
			}
		}},
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer checker.Close()
	checker.Start()

	down.Store(true)
	checker.Report(context.Background(), 0, health.Evidence{
		Class: health.Hard,
		Cause: errors.New("connection refused"),
	})
	fmt.Println("live:", checker.Status(0).Live)

	down.Store(false)
	<-released
	// Output:
	// out: connection refused
	// live: false
	// live again
}
