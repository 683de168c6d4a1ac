package fanin_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fanin"
	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
)

// FuzzToken resumes scans from any text: it is refused, or its own token again.
func FuzzToken(f *testing.F) {
	for _, seed := range []string{
		"", "scan1.", "scan1.e30", "scan2.e30",
		"scan1.eyJjbWQiOiJTQ0FOIiwibm9kZXMiOlt7Im4iOiJZUT09IiwiYyI6N31dfQ",
	} {
		f.Add(seed)
	}
	node, err := fluster.ParseNode("redis://127.0.0.1:1?name=a")
	require.NoError(f, err)
	cluster, err := fluster.New(fluster.Config{Nodes: []fluster.Node{node}, Health: health.Config{Interval: 1 << 50}})
	require.NoError(f, err)
	f.Cleanup(func() { _ = cluster.Close() })
	over, cancel := context.WithCancel(context.Background())
	cancel()
	f.Fuzz(func(t *testing.T, token string) {
		_, again, err := collect(fanin.Scan(over, cluster, fanin.ScanOptions{Resume: token}))
		if errors.Is(err, fanin.ErrToken) {
			return
		}
		require.ErrorIs(t, err, context.Canceled)
		_, same, err := collect(fanin.Scan(over, cluster, fanin.ScanOptions{Resume: again}))
		require.ErrorIs(t, err, context.Canceled)
		require.Equal(t, again, same)
	})
}
