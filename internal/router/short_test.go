package router_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
	"github.com/redisfluster/fluster/internal/router"
)

// shortly has a trial make calls to the first node until the first attempt of each of them
// was begun at once, over a connection that others share. What it checks is true of all
// attempts. It returns how often calls were repeated, which never begins at once.
func (r *routed) shortly(t *testing.T, trial func() (repeats int)) {
	t.Helper()
	const tries = 100
	for range tries {
		r.sharing.on.Store(true)
		r.shareOn(t, 0)
		long := r.sharing.long.Load()
		repeats := trial()
		if r.sharing.long.Load() == long+int64(repeats) {
			return
		}
	}
	t.Fatal("no call is begun at once")
}

// repeats returns how many calls were repeated that failed at the first node.
func (r *routed) repeats() int {
	n, _ := r.Retries(0)
	return int(n)
}

func TestACallWithOneKeyIsBegunAtOnceWhereCallsShare(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=30s&write_timeout=30s")
	sum := 0
	r.shortly(t, func() int {
		for range 20 {
			n, err := redis.Int(r.Do(t.Context(), "INCR", []any{"a"}))
			require.NoError(t, err)
			sum++
			require.Equal(t, sum, n)
		}
		return 0
	})
	r.shortly(t, func() int {
		_, err := r.Do(t.Context(), "SET", []any{"a:text", "x"})
		require.NoError(t, err)
		reply, err := r.Do(t.Context(), "LPUSH", []any{"a:text", "x"})
		require.ErrorContains(t, err, "WRONGTYPE")
		assert.IsType(t, redis.Error(""), err, "what a server says stays bare")
		assert.NotEqual(t, int64(1), reply)
		return 0
	})
	assert.Equal(t, sum, f[0].Executed("INCR"))
	assert.Zero(t, r.repeats())
}

// What the first attempt fails with is judged by the law that holds for all calls.
func TestACallThatWasBegunAtOnceIsRepeatedAsAnyOther(t *testing.T) {
	fast := router.Retry{MinWait: 1}
	for name, tc := range map[string]struct {
		cluster, call router.Retry
		cmd           string
		want          int // times that it runs
	}{
		"a read is, twice":                 {cmd: "GET", call: fast, want: 3},
		"what may have run is not":         {cmd: "INCR", call: fast, want: 1},
		"as the cluster says":              {cmd: "GET", cluster: router.Retry{Max: 4, MinWait: 1}, want: 5},
		"as the call says":                 {cmd: "GET", cluster: router.Retry{Max: 4, MinWait: 1}, call: router.Retry{Max: 1}, want: 2},
		"never":                            {cmd: "GET", cluster: router.Retry{Max: -1}, want: 1},
		"never, says the call":             {cmd: "GET", call: router.Retry{Max: -1}, want: 1},
		"a read not, if only what is safe": {cmd: "GET", call: router.Retry{SafeOnly: true}, want: 1},
		"no number lets a write run twice": {cmd: "INCR", call: router.Retry{Max: 100, MinWait: 1}, want: 1},
	} {
		t.Run(name, func(t *testing.T) {
			r, f := fakes(t, 1, "read_timeout=30s&write_timeout=30s")
			r.Router = router.New(r.sharing, router.Config{Retry: tc.cluster})
			ctx := router.WithRetry(t.Context(), tc.call)
			r.shortly(t, func() int {
				before, repeats := f[0].Executed(tc.cmd), r.repeats()
				f[0].CutReply(tc.cmd, 2)
				_, err := r.Do(ctx, tc.cmd, []any{"a"})
				f[0].Resume()
				require.Error(t, err)
				assert.True(t, node.MaybeExecuted(err), "%v", err)
				assert.False(t, node.SafeToRetry(err), "%v", err)
				assert.Equal(t, tc.want, f[0].Executed(tc.cmd)-before)
				assert.Equal(t, tc.want-1, r.repeats()-repeats, "repeats are counted")
				return tc.want - 1
			})
			_, refused := r.Retries(0)
			assert.Zero(t, refused)
		})
	}
}

// Calls that had not left when their connection broke cannot have run, whatever they do.
func TestACallThatWasBegunAtOnceAndDidNotLeaveIsRepeated(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=30s&write_timeout=30s&dial_timeout=30s")
	const callers = 64
	ctx := router.WithRetry(t.Context(), router.Retry{MinWait: 1})
	r.shortly(t, func() int {
		for {
			before, received, repeats := f[0].Executed("INCR"), f[0].Received("INCR"), r.repeats()
			f[0].Hang()
			errs := make([]error, callers)
			var wg sync.WaitGroup
			for i := range errs {
				wg.Go(func() {
					args := []any{fmt.Appendf(nil, "a:%d", i)}
					_, errs[i] = r.Do(ctx, "INCR", args)
					copy(args[0].([]byte), "changed") // it is the caller's again
					args[0] = nil
				})
			}
			redistest.WaitFor(t, patient, func() bool { return f[0].Received("INCR") > received }, "some have left")
			f[0].Drop()
			f[0].Resume()
			wg.Wait()
			ok, maybe := 0, 0
			for _, err := range errs {
				if err == nil {
					ok++
					continue
				}
				maybe++
				require.True(t, node.MaybeExecuted(err), "what cannot have run is repeated: %v", err)
			}
			require.Equal(t, ok, f[0].Executed("INCR")-before, "what may have run is not repeated")
			require.Positive(t, maybe)
			if n := r.repeats() - repeats; n > 0 {
				return n
			}
			r.shareOn(t, 0) // all had left
		}
	})
}

func TestACallThatWasBegunAtOnceIsRepeatedWhereItsKeyHasGone(t *testing.T) {
	r, f := fakes(t, 2, "read_timeout=30s&write_timeout=30s")
	f[0].Handle(func(cmd []string) []byte {
		if cmd[0] == "GET" && r.sharing.shift.CompareAndSwap(0, 1) {
			f[0].Drop()
		}
		return nil
	})
	r.shortly(t, func() int {
		r.sharing.shift.Store(0)
		before, there, repeats := f[0].Executed("GET"), f[1].Executed("GET"), r.repeats()
		_, err := r.Do(t.Context(), "GET", []any{"a"})
		require.NoError(t, err)
		assert.Equal(t, 1, f[0].Executed("GET")-before)
		assert.Equal(t, 1, f[1].Executed("GET")-there)
		assert.Equal(t, 1, r.repeats()-repeats, "of calls that failed at the first node")
		return 1
	})
	other, _ := r.Retries(1)
	assert.Zero(t, other)
}

func TestACallThatWasBegunAtOnceEndsWithItsContextAndIsNotRepeated(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=30s&write_timeout=30s")
	r.shortly(t, func() int {
		f[0].Hang()
		received := f[0].Received("GET")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			_, err := r.Do(ctx, "GET", []any{"a"})
			done <- err
		}()
		redistest.WaitFor(t, patient, func() bool { return f[0].Received("GET") > received }, "it has left")
		cancel()
		err := <-done
		f[0].Resume()
		require.ErrorIs(t, err, context.Canceled)
		assert.True(t, node.MaybeExecuted(err), "%v", err)
		_, err = r.Do(ctx, "GET", []any{"a"})
		assert.ErrorIs(t, err, context.Canceled)
		assert.True(t, err == context.Canceled, "it is not begun: %v", err) //nolint:errorlint // it is nobody else's
		assert.Equal(t, 1, f[0].Received("GET")-received)
		return 0
	})
	assert.Zero(t, r.repeats())
}

// account is what a router knows of its calls and repeats, by the law that is documented:
// one repeat for ten calls, 500 to begin with, and 1,000 that can be saved up.
type account struct{ earned, spent, repeats, refused int }

func (a *account) call() {
	if a.earned-a.spent < 5000 {
		a.earned++
	}
}

func (a *account) repeat() {
	if a.spent+10 > a.earned+5000 {
		a.refused++
		return
	}
	a.spent += 10
	a.repeats++
}

func (a *account) require(t *testing.T, r *routed, when string) {
	t.Helper()
	repeats, refused := r.Retries(0)
	require.Equal(t, *a, account{a.earned, a.spent, int(repeats), int(refused)}, when)
}

func TestCallsThatAreBegunAtOnceEarnAndSpendRepeatsAsAllDo(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, f := fakes(t, 1, "read_timeout=30s&write_timeout=30s")
		prepare(t, r)
		shares := r.sharing.on.Load()
		var a account
		ctx := router.WithRetry(t.Context(), router.Retry{Max: 1})
		f[0].Crash()
		for range 600 { // until all is spent that a router begins with
			_, err := r.Do(ctx, "GET", []any{"a"})
			require.Error(t, err)
			a.call()
			a.repeat()
		}
		a.require(t, r, "after the server was gone")
		require.Positive(t, a.refused)
		f[0].Resume()
		granted := 0
		trial := func() (repeats int) {
			for range 7 {
				_, err := r.Do(ctx, "INCR", []any{"a"})
				require.NoError(t, err)
				a.call()
			}
			a.require(t, r, "what succeeds is not repeated")
			was := a.repeats
			f[0].CutReply("GET", 1)
			_, err := r.Do(ctx, "GET", []any{"a"})
			f[0].Resume()
			require.Error(t, err)
			a.call()
			a.repeat()
			a.require(t, r, "what is lost")
			granted += a.repeats - was
			return a.repeats - was
		}
		for range 20 {
			if shares {
				r.shortly(t, trial)
			} else {
				trial()
			}
		}
		assert.Greater(t, granted, 10, "calls earn repeats")
		assert.Positive(t, a.refused)
	})
}

// Do returns when its context ends, though its command may be about to be written. From
// then on its arguments are its caller's again. The race detector sees it if they are read.
func TestArgumentsAreTheirCallersWhenDoReturns(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=30s&write_timeout=30s")
	const callers = 64
	var mu sync.Mutex
	var came []string
	f[0].Handle(func(cmd []string) []byte {
		if cmd[0] == "SET" {
			mu.Lock()
			defer mu.Unlock()
			came = append(came, strings.Join(cmd, " "))
		}
		return nil
	})
	r.shortly(t, func() int {
		came = nil
		f[0].Hang()
		received := f[0].Received("SET")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var wg sync.WaitGroup
		for i := range callers {
			wg.Go(func() {
				key, value := fmt.Appendf(nil, "a:%03d", i), fmt.Appendf(nil, "value %03d", i)
				args := []any{key, value}
				_, err := r.Do(ctx, "SET", args)
				assert.ErrorIs(t, err, context.Canceled)
				copy(key, "b:xxx")
				copy(value, "not this one")
				args[0], args[1] = "c", "nor this"
			})
		}
		redistest.WaitFor(t, patient, func() bool { return f[0].Received("SET") > received }, "some have left, others are about to")
		cancel()
		wg.Wait()
		mu.Lock()
		require.Empty(t, came)
		mu.Unlock()
		f[0].Resume()
		_, err := r.Do(t.Context(), "GET", []any{"a"}) // behind all of them
		require.NoError(t, err)
		mu.Lock()
		defer mu.Unlock()
		require.NotEmpty(t, came)
		for _, cmd := range came {
			var key, value int
			_, err := fmt.Sscanf(cmd, "SET a:%d value %d", &key, &value)
			require.NoError(t, err, cmd)
			require.Equal(t, key, value)
		}
		return 0
	})
}

func TestArgumentsOfACallersOwnTypeAreAskedOnce(t *testing.T) {
	onBothPaths(t, func(t *testing.T, prepare func(t testing.TB, r *routed)) {
		r, f := fakes(t, 1, "read_timeout=30s&write_timeout=30s")
		prepare(t, r)
		for range 10 {
			arg := &fickle{}
			_, err := r.Do(t.Context(), "SET", []any{"a", arg})
			require.NoError(t, err)
			assert.Equal(t, 1, arg.times)
			value, err := redis.String(r.Do(t.Context(), "GET", []any{"a"}))
			require.NoError(t, err)
			assert.Equal(t, "answer 1", value)
		}
		assert.Equal(t, 10, f[0].Executed("SET"))
	})
}

func TestAnArgumentThatPanicsHarmsNobodyWhoSharesTheConnection(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=30s&write_timeout=30s")
	r.share(t)
	for i := range 10 {
		assert.PanicsWithValue(t, "an argument's own", func() { _, _ = r.Do(t.Context(), "SET", []any{"a", alarm{}}) })
		n, err := redis.Int(r.Do(t.Context(), "INCR", []any{"a"}))
		require.NoError(t, err)
		assert.Equal(t, i+1, n)
	}
	assert.Zero(t, f[0].Executed("SET"))
}

// While a server hangs calls cannot be begun at once: they are held up, or there is no
// room. They must not be asked anew whenever another way is tried.
func TestArgumentsOfACallersOwnTypeAreAskedOnceThoughTheCallHasToWait(t *testing.T) {
	r, f := fakes(t, 1, "read_timeout=30s&write_timeout=30s&dial_timeout=30s")
	r.share(t)
	f[0].Hang()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() { _, _ = r.Do(ctx, "INCR", []any{"a"}) }()
	redistest.WaitFor(t, patient, func() bool { return f[0].Received("INCR") > 0 }, "a call waits for its reply")
	begun := time.Now()
	redistest.WaitFor(t, patient, func() bool { return time.Since(begun) > 50*time.Millisecond }, "the connection is held up")
	const callers = 40
	all := make([]*fickle, callers)
	var wg sync.WaitGroup
	for i := range all {
		all[i] = &fickle{}
		wg.Go(func() {
			_, err := r.Do(t.Context(), "SET", []any{fmt.Sprintf("a:%d", i), all[i]})
			assert.NoError(t, err)
		})
	}
	f[0].Resume()
	wg.Wait()
	for i, arg := range all {
		assert.Equal(t, 1, arg.times)
		assert.Equal(t, []byte("answer 1"), must(t, r.conn(), "GET", fmt.Sprintf("a:%d", i)))
	}
}
