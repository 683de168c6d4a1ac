package command_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
)

func TestEveryCommandIsFoundByItsName(t *testing.T) {
	for _, i := range command.All() {
		found, err := command.ByName(strings.ToLower(i.Name))
		if command.IsContainer(i) && i.Name != "COMMAND" {
			assert.Error(t, err, i.Name)
			continue
		}
		require.NoError(t, err, i.Name)
		assert.Same(t, i, found)
	}
}

func TestWhatHasNoKeysAndLeavesNoStateCanBeMerged(t *testing.T) {
	merge := func(replies []command.Reply) (any, error) { return len(replies), nil }
	can := 0
	for _, i := range command.All() {
		own, err := i.MergedBy(merge)
		if err != nil {
			assert.NotEqual(t, command.FanOut, i.Route, "%s goes to many nodes already: %v", i.Name, err)
			continue
		}
		can++
		assert.Equal(t, command.FanOut, own.Route)
		assert.True(t, own.Keyless() && !own.Stateful && !own.Blocking, i.Name)
		assert.False(t, own.Repeatable && own.Access == command.Write, i.Name)
		reply, err := own.OneOf(make([]command.Reply, 3))
		require.NoError(t, err)
		assert.Equal(t, 3, reply)
		assert.NotSame(t, i, own, "the table is not touched")
	}
	assert.Greater(t, can, 50)
}
