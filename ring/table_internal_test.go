package ring

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestASlotsNodeIsTheSameInEitherTable(t *testing.T) {
	for _, n := range []int{1, 255, 256, 257, 1000} {
		nodes := make([]Node, n)
		for i := range nodes {
			nodes[i].Name = fmt.Sprint("n", i)
		}
		built, err := Balanced{}.Build(nodes)
		require.NoError(t, err)
		r := built.(*balanced)
		for slot, node := range r.bySlot() {
			require.Equal(t, int(node), r.table.at(uint64(slot)<<48), "slot %d of %d nodes", slot, n)
		}
		assert.Equal(t, n <= 256, r.table.few != nil)
	}
}
