package redistest

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestThePortOfAServerThatIsDownIsNobodyElses(t *testing.T) {
	var addr string
	t.Run("until the test ends", func(t *testing.T) {
		s := Start(t)
		s.Kill()
		addr = s.Addr()
		_, err := claim(t, addr)
		require.Error(t, err)
		s.Restart()
	})
	l, err := claim(t, addr)
	require.NoError(t, err)
	assert.NoError(t, l.Close())
	_, err = claim(t, addr)
	assert.Error(t, err, "a fake that does not listen")
}
