package compat_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/redisfluster/fluster/ring"
	"github.com/redisfluster/fluster/ring/compat"
)

func TestAnyPlacementCanBeWithoutFailOver(t *testing.T) {
	keys := someKeys(300)
	for _, p := range []ring.Placement{compat.RedisRb{}, compat.Predis{}, ring.Balanced{}} {
		plain, fixed := build(t, p, nodesOf(4)), build(t, compat.Fixed{Placement: p}, nodesOf(4))
		want := places(plain.View(nil), keys)
		assert.Equal(t, want, places(fixed.View(nil), keys))
		assert.Equal(t, want, places(fixed.View(without(4, 0, 2)), keys))
		assert.Equal(t, -1, fixed.View(make([]bool, 4)).Locate("x"))
		assert.NotEqual(t, plain.Fingerprint(), fixed.Fingerprint())
		assert.Panics(t, func() { fixed.View(make([]bool, 3)) })
	}
	_, err := compat.Fixed{}.Build(nodesOf(1))
	assert.EqualError(t, err, "compat: Fixed.Placement: nil")
	_, err = compat.Fixed{Placement: compat.RedisRb{}}.Build(nil)
	assert.EqualError(t, err, "compat: nodes: empty")
}
