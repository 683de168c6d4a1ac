package router_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

// module answers for a server with a module, once it is loaded: TREE.GET, whose key
// comes first, and TREE.JOIN and TREE.DRAW, whose keys come after the word KEYS.
type module struct {
	name   string
	loaded atomic.Bool
}

func (m *module) answer(cmd []string) []byte {
	question := strings.ToUpper(strings.Join(cmd[:min(len(cmd), 2)], " "))
	switch {
	case question == "COMMAND INFO" && m.loaded.Load() && m.knows(cmd[2]):
		return redistest.Array(m.describe(cmd[2]))
	case question == "COMMAND INFO":
		return redistest.Array(redistest.Nil)
	case question == "COMMAND GETKEYS" && m.loaded.Load():
		return m.keys(cmd[3:])
	case question == "COMMAND GETKEYS":
		return redistest.Error("ERR Invalid command specified")
	case strings.HasPrefix(strings.ToUpper(cmd[0]), "TREE.") && m.loaded.Load():
		return redistest.Bulk(m.name)
	}
	return nil
}

func (m *module) knows(cmd string) bool {
	return cmd == "TREE.GET" || cmd == "TREE.JOIN" || cmd == "TREE.DRAW"
}

func (m *module) describe(cmd string) []byte {
	flags, arity := [][]byte{redistest.Simple("readonly")}, -2
	if cmd != "TREE.GET" {
		flags = append(flags, redistest.Simple("movablekeys"))
	}
	if cmd == "TREE.DRAW" {
		arity = -1
	}
	return redistest.Array(redistest.Bulk(strings.ToLower(cmd)), redistest.Int(arity), redistest.Array(flags...),
		redistest.Int(1), redistest.Int(1), redistest.Int(1), redistest.Array())
}

func (m *module) keys(args []string) []byte {
	keys := [][]byte{}
	for i, arg := range args {
		if strings.EqualFold(arg, "KEYS") {
			for _, key := range args[i+1:] {
				keys = append(keys, redistest.Bulk(key))
			}
			return redistest.Array(keys...)
		}
	}
	return redistest.Error("ERR The command has no key arguments")
}

// modules are fakes that answer for a module.
func modules(f []*redistest.Fake) []*module {
	var all []*module
	for n, one := range f {
		m := &module{name: string(rune('A' + n))}
		one.Handle(m.answer)
		all = append(all, m)
	}
	return all
}

func asked(f []*redistest.Fake) (n int) {
	for _, one := range f {
		n += one.Received("COMMAND")
	}
	return n
}

func TestAModuleOfSomeNodesIsKnown(t *testing.T) {
	r, f := fakes(t, 3, "")
	modules(f)[2].loaded.Store(true)
	reply, err := r.Do(t.Context(), "TREE.GET", []any{"c"})
	require.NoError(t, err)
	assert.Equal(t, []byte("C"), reply)
	assert.Equal(t, 3, asked(f))
	_, err = r.Do(t.Context(), "tree.get", []any{"a"})
	require.ErrorContains(t, err, "ERR unknown command", "the server says so")
	assert.Equal(t, 3, asked(f))
}

func TestANodeThatCannotBeAskedKeepsNobodyFromLearningFromOthers(t *testing.T) {
	r, f := fakes(t, 2, "")
	m := modules(f)
	m[1].loaded.Store(true)
	f[0].Crash()
	reply, err := r.Do(t.Context(), "TREE.GET", []any{"b"})
	require.NoError(t, err)
	assert.Equal(t, []byte("B"), reply)

	m[1].loaded.Store(false)
	_, err = r.Do(t.Context(), "TREE.JOIN", []any{"KEYS", "b"})
	var broken *node.Error
	require.ErrorAs(t, err, &broken, "who knows what the other would have said")
	assert.True(t, node.SafeToRetry(err))
	m[1].loaded.Store(true)
	_, err = r.Do(t.Context(), "TREE.JOIN", []any{"KEYS", "b"})
	require.NoError(t, err, "and it is asked again")
}

func TestAModuleThatIsLoadedLaterIsKnownWithinAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := redistest.NewPipeFake(t)
		m := modules([]*redistest.Fake{f})[0]
		r := routeOver(t, f.Pool(redistest.PoolOptions{}))
		defer r.end()
		unknown := func() {
			_, err := r.Do(t.Context(), "TREE.GET", []any{"a"})
			require.ErrorIs(t, err, router.ErrRefused)
		}
		unknown()
		m.loaded.Store(true)
		time.Sleep(59 * time.Second)
		unknown()
		assert.Equal(t, 1, f.Received("COMMAND"))
		time.Sleep(time.Second)
		for range 2 {
			_, err := r.Do(t.Context(), "TREE.GET", []any{"a"})
			require.NoError(t, err)
			time.Sleep(time.Hour)
		}
		assert.Equal(t, 2, f.Received("COMMAND"), "what is known is known for good")
	})
}

func TestKeysThatOnlyAServerFindsAreAskedFor(t *testing.T) {
	r, f := fakes(t, 2, "")
	for _, m := range modules(f) {
		m.loaded.Store(true)
	}
	c := r.conn()
	defer c.Close()
	for _, key := range []string{"b", "a"} {
		name := []byte(strings.ToUpper(key))
		reply, err := r.Do(t.Context(), "tree.join", []any{"a", "b", 7, "KEYS", []byte(key), key + "2"})
		require.NoError(t, err)
		assert.Equal(t, name, reply)
		assert.Equal(t, name, must(t, c, "TREE.JOIN", "keys", key))
		send(t, c, "TREE.JOIN", "keys", key, key, key)
		assert.Equal(t, []any{name}, must(t, c, ""))
	}
	joined := f[0].Executed("TREE.JOIN") + f[1].Executed("TREE.JOIN")
	_, err := r.Do(t.Context(), "TREE.JOIN", []any{"KEYS", "a", "b"})
	require.ErrorIs(t, err, router.ErrCrossNode)
	_, err = r.Do(t.Context(), "TREE.JOIN", []any{"a"})
	require.ErrorIs(t, err, router.ErrRefused)
	require.ErrorContains(t, err, "no key")
	_, err = r.Do(t.Context(), "TREE.DRAW", nil)
	require.ErrorIs(t, err, router.ErrRefused)
	was := asked(f)
	_, err = r.Do(t.Context(), "TREE.DRAW", nil)
	require.ErrorIs(t, err, router.ErrRefused)
	_, err = r.Do(t.Context(), "TREE.JOIN", nil)
	require.EqualError(t, err, "ERR wrong number of arguments for 'tree.join' command")
	assert.Equal(t, was, asked(f), "that needs no server")
	assert.Equal(t, joined, f[0].Executed("TREE.JOIN")+f[1].Executed("TREE.JOIN"))
}

func TestOnlyNodesThatKnowAModuleFindItsKeys(t *testing.T) {
	r, f := fakes(t, 3, "")
	m := modules(f)
	m[1].loaded.Store(true)
	for range 20 {
		reply, err := r.Do(t.Context(), "TREE.JOIN", []any{"KEYS", "b"})
		require.NoError(t, err)
		assert.Equal(t, []byte("B"), reply)
	}
	m[1].loaded.Store(false)
	_, err := r.Do(t.Context(), "TREE.JOIN", []any{"KEYS", "b"})
	require.ErrorIs(t, err, router.ErrRefused)
	m[2].loaded.Store(true)
	_, err = r.Do(t.Context(), "TREE.JOIN", []any{"KEYS", "c"})
	require.NoError(t, err, "it was forgotten, and asked about again")
}

func TestAServersKeysThatAreNotInTheCallAreNotBelieved(t *testing.T) {
	r, f := fakes(t, 1, "")
	m := modules(f)[0]
	m.loaded.Store(true)
	f[0].Handle(func(cmd []string) []byte {
		if len(cmd) > 1 && cmd[1] == "GETKEYS" {
			return redistest.Array(redistest.Bulk("z"))
		}
		return m.answer(cmd)
	})
	_, err := r.Do(t.Context(), "TREE.JOIN", []any{"KEYS", "a"})
	require.ErrorIs(t, err, router.ErrRefused)
	assert.Zero(t, f[0].Executed("TREE.JOIN"))
}

func TestManyWhoAskAtOnceAskOneQuestion(t *testing.T) {
	r, f := fakes(t, 1, "")
	modules(f)[0].loaded.Store(true)
	_, err := r.Do(t.Context(), "EXISTS", []any{"a"}) // for the dial is not to hang
	require.NoError(t, err)
	f[0].Hang()
	var wg sync.WaitGroup
	impatient, cancel := context.WithCancel(t.Context())
	wg.Go(func() {
		_, err := r.Do(impatient, "TREE.GET", []any{"a"})
		assert.ErrorIs(t, err, context.Canceled)
	})
	redistest.WaitFor(t, patient, func() bool { return f[0].Received("COMMAND") == 1 }, "the question")
	for range 20 {
		wg.Go(func() {
			reply, err := r.Do(t.Context(), "TREE.GET", []any{"a"})
			assert.NoError(t, err, "whose context ends is no concern of the others")
			assert.Equal(t, []byte("A"), reply)
		})
	}
	cancel()
	f[0].Resume()
	wg.Wait()
	assert.LessOrEqual(t, f[0].Received("COMMAND"), 2)
}

func TestAFrozenNodeIsNotAskedForLong(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=0")
	_, err := r.Do(t.Context(), "EXISTS", []any{"a"})
	require.NoError(t, err)
	f[0].Hang()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			_, err := r.Do(t.Context(), "TREE.GET", []any{"a"})
			assert.ErrorIs(t, err, context.DeadlineExceeded)
		})
	}
	wg.Wait()
}

func TestWhatIsLearnedIsBounded(t *testing.T) {
	r, f := fakes(t, 1, "")
	modules(f)[0].loaded.Store(true)
	_, err := r.Do(t.Context(), "TREE.GET", []any{"a"})
	require.NoError(t, err)
	for i := range 3000 {
		_, err := r.Do(t.Context(), fmt.Sprint("TYPO", i), []any{"a"})
		require.ErrorIs(t, err, router.ErrRefused)
	}
	was := asked(f)
	_, err = r.Do(t.Context(), "TREE.GET", []any{"a"})
	require.NoError(t, err)
	assert.Equal(t, was, asked(f), "typing errors do not drive out what is known")
	again := 0
	for i := range 3000 {
		before := asked(f)
		_, _ = r.Do(t.Context(), fmt.Sprint("TYPO", i), []any{"a"})
		again += asked(f) - before
	}
	assert.GreaterOrEqual(t, again, 2000, "no more than a thousand are remembered")

	was = asked(f)
	_, err = r.Do(t.Context(), strings.Repeat("X", 1000), []any{"a"})
	require.ErrorIs(t, err, router.ErrRefused)
	assert.Equal(t, was, asked(f), "that is no command")
}

func TestARealServerTellsWhereTheKeysOfACallAre(t *testing.T) {
	s := redistest.Start(t)
	for call, want := range map[string]error{
		"PING word":    redis.Error("ERR The command has no key arguments"),
		"TREE.GET key": redis.Error("ERR Invalid command specified"),
	} {
		cmd, args := words("GETKEYS " + call)
		_, err := s.Try("COMMAND", append([]any{cmd}, args...)...)
		assert.Equal(t, want, err, "the words by which a server is understood")
	}
}
