package main

import (
	"errors"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestACallerWhoNeverPausesIsCounted(t *testing.T) {
	broken := errors.New("broken")
	for want, err := range map[bool]error{false: redis.ErrNil, true: broken} {
		s := startStampede(clientFunc(func() error { time.Sleep(time.Millisecond); return err }), "GET")
		time.Sleep(window + 3*slice)
		fault := time.Since(s.begun)
		time.Sleep(window + 3*slice)
		s.over.Store(true)
		s.wg.Wait()
		r := s.result(fault)
		assert.Positive(t, r.Before)
		assert.Positive(t, r.Blink)
		assert.Positive(t, r.After)
		assert.GreaterOrEqual(t, r.Longest, time.Millisecond)
		require.Equal(t, want, r.Failed > 0, "no value is no failure")
		assert.Equal(t, want, r.Last > 0)
		assert.GreaterOrEqual(t, r.Failed, r.Most)
	}
}

func TestARushIsSummedOverItsCallers(t *testing.T) {
	s := &stampede{}
	const fault = 2 * time.Second
	s.each[0].ends[150], s.each[1].ends[150] = 3, 4
	s.each[0].ends[205] = 5
	s.each[2].ends[250] = 6
	s.each[1].failed = []time.Duration{fault + time.Millisecond, fault + 3*time.Millisecond}
	s.each[2].failed = []time.Duration{fault + 2*time.Millisecond}
	s.each[2].long = time.Second
	assert.Equal(t, rushed{
		Failed: 3, Most: 2, Last: 3 * time.Millisecond, Longest: time.Second, Before: 7, Blink: 50, After: 11,
	}, s.result(fault))
}
