package health_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
)

func target() health.Target { return health.Target{Name: "a", Probe: health.ProbeFunc(answers)} }

func TestNewRefusesWhatMakesNoSenseAndNamesIt(t *testing.T) {
	for _, test := range []struct {
		field string
		cfg   health.Config
	}{
		{"Interval", health.Config{Interval: -1}},
		{"Timeout", health.Config{Timeout: -time.Second}},
		{"Failures", health.Config{Failures: -1}},
		{"Successes", health.Config{Successes: -1}},
		{"MinWait", health.Config{MinWait: -1}},
		{"MaxWait", health.Config{MaxWait: -1}},
		{"MaxWait", health.Config{MinWait: time.Second, MaxWait: time.Second - 1}},
		{"Multiplier", health.Config{Multiplier: 0.5}},
		{"Multiplier", health.Config{Multiplier: -2}},
		{"Multiplier", health.Config{Multiplier: math.NaN()}},
		{"Multiplier", health.Config{Multiplier: math.Inf(1)}},
		{"MaxDown", health.Config{MaxDown: -0.1}},
		{"MaxDown", health.Config{MaxDown: 1.1}},
		{"MaxDown", health.Config{MaxDown: math.NaN()}},
	} {
		_, err := health.New(test.cfg, []health.Target{target()}, health.Hooks{})
		assert.ErrorContains(t, err, "health: "+test.field, "%+v", test.cfg)
	}
}

func TestNewAcceptsEveryZeroAndOneSidedWaits(t *testing.T) {
	for _, cfg := range []health.Config{
		{},
		{MinWait: time.Minute},
		{MaxWait: time.Millisecond},
		{MinWait: time.Second, MaxWait: time.Second},
		{Multiplier: 1, MaxDown: 1},
		{MinWait: math.MaxInt64, MaxWait: math.MaxInt64, Multiplier: math.MaxFloat64},
	} {
		_, err := health.New(cfg, []health.Target{target()}, health.Hooks{})
		assert.NoError(t, err, "%+v", cfg)
	}
}

func TestNewWantsTargetsThatCanBeProbed(t *testing.T) {
	_, err := health.New(health.Config{}, nil, health.Hooks{})
	assert.ErrorContains(t, err, "no targets")
	_, err = health.New(health.Config{}, []health.Target{target(), {Name: "mute"}}, health.Hooks{})
	assert.ErrorContains(t, err, "target 1 (mute)")
}

func TestNewKeepsNoHoldOfTheTargets(t *testing.T) {
	targets := []health.Target{target()}
	c, err := health.New(health.Config{}, targets, health.Hooks{})
	require.NoError(t, err)
	defer c.Close()
	targets[0].Probe = nil
	c.Start()
	require.NoError(t, c.WaitReady(t.Context()))
}

func TestClassesHaveNames(t *testing.T) {
	names := map[string]bool{}
	for class := health.None; class <= health.Misconfigured; class++ {
		names[class.String()] = true
	}
	assert.Len(t, names, 9)
	assert.NotContains(t, names, "unknown")
	assert.Equal(t, "unknown", (health.Misconfigured + 1).String())
}

func TestNotReadyErrorTellsWhoAndWhy(t *testing.T) {
	err := error(&health.NotReadyError{
		Nodes:  []int{0, 2},
		Names:  []string{"cache-a", "cache-c"},
		Causes: []error{errRefused, nil},
		Err:    context.DeadlineExceeded,
	})
	assert.EqualError(t, err, "health: 2 nodes have not answered: context deadline exceeded; "+
		"cache-a: connection refused; cache-c: no answer yet")
	assert.ErrorIs(t, err, context.DeadlineExceeded)
	assert.ErrorIs(t, err, errRefused)
	assert.False(t, errors.Is(err, context.Canceled))
}
