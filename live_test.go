package fluster_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
)

// awaitChange waits until a channel of Live's is closed.
func awaitChange(t *testing.T, changed <-chan struct{}) {
	t.Helper()
	select {
	case <-changed:
	case <-time.After(patient):
		t.Fatal("nobody told of a change")
	}
}

func TestLiveTellsWhenOthersLive(t *testing.T) {
	f := startFleet(t, 2, unhurried, fluster.Config{Health: health.Config{Timeout: patient}})
	nodes, changed, err := f.Live()
	require.NoError(t, err)
	require.Len(t, nodes, 2)
	assert.Equal(t, "a", nodes[0].Name)
	assert.NotNil(t, nodes[0].Pool)
	nodes[0].Name = "the list is the caller's own"

	f.servers[0].Kill()
	awaitChange(t, changed)
	nodes, changed, err = f.Live()
	require.NoError(t, err)
	require.Len(t, nodes, 1)
	assert.Equal(t, "b", nodes[0].Name)

	f.servers[1].Kill()
	awaitChange(t, changed)
	nodes, changed, err = f.Live()
	assert.Empty(t, nodes)
	require.ErrorIs(t, err, fluster.ErrClusterEmpty)

	f.servers[1].Restart()
	awaitChange(t, changed)
	nodes, changed, err = f.Live()
	require.NoError(t, err)
	require.Len(t, nodes, 1)

	require.NoError(t, f.Close())
	awaitChange(t, changed)
	nodes, _, err = f.Live()
	assert.Empty(t, nodes)
	assert.ErrorIs(t, err, fluster.ErrClosed)
}
