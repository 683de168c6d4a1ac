package node

import (
	"runtime"
	"testing"
	"time"
	"weak"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"
)

func TestTheClaimOfACollectedPoolIsForgotten(t *testing.T) {
	w := func() weak.Pointer[redis.Pool] {
		p := &redis.Pool{}
		require.True(t, Claim(p))
		return weak.Make(p)
	}()
	require.Eventually(t, func() bool {
		runtime.GC()
		_, there := claimed.Load(w)
		return !there
	}, 30*time.Second, time.Millisecond)
}
