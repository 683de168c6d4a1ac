package health

import (
	"fmt"
	"math"
	"time"
)

// The defaults of [Config].
const (
	DefaultInterval   = time.Second
	DefaultTimeout    = 500 * time.Millisecond
	DefaultFailures   = 3
	DefaultSuccesses  = 1
	DefaultMinWait    = 250 * time.Millisecond
	DefaultMaxWait    = 10 * time.Second
	DefaultMultiplier = 2.0
)

// Config says how patient a [Checker] is. The zero value is a good choice.
type Config struct {
	// Interval is the time between two probes of a live node, give or take a
	// tenth at random. If zero, DefaultInterval is used.
	Interval time.Duration

	// Timeout bounds one probe. If zero, DefaultTimeout is used.
	Timeout time.Duration

	// Failures is how many soft failures in a row penalize a node: failed
	// probes, broken connections, time-outs on as many connections. If zero,
	// DefaultFailures is used. A node that refuses connections is penalized at
	// once, whatever Failures is.
	Failures int

	// Successes is how many probes in a row must succeed before a node is
	// released. If zero, DefaultSuccesses is used.
	Successes int

	// MinWait is the first wait in the penalty box. If zero, DefaultMinWait is
	// used, or MaxWait if that is shorter. Every wait is cut by a random part
	// of up to one half, so that many clients do not come back as one. For the
	// same reason a node that timed out, and answers a probe which had hung on
	// it, is probed once more, at any time within its last wait.
	MinWait time.Duration

	// MaxWait bounds the wait in the penalty box. If zero, DefaultMaxWait is
	// used, or MinWait if that is longer.
	MaxWait time.Duration

	// Multiplier is what a wait grows by with each failed probe in the penalty
	// box; at least 1. If zero, DefaultMultiplier is used.
	Multiplier float64

	// MaxDown is the largest share of the nodes that may be out at once, from 0
	// to 1; the number of nodes is rounded down. Zero means no bound. A node
	// that the bound keeps from the penalty box stays live and is probed on;
	// it is penalized when there is room and it fails still.
	MaxDown float64
}

// withDefaults returns the configuration with its zeros filled in.
func (c Config) withDefaults() Config {
	orDefault(&c.Interval, DefaultInterval)
	orDefault(&c.Timeout, DefaultTimeout)
	orDefault(&c.Failures, DefaultFailures)
	orDefault(&c.Successes, DefaultSuccesses)
	orDefault(&c.Multiplier, DefaultMultiplier)
	if c.MaxWait == 0 {
		c.MaxWait = max(DefaultMaxWait, c.MinWait)
	}
	if c.MinWait == 0 {
		c.MinWait = min(DefaultMinWait, c.MaxWait)
	}
	return c
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// validate returns an error that names the first field that makes no sense. It
// wants the defaults filled in.
func (c Config) validate() error {
	switch {
	case c.Interval < 0:
		return fmt.Errorf("health: Interval is negative: %v", c.Interval)
	case c.Timeout < 0:
		return fmt.Errorf("health: Timeout is negative: %v", c.Timeout)
	case c.Failures < 0:
		return fmt.Errorf("health: Failures is negative: %d", c.Failures)
	case c.Successes < 0:
		return fmt.Errorf("health: Successes is negative: %d", c.Successes)
	case c.MaxWait < 0:
		return fmt.Errorf("health: MaxWait is negative: %v", c.MaxWait)
	case c.MinWait < 0:
		return fmt.Errorf("health: MinWait is negative: %v", c.MinWait)
	case c.MaxWait < c.MinWait:
		return fmt.Errorf("health: MaxWait %v is shorter than MinWait %v", c.MaxWait, c.MinWait)
	case !(c.Multiplier >= 1) || math.IsInf(c.Multiplier, 0):
		return fmt.Errorf("health: Multiplier is not a number from 1 up: %v", c.Multiplier)
	case !(c.MaxDown >= 0 && c.MaxDown <= 1):
		return fmt.Errorf("health: MaxDown is not a share from 0 to 1: %v", c.MaxDown)
	}
	return nil
}
