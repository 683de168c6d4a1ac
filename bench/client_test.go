package main

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// withClients fills the servers of a rig and opens a client of every kind there is.
func withClients(t *testing.T, keys []string, f func(t *testing.T, c client)) {
	t.Helper()
	withClientsOver(t, false, kinds, keys, f)
}

func withClientsOver(t *testing.T, overTLS bool, kinds []kind, keys []string, f func(t *testing.T, c client)) {
	t.Helper()
	r, err := startRig(t.Context(), 2, overTLS)
	require.NoError(t, err)
	defer r.close()
	require.NoError(t, fill(t.Context(), r.nodes(), keys, 64))
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			c, err := k.open(target{r.addrs, r.proxy, r.cert, 4})
			require.NoError(t, err)
			if c == nil {
				t.Skip("there is no twemproxy")
			}
			defer c.Close()
			f(t, c)
		})
	}
}

func TestEveryClientGetsWhatIsThere(t *testing.T) {
	keys := randomKeys(2500)
	withClients(t, keys, func(t *testing.T, c client) {
		for _, key := range keys {
			value, err := c.Get(key)
			require.NoError(t, err)
			require.Len(t, value, 64)
		}
		_, err := c.Get("missing")
		require.Error(t, err)
	})
}

func TestEveryClientSpeaksTLS(t *testing.T) {
	overTLS, keys := conditionOf("tls"), randomKeys(many)
	withClientsOver(t, true, overTLS.among(slices.Clone(kinds)), keys, func(t *testing.T, c client) {
		values, err := c.MGet(keys)
		require.NoError(t, err)
		for _, value := range values {
			require.Len(t, value, 64)
		}
	})
}

func TestEveryClientReadsWhatItSet(t *testing.T) {
	keys := randomKeys(many)
	withClients(t, keys, func(t *testing.T, c client) {
		for i, key := range keys {
			require.NoError(t, c.Set(key, fmt.Append(nil, "of ", i)))
		}
		values, err := c.MGet(keys)
		require.NoError(t, err)
		assertOf(t, keys, values)
		p, ok := c.(pipeliner)
		if !ok {
			return
		}
		values, err = p.PipeGet(keys)
		require.NoError(t, err)
		assertOf(t, keys, values)
		require.NoError(t, p.PipeSet(keys, []byte("same")))
		values, err = p.PipeGet(keys)
		require.NoError(t, err)
		for _, value := range values {
			require.Equal(t, "same", string(value))
		}
	})
}

func assertOf(t *testing.T, keys []string, values [][]byte) {
	t.Helper()
	require.Len(t, values, len(keys))
	for i, value := range values {
		require.Equal(t, fmt.Sprint("of ", i), string(value), "values come in the order of the keys")
	}
}

func TestOnlyTheClusterItselfHasNoPipelines(t *testing.T) {
	keys := randomKeys(many)
	withClients(t, keys, func(t *testing.T, c client) {
		_, alone := c.(*doer)
		_, ok := c.(pipeliner)
		assert.Equal(t, !alone, ok)
		assert.Equal(t, ok, operationOf("pipeline-get").of(c) != nil)
		assert.Equal(t, ok, operationOf("pipeline-set").of(c) != nil)
	})
}

func TestAReplyOfTheWrongSizeIsNoticed(t *testing.T) {
	value := make([]byte, 64)
	short := &fakeClient{answer: func(int64) ([]byte, error) { return value[:5], nil }}
	for _, id := range []string{"get-64", "mget"} {
		op := operationOf(id)
		var wrong *wrongReply
		require.ErrorAs(t, op.of(short)(randomKeys(op.keys), value), &wrong, id)
	}
}

func TestKeysAreGroupedByNode(t *testing.T) {
	groups, err := split([]string{"b1", "a1", "b2", "c1"}, func(key string) (byte, error) { return key[0], nil })
	require.NoError(t, err)
	assert.Equal(t, []group[byte]{
		{'b', []string{"b1", "b2"}, []int{0, 2}}, {'a', []string{"a1"}, []int{1}}, {'c', []string{"c1"}, []int{3}},
	}, groups)

	values := make([][]byte, 4)
	require.NoError(t, place(values, groups[0], [][]byte{[]byte("x"), []byte("y")}))
	assert.Equal(t, [][]byte{[]byte("x"), nil, []byte("y"), nil}, values)
	require.Error(t, place(values, groups[0], nil))
}

func TestAllGroupsAreAskedAtOnce(t *testing.T) {
	groups, err := split(randomKeys(5), func(key string) (string, error) { return key, nil })
	require.NoError(t, err)
	// Each waits for all the others, so it ends only if they run at once.
	met := make(chan struct{}, len(groups))
	err = atOnce(groups, func(g group[string]) error {
		met <- struct{}{}
		for len(met) < cap(met) {
			runtime.Gosched()
		}
		if g.node == groups[3].node {
			return assert.AnError
		}
		return nil
	})
	require.ErrorIs(t, err, assert.AnError)
}
