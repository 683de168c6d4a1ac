package router_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

func TestWhatHasManyPartsIsJudgedByAllOfThem(t *testing.T) {
	unsent := redis.Error("LOADING a moment")
	lost := node.Unanswered("b", "DEL", errors.New("gone"))
	of := func(total int, errs ...error) error {
		all := &command.NodesError{Total: total}
		for _, err := range errs {
			all.Failed = append(all.Failed, command.Reply{Err: err})
		}
		return fmt.Errorf("wrapped: %w", all)
	}
	for _, c := range []struct {
		err         error
		safe, maybe bool
	}{
		{nil, false, false},
		{unsent, true, false},
		{lost, false, true},
		{redis.Error("WRONGTYPE"), false, false},
		{router.ErrNoNode, true, false},
		{of(2, unsent, unsent), true, false},
		{of(3, unsent, router.ErrNoNode, router.ErrRefused), true, false},
		{of(2, unsent), false, true}, // the other one ran
		{of(2, unsent, lost), false, true},
		{of(2, lost, unsent), false, true},
		{of(2, unsent, redis.Error("WRONGTYPE")), false, false},
		{node.Begun(of(2, unsent, unsent)), false, true},
	} {
		assert.Equal(t, c.safe, router.SafeToRetry(c.err), "%v", c.err)
		assert.Equal(t, c.maybe, router.MaybeExecuted(c.err), "%v", c.err)
	}
}

// The first error of a pipeline does not say that all may be sent again when a part of a
// later command ran.
func TestAnErrorBeforeACommandOfWhichAPartRanIsNotSafe(t *testing.T) {
	r, f := fakes(t, 2, "")
	f[0].Crash()
	f[1].Handle(func(cmd []string) []byte {
		if cmd[0] == "DEL" {
			return redistest.Int(1)
		}
		return nil
	})
	for _, last := range []string{"", "DEL"} {
		c := r.conn()
		send(t, c, "INCR", "a")
		var args []any
		if last == "" {
			send(t, c, "DEL", "a", "b")
		} else {
			args = []any{"a", "b"}
		}
		_, err := c.Do(last, args...)
		requirePlaced(t, err, 0, `INCR "a"`)
		assert.False(t, router.SafeToRetry(err), "Do(%q): %v", last, err)
		assert.True(t, router.MaybeExecuted(err), "Do(%q): %v", last, err)
		require.NoError(t, c.Close())
	}
}
