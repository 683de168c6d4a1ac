package router_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/router"
)

var (
	unsent = error(&node.Error{Node: "A", Op: "dial", Err: io.EOF})
	lost   = node.Unanswered("A", "GET", io.EOF)
)

// oneKey is a cluster without servers: its calls fail as they are told to, and its
// keys are on the node that homes says for the time.
type oneKey struct {
	err   func(try int) error
	homes []int // by how many calls there were; the last one stays
	out   bool  // the first node is
	at    []time.Time
	nodes []int
}

func (o *oneKey) View() router.View    { return o }
func (o *oneKey) Len() int             { return 3 }
func (o *oneKey) Name(n int) string    { return string(rune('A' + n)) }
func (o *oneKey) Pool(int) *redis.Pool { return nil }

func (o *oneKey) Live() ([]int, error) {
	if o.out {
		return []int{1, 2}, nil
	}
	return []int{0, 1, 2}, nil
}

func (o *oneKey) Locate(string) (int, error) {
	if len(o.homes) == 0 {
		return 0, nil
	}
	return o.homes[min(len(o.at), len(o.homes)-1)], nil
}

func (o *oneKey) Do(_ context.Context, n int, _ string, _ []any) (any, bool, error) {
	o.at = append(o.at, time.Now())
	o.nodes = append(o.nodes, n)
	if err := o.err(len(o.at)); err != nil {
		return nil, true, err
	}
	return "fine", true, nil
}

func always(err error) func(int) error { return func(int) error { return err } }

func TestHowOftenACallIsRepeated(t *testing.T) {
	for name, tt := range map[string]struct {
		cluster, call router.Retry
		cmd           string
		err           error
		want          int // times that it was sent
	}{
		"a read is, twice":                 {cmd: "GET", err: lost, want: 3},
		"what was not sent is, twice":      {cmd: "INCR", err: unsent, want: 3},
		"what may have run is not":         {cmd: "INCR", err: lost, want: 1},
		"as the cluster says":              {cluster: router.Retry{Max: 5}, cmd: "GET", err: lost, want: 6},
		"as the call says":                 {cluster: router.Retry{Max: 5}, call: router.Retry{Max: 7}, cmd: "GET", err: lost, want: 8},
		"the call may say less":            {cluster: router.Retry{Max: 5}, call: router.Retry{Max: 1}, cmd: "GET", err: lost, want: 2},
		"never":                            {cluster: router.Retry{Max: -1}, cmd: "GET", err: unsent, want: 1},
		"never, says the call":             {call: router.Retry{Max: -1}, cmd: "GET", err: unsent, want: 1},
		"though the cluster says never":    {cluster: router.Retry{Max: -1}, call: router.Retry{Max: 3}, cmd: "GET", err: lost, want: 4},
		"no number lets a write run twice": {cluster: router.Retry{Max: 100}, call: router.Retry{Max: 100}, cmd: "INCR", err: lost, want: 1},
		"a read not, if only what is safe": {cluster: router.Retry{SafeOnly: true}, cmd: "GET", err: lost, want: 1},
		"as safe as the call says":         {call: router.Retry{SafeOnly: true, Max: 9}, cmd: "GET", err: lost, want: 1},
		"what is safe is, then":            {cluster: router.Retry{SafeOnly: true}, cmd: "GET", err: unsent, want: 3},
		"a refusal at its home is not":     {cluster: router.Retry{Max: 9}, cmd: "GET", err: redis.Error("LOADING it"), want: 1},
		"an answer is not":                 {cluster: router.Retry{Max: 9}, cmd: "GET", err: redis.Error("WRONGTYPE it"), want: 1},
		"a full pool is not":               {cluster: router.Retry{Max: 9}, cmd: "GET", err: redis.ErrPoolExhausted, want: 1},
		"a closed cluster is not":          {cluster: router.Retry{Max: 9}, cmd: "GET", err: node.ErrClosed, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := &oneKey{err: always(tt.err)}
				r := router.New(o, router.Config{Retry: tt.cluster})
				ctx := router.WithRetry(t.Context(), tt.call)
				_, err := r.Do(ctx, tt.cmd, []any{"k"})
				require.ErrorIs(t, err, tt.err)
				assert.Len(t, o.at, tt.want)
				repeats, refused := r.Retries(0)
				assert.Equal(t, tt.want-1, int(repeats))
				assert.Zero(t, refused)
			})
		})
	}
}

func TestAContextWithinAnotherChangesOnlyWhatItSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oneKey{err: always(lost)}
		r := router.New(o, router.Config{})
		ctx := router.WithRetry(t.Context(), router.Retry{Max: 4, MinWait: time.Hour, MaxWait: time.Hour})
		ctx = router.WithRetry(ctx, router.Retry{MinWait: time.Minute})
		begun := time.Now()
		_, err := r.NewConn().DoContext(ctx, "GET", "k")
		require.Error(t, err)
		assert.Len(t, o.at, 5)
		assert.Less(t, time.Since(begun), time.Hour)
		assert.Greater(t, time.Since(begun), time.Minute)
	})
}

func TestRepeatsAtOneNodePauseLongerAndLonger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lows, highs := time.Duration(1<<62), time.Duration(0)
		for range 50 {
			o := &oneKey{err: always(lost)}
			r := router.New(o, router.Config{Retry: router.Retry{Max: 7, MinWait: 100 * time.Millisecond, MaxWait: 500 * time.Millisecond}})
			_, err := r.Do(t.Context(), "GET", []any{"k"})
			require.Error(t, err)
			require.Len(t, o.at, 8)
			assert.Equal(t, o.at[0], o.at[1], "the first comes at once")
			for i, most := range []int{100, 200, 400, 500, 500, 500} {
				pause := o.at[i+2].Sub(o.at[i+1]).Seconds() * 1000
				assert.LessOrEqual(t, pause, float64(most))
				assert.GreaterOrEqual(t, pause, float64(most)/2)
			}
			first := o.at[2].Sub(o.at[1])
			lows, highs = min(lows, first), max(highs, first)
		}
		assert.Greater(t, highs-lows, 5*time.Millisecond, "chance spreads them")
	})
}

func TestRepeatsAtOtherNodesComeAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := &oneKey{err: always(unsent), homes: []int{0, 1, 2, 2}}
		r := router.New(o, router.Config{Retry: router.Retry{Max: 3, MinWait: time.Second, MaxWait: time.Second}})
		begun := time.Now()
		_, err := r.Do(t.Context(), "INCR", []any{"k"})
		require.Error(t, err)
		assert.Equal(t, []int{0, 1, 2, 2}, o.nodes)
		assert.Equal(t, begun, o.at[2])
		assert.NotEqual(t, begun, o.at[3], "the last goes to the same again")
		for n := range 3 {
			repeats, _ := r.Retries(n)
			assert.Equal(t, uint64(1), repeats, "node %d failed a call that was repeated", n)
		}
	})
}

func TestACallWhoseNodeIsOutIsRepeatedOnlyWhereTheKeyHasGone(t *testing.T) {
	for _, err := range []error{unsent, lost} {
		o := &oneKey{err: always(err), out: true}
		r := router.New(o, router.Config{Retry: router.Retry{Max: 5, MinWait: time.Hour}})
		_, got := r.Do(t.Context(), "GET", []any{"k"})
		require.ErrorIs(t, got, err)
		assert.Equal(t, []int{0}, o.nodes)
		repeats, refused := r.Retries(0)
		assert.Zero(t, repeats+refused, "and spends nothing")

		o = &oneKey{err: always(err), out: true, homes: []int{0, 1}}
		_, got = router.New(o, router.Config{Retry: router.Retry{Max: 1}}).Do(t.Context(), "GET", []any{"k"})
		require.ErrorIs(t, got, err)
		assert.Equal(t, []int{0, 1}, o.nodes)
	}
}

func TestARefusalIsRepeatedWhereTheKeyHasGone(t *testing.T) {
	o := &oneKey{homes: []int{0, 1}, err: func(try int) error {
		if try == 1 {
			return redis.Error("LOADING it")
		}
		return nil
	}}
	reply, err := router.New(o, router.Config{}).Do(t.Context(), "INCR", []any{"k"})
	require.NoError(t, err)
	assert.Equal(t, "fine", reply)
	assert.Equal(t, []int{0, 1}, o.nodes)
}

func TestAPauseEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			err   error
			maybe bool
		}{{lost, true}, {unsent, false}} {
			o := &oneKey{err: always(tt.err)}
			r := router.New(o, router.Config{Retry: router.Retry{MinWait: time.Minute, MaxWait: time.Hour}})
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			begun := time.Now()
			_, err := r.Do(ctx, "GET", []any{"k"})
			cancel()
			assert.Equal(t, time.Second, time.Since(begun))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.ErrorIs(t, err, tt.err, "and what it failed with is told")
			assert.Equal(t, tt.maybe, node.MaybeExecuted(err))
			assert.Equal(t, !tt.maybe, node.SafeToRetry(err))
			assert.Len(t, o.at, 2)
		}
	})
}

func TestATryThatMayHaveRunIsNotForgotten(t *testing.T) {
	o := &oneKey{err: func(try int) error {
		if try == 1 {
			return lost
		}
		return unsent
	}}
	_, err := router.New(o, router.Config{}).Do(router.WithRetry(t.Context(), router.Retry{MinWait: 1}), "GET", []any{"k"})
	assert.True(t, node.MaybeExecuted(err), "%v", err)
	assert.Len(t, o.at, 3)
}

func TestRepeatsThatTheBudgetRefusesAreCounted(t *testing.T) {
	o := &oneKey{err: always(lost)}
	r := router.New(o, router.Config{Retry: router.Retry{Max: 1}})
	const calls = 5000
	for range calls {
		_, err := r.Do(t.Context(), "GET", []any{"k"})
		require.True(t, errors.Is(err, io.EOF))
	}
	repeats, refused := r.Retries(0)
	assert.Equal(t, uint64(calls), repeats+refused)
	assert.Equal(t, len(o.at), calls+int(repeats))
	assert.LessOrEqual(t, repeats, uint64(500+calls/10), "a tenth, and some for a start")
	assert.GreaterOrEqual(t, repeats, uint64(500))
}
