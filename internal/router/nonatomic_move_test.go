package router_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// lists is the memory of fake servers that know what LMOVE over nodes takes.
type lists struct {
	mu sync.Mutex
	of map[string][]string
}

func newLists() *lists { return &lists{of: make(map[string][]string)} }

func (l *lists) answer(cmd []string) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	list := l.of[cmd[min(1, len(cmd)-1)]]
	switch cmd[0] {
	case "LLEN":
		return redistest.Int(len(list))
	case "LPUSH":
		l.of[cmd[1]] = slices.Insert(list, 0, cmd[2])
	case "RPUSH":
		l.of[cmd[1]] = append(list, cmd[2])
	case "UNLINK":
		delete(l.of, cmd[1])
	case "LMOVE":
		return l.move(cmd[1], cmd[2], cmd[3], cmd[4])
	default:
		return nil
	}
	return redistest.Int(1)
}

func (l *lists) move(source, dest, from, to string) []byte {
	list := l.of[source]
	if len(list) == 0 {
		return redistest.Nil
	}
	at := 0
	if from == "RIGHT" {
		at = len(list) - 1
	}
	item := list[at]
	l.of[source] = slices.Delete(list, at, at+1)
	place := 0
	if to == "RIGHT" {
		place = len(l.of[dest])
	}
	l.of[dest] = slices.Insert(l.of[dest], place, item)
	return redistest.Bulk(item)
}

// where returns how often the item is in the two lists, and in any other, which is
// named.
func (l *lists) where(item string) (source, dest int, held string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for key, list := range l.of {
		for range slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s != item }) {
			switch key {
			case "a:list":
				source++
			case "b:list":
				dest++
			default:
				held = key
			}
		}
	}
	return source, dest, held
}

// moveWithCut moves an item between two nodes, one of which cut breaks, and checks
// that what the caller hears is true, and that the item is not lost.
func moveWithCut(t *testing.T, users bool, at string, cut func(f []*redistest.Fake)) (failed bool) {
	t.Helper()
	memory := newLists()
	memory.of["a:list"] = []string{"1", "2", "3"}
	f := []*redistest.Fake{redistest.NewFake(t), redistest.NewFake(t)}
	var pools []*redis.Pool
	for _, one := range f {
		one.Handle(memory.answer)
		pool := one.Pool(redistest.PoolOptions{})
		if !users {
			pool = poolOf(t, one.Addr(), "")
		}
		pools = append(pools, pool)
	}
	r := letteredRouter(t, pools...)
	for _, pool := range pools {
		conn := pool.Get()
		_, err := conn.Do("PING")
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	cut(f)
	item, err := r.Do(t.Context(), "LMOVE", []any{"a:list", "b:list", "RIGHT", "LEFT"})
	for _, pool := range pools {
		require.Equal(t, pool.ActiveCount(), pool.IdleCount(), at)
		require.NoError(t, pool.Close())
	}
	for _, one := range f {
		redistest.WaitFor(t, patient, func() bool { return one.Conns() == 0 }, "all is executed that ever will be")
		one.Close()
	}
	source, dest, held := memory.where("3")
	told := fmt.Sprintf("%s: %q, %v; then %d in the first list, %d in the second, held in %q", at, item, err, source, dest, held)
	switch {
	case err == nil:
		require.Equal(t, []byte("3"), item, told)
		require.Equal(t, []any{0, 1, ""}, []any{source, dest, held}, told)
	case node.SafeToRetry(err):
		require.Equal(t, []any{1, 0, ""}, []any{source, dest, held}, told)
	default:
		require.True(t, node.MaybeExecuted(err), told)
		require.True(t, source+dest > 0 || held != "", told)
		require.LessOrEqual(t, max(source, dest), 1, told)
		require.Contains(t, err.Error(), held, told)
		if source == 1 && dest == 1 {
			require.Contains(t, err.Error(), "may be in", told)
		}
	}
	return err != nil
}

func TestRow23AnItemIsNeverLostBetweenTwoNodesWhereverTheirConnectionsAreCut(t *testing.T) {
	row := redistest.Faults(t, 23, "a connection is cut at each byte: a move between two nodes", "a fake server that counts")
	for _, users := range []bool{false, true} {
		t.Run(fmt.Sprint("a user's pools ", users), func(t *testing.T) {
			failures := 0
			try := func(at string, cut func(f []*redistest.Fake)) {
				row.Calls++
				if moveWithCut(t, users, at, cut) {
					failures++
					row.Lost++
				}
			}
			for n, longest := range []int{240, 80} {
				for b := 1; b <= longest; b++ {
					try(fmt.Sprintf("requests to %d cut after %d bytes", n, b), func(f []*redistest.Fake) { f[n].CutRequests(b) })
				}
			}
			for _, cmd := range []string{"LLEN", "LMOVE", "LPUSH", "UNLINK"} {
				for b := range 8 {
					try(fmt.Sprintf("reply to %s cut after %d bytes", cmd, b), func(f []*redistest.Fake) {
						f[0].CutReply(cmd, b)
						f[1].CutReply(cmd, b)
					})
				}
			}
			require.Greater(t, failures, 100)
		})
	}
}

func TestTheFirstListsNodeMayBreakForGoodInTheMiddle(t *testing.T) {
	for _, cmd := range []string{"LMOVE", "LPUSH", "UNLINK"} {
		for _, users := range []bool{false, true} {
			moveWithCut(t, users, "lost after "+cmd, func(f []*redistest.Fake) {
				for _, one := range f {
					one.CutReply(cmd, 0)
					one.CutRequests(1 << 20) // to have an end at all
				}
				f[0].Refuse()
			})
		}
	}
}
