package fluster_test

import (
	"context"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// torn is a cluster over one server that answers everything but GET and INCR: those
// it executes, and cuts the answer.
func torn(t *testing.T, retry fluster.Retry) (*fluster.FlusterCluster, *redistest.Fake) {
	redistest.NoLeaks(t)
	fake := redistest.NewFake(t)
	c := newCluster(t, fluster.Config{
		Nodes: []fluster.Node{{Name: "a", Pool: fake.Pool(redistest.PoolOptions{})}},
		Retry: retry,
	})
	_, err := c.Do(t.Context(), "EXISTS", "k")
	require.NoError(t, err)
	fake.Handle(func(cmd []string) []byte {
		if cmd[0] == "GET" || cmd[0] == "INCR" {
			fake.Drop()
		}
		return nil
	})
	return c, fake
}

func TestRetryIsTheClustersUnlessTheCallSaysOtherwise(t *testing.T) {
	for name, tt := range map[string]struct {
		retry fluster.Retry
		ctx   func(ctx context.Context) context.Context
		want  int
	}{
		"by default":   {want: 3},
		"more":         {retry: fluster.Retry{Max: 4, MinWait: 1}, want: 5},
		"never":        {retry: fluster.Retry{Max: -1}, want: 1},
		"not of reads": {retry: fluster.Retry{SafeOnly: true}, want: 1},
		"by the call": {retry: fluster.Retry{Max: -1, MinWait: 1}, want: 4, ctx: func(ctx context.Context) context.Context {
			return fluster.WithRetry(ctx, fluster.Retry{Max: 3})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c, fake := torn(t, tt.retry)
			ctx := t.Context()
			if tt.ctx != nil {
				ctx = tt.ctx(ctx)
			}
			_, err := c.Do(ctx, "GET", "k")
			require.True(t, fluster.MaybeExecuted(err), "%v", err)
			assert.Equal(t, tt.want, fake.Received("GET"))

			conn := c.Get()
			defer conn.Close()
			_, err = redis.DoContext(conn, ctx, "GET", "k")
			require.Error(t, err)
			assert.Equal(t, 2*tt.want, fake.Received("GET"), "a routed connection does the same")

			_, err = c.Do(ctx, "INCR", "k")
			require.True(t, fluster.MaybeExecuted(err), "%v", err)
			assert.Equal(t, 1, fake.Received("INCR"))
			assert.Equal(t, uint64(2*(tt.want-1)), status(t, c, "a").Retries)
			assert.Zero(t, status(t, c, "a").RetriesRefused)
		})
	}
}

func TestRetriesThatAreTooManyAreRefusedAndCounted(t *testing.T) {
	c, fake := torn(t, fluster.Retry{MinWait: 1})
	const calls = 400
	for range calls {
		_, err := c.Do(t.Context(), "GET", "k")
		require.Error(t, err)
	}
	st := status(t, c, "a")
	assert.NotZero(t, st.RetriesRefused)
	// A try whose dial met the drop of another's connection was not received.
	assert.LessOrEqual(t, fake.Received("GET"), calls+int(st.Retries))
	assert.LessOrEqual(t, st.Retries, uint64(500+calls/10+1))
}
