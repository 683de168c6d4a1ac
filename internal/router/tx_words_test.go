package router_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

func TestConnectionStateSaysWhatAServerSays(t *testing.T) {
	r, _ := servers(t, 2, "")
	single := redistest.Start(t).Pool(redistest.PoolOptions{})
	defer single.Close()
	calls := [][]any{
		{"EXEC"},
		{"DISCARD"},
		{"MULTI"},
		{"MULTI"},
		{"WATCH", "a"},
		{"SET", "a", "x"},
		{"INCR", "a"},
		{"UNWATCH"},
		{"LPUSH", "a", "x"},
		{"EXEC"},
		{"MULTI"},
		{"SET", "a"},
		{"SET", "a", "y"},
		{"EXEC"},
		{"GET", "a"},
		{"UNWATCH"},
		{"WATCH", "a"},
		{"SET", "a", "z"},
		{"MULTI"},
		{"EXEC"},
		{"MULTI"},
		{"SET", "a", "v", "NONSENSE"},
		{"EXEC"},
		{"MULTI"},
		{"GET", "a"},
		{"DISCARD"},
		{"WATCH"},
		{"GET", "a"},

		{"MULTI"},
		{"UNWATCH"},
		{"UNWATCH"},
		{"EXEC"},
		{"MULTI"},
		{"UNWATCH"},
		{"MULTI"},
		{"UNWATCH"},
		{"INCR", "a:n"},
		{"UNWATCH"},
		{"EXEC"},
		{"MULTI"},
		{"UNWATCH"},
		{"DISCARD"},
		{"MULTI"},
		{"UNWATCH"},
		{"WATCH", "a"},
		{"INCR", "a:n"},
		{"DISCARD"},
		{"WATCH", "a"},
		{"MULTI"},
		{"MULTI"},
		{"WATCH", "a"},
		{"UNWATCH"},
		{"INCR", "a:n"},
		{"EXEC"},
		{"EXEC"},
		{"DISCARD"},
		{"MULTI"},
		{"UNWATCH"},
		{"GET"},
		{"UNWATCH"},
		{"EXEC"},
		{"MULTI"},
		{"UNWATCH", "a"},
		{"EXEC"},
		{"MULTI"},
		{"INCR", "a:n"},
		{"EXEC", "a"},
		{"EXEC"},
		{"MULTI", "a"},
		{"DISCARD", "a"},
		{"GET", "a:n"},
	}
	for _, how := range []string{"do", "pipeline"} {
		one, all := single.Get(), r.conn()
		must(t, one, "FLUSHALL")
		must(t, all, "FLUSHALL")
		var want, got []string
		for _, call := range calls {
			cmd, args := call[0].(string), call[1:]
			if how == "pipeline" {
				send(t, one, cmd, args...)
				send(t, all, cmd, args...)
				continue
			}
			want = append(want, said(one.Do(cmd, args...)))
			got = append(got, said(all.Do(cmd, args...)))
		}
		if how == "pipeline" {
			require.NoError(t, one.Flush())
			for range calls {
				want = append(want, said(one.Receive()))
				got = append(got, said(all.Receive()))
			}
		}
		for i := range calls {
			assert.Equal(t, want[i], got[i], "%s %d: %v", how, i, calls[i])
		}
		require.NoError(t, all.Close())
		require.NoError(t, one.Close())
	}
}

// said is a reply and an error as text. Of an error only its first word counts,
// and that there is one.
func said(reply any, err error) string {
	if err != nil {
		var code string
		_, _ = fmt.Sscan(err.Error(), &code)
		return "error " + code
	}
	return fmt.Sprintf("%q", reply)
}
