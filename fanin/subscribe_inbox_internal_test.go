package fanin

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Two messages may have come before anybody looked, with one signal.
func TestWhoTakesAMessageWakesTheNextReceiver(t *testing.T) {
	b := newInbox(10)
	b.put(Message{Channel: "one"}, time.Time{})
	b.put(Message{Channel: "two"}, time.Time{})
	for _, want := range []string{"one", "two"} {
		require.Len(t, b.ready, 1, "a signal while there is more")
		<-b.ready
		n, ok := b.take()
		require.True(t, ok)
		assert.Equal(t, Message{Channel: want}, n)
	}
	assert.Empty(t, b.ready)
}
