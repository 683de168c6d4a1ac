package main

import (
	"context"
	"io"
	"os/exec"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func needRedis(t *testing.T) {
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("there is no redis-server")
	}
}

func TestEveryClientGetsTheFaultAndIsCounted(t *testing.T) {
	needRedis(t)
	r := run{only: "CLIENT KILL of all clients", rounds: 1, progress: io.Discard}
	require.NoError(t, r.all(t.Context()))
	require.Len(t, r.Faults, 2*len(kinds))
	for _, res := range r.Faults {
		require.Len(t, res.Rounds, 1)
		o := res.Rounds[0]
		assert.Greater(t, o.Calls, callers, "%s, %s", res.Client, res.Setting)
		assert.Positive(t, o.Longest)
		assert.Positive(t, o.Before)
		assert.Positive(t, o.Home)
	}
}

func TestARowThatNobodyKnowsIsRefused(t *testing.T) {
	r := run{only: "a cup of tea", rounds: 1, progress: io.Discard}
	assert.ErrorContains(t, r.all(t.Context()), "a cup of tea")
}

func TestAMuteServerRunsAnINCRAndHangsUp(t *testing.T) {
	m, err := startMute(t.Context())
	require.NoError(t, err)
	defer m.Close()
	conn, err := redis.Dial("tcp", m.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	pong, err := redis.String(conn.Do("PING"))
	require.NoError(t, err)
	assert.Equal(t, "PONG", pong)
	_, err = conn.Do("INCR", "n")
	require.ErrorIs(t, err, io.EOF)
	assert.EqualValues(t, 1, m.ran.Load())
}

// clientFunc is a client that does what a function does.
type clientFunc func() error

func (f clientFunc) Do(context.Context, string, ...any) (any, error) { return nil, f() }
func (f clientFunc) Close() error                                    { return nil }

func TestCallersWhoRestDoNotCall(t *testing.T) {
	l := startLoad(clientFunc(func() error { return io.EOF }))
	resume := l.rest()
	l.begin()
	time.Sleep(3 * pace)
	l.mu.Lock()
	assert.Zero(t, l.record.calls)
	l.mu.Unlock()
	resume()
	time.Sleep(3 * pace)
	r := l.finish()
	assert.GreaterOrEqual(t, r.calls, callers, "all who waited")
	assert.Equal(t, r.calls, r.lost)
	assert.False(t, r.trouble.IsZero())
}

func TestACallThatIsLateIsTroubleThoughItSucceeds(t *testing.T) {
	var l load
	at := time.Now()
	l.note(at, late-1, nil)
	assert.Zero(t, l.record.trouble)
	l.note(at, late, nil)
	assert.Equal(t, record{calls: 2, missed: 2*int((late-1)/pace) + 2, longest: late, trouble: at}, l.record)
}
