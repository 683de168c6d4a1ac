package fluster_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

const (
	sessions  = 4  // goroutines, each with keys of its own
	batchSize = 60 // calls between two looks at what the single server says
	rounds    = 4  // after each of which all data is compared
)

// splits are the commands that work over several nodes, on connections too;
// combines those that need several steps, for which there is Do.
var (
	splits   = []string{"MGET", "MSET", "DEL", "UNLINK", "EXISTS", "TOUCH"}
	combines = []string{"SUNION", "SINTER", "SDIFF", "SINTERCARD", "ZUNION", "ZINTER", "ZDIFF", "ZINTERCARD"}
	inSteps  = []string{
		"SUNIONSTORE", "SINTERSTORE", "SDIFFSTORE", "ZUNIONSTORE", "ZINTERSTORE", "ZDIFFSTORE", "ZRANGESTORE", "GEOSEARCHSTORE",
		"GEORADIUS", "GEORADIUSBYMEMBER", "SORT", "RENAME", "RENAMENX", "COPY", "RPOPLPUSH", "LMOVE", "SMOVE", "MSETNX", "PFCOUNT", "PFMERGE",
	}
	nowhere = []string{"SCAN", "SELECT", "MOVE", "DEBUG", "WAIT", "SWAPDB", "MULTI", "WATCH"}
)

// The same calls go to a cluster and to one Redis that holds all the data: their
// replies, their errors and what they leave behind must be the same, but for the
// calls that the cluster has to refuse, which must change nothing. That goes for
// pools that the library built and for a user's own. FLUSTER_SEED repeats a run;
// FLUSTER_CALLS says how long it is.
func TestAClusterIsLikeOneRedisThatHoldsAllTheData(t *testing.T) {
	seed := setting(t, "FLUSTER_SEED", int(time.Now().UnixNano()%1e9))
	calls := 130_000
	if underRace || testing.Short() {
		calls = 15_000
	}
	calls = setting(t, "FLUSTER_CALLS", calls)
	t.Logf("FLUSTER_SEED=%d FLUSTER_CALLS=%d", seed, calls)
	var done atomic.Int64
	t.Cleanup(func() { t.Logf("%d calls were compared", done.Load()) })
	single := redistest.StartUnix(t)
	for _, n := range []int{1, 3, 10} {
		servers := make([]*redistest.Server, n)
		for i := range servers {
			servers[i] = redistest.StartUnix(t)
		}
		for _, nonAtomic := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d nodes, NonAtomic %v", n, nonAtomic), func(t *testing.T) {
				redistest.NoLeaks(t)
				cfg := fluster.Config{NonAtomic: nonAtomic, Health: health.Config{Timeout: patient}}
				if cfg.Nodes = patientNodes(t, servers); nonAtomic == (n == 3) {
					cfg.Nodes = nodesOf(servers, redistest.PoolOptions{Connect: patient, Read: patient, Write: patient})
				}
				twin := &twins{FlusterCluster: newCluster(t, cfg), single: single, nonAtomic: nonAtomic, done: &done}
				twin.compare(t, uint64(seed), calls/6)
			})
		}
	}
}

// patientNodes are nodes over pools that ParseNode builds, whose calls share
// connections, to servers with sockets.
func patientNodes(t *testing.T, servers []*redistest.Server) []fluster.Node {
	nodes := make([]fluster.Node, len(servers))
	for i, s := range servers {
		var err error
		nodes[i], err = fluster.ParseNode(fmt.Sprintf("unix://%s?name=%s&dial_timeout=%[3]v&read_timeout=%[3]v&write_timeout=%[3]v", s.Addr(), nodeName(i), patient))
		require.NoError(t, err)
	}
	return nodes
}

// setting returns a number from the environment.
func setting(t *testing.T, name string, otherwise int) int {
	text, ok := os.LookupEnv(name)
	if !ok {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err)
	return n
}

// twins are a cluster and the single server that it is compared with.
type twins struct {
	*fluster.FlusterCluster
	single    *redistest.Server
	nonAtomic bool
	done      *atomic.Int64
}

// compare runs the callers side by side, and compares all data now and then.
func (w *twins) compare(t *testing.T, seed uint64, calls int) {
	w.both(t, "FLUSHALL")
	w.both(t, "SCRIPT", "FLUSH")
	var shas []string
	for _, source := range scripts {
		shas = append(shas, string(w.both(t, "SCRIPT", "LOAD", source).([]byte)))
	}
	dumps, table := w.makeDumps(t), byChance(t, w.single)
	made := make([]*caller, sessions)
	for i := range made {
		made[i] = newCaller(rand.New(rand.NewPCG(seed, uint64(i))), i)
		made[i].shas, made[i].dumps, made[i].table = shas, dumps, table
	}
	for range rounds {
		var wg sync.WaitGroup
		for _, c := range made {
			wg.Go(func() {
				if err := w.session(t.Context(), c, calls/sessions/rounds); err != nil {
					t.Errorf("caller %s %v", c.own, err)
				}
			})
		}
		wg.Wait()
		w.sameData(t)
		if t.Failed() {
			return
		}
	}
}

// both does the same on both, which must agree.
func (w *twins) both(t *testing.T, cmd string, args ...any) any {
	t.Helper()
	got, err := w.Do(t.Context(), cmd, args...)
	require.NoError(t, err)
	want := w.single.Do(cmd, args...)
	require.True(t, sameReply(cmd, args, want, got), "%s %s: %s, and not %s", cmd, told(args), told(got), told(want))
	return want
}

// makeDumps returns what RESTORE takes, of several types.
func (w *twins) makeDumps(t *testing.T) (dumps [][]byte) {
	conn := w.single.Pool(redistest.PoolOptions{}).Get()
	defer conn.Close()
	for _, words := range []string{"SET x 12", "RPUSH x a b", "SADD x 1 2 3", "HSET x a 1 b 2", "ZADD x 1 a 2.5 b"} {
		cmd, args := fromWords(words)
		_, err := conn.Do(cmd, args...)
		require.NoError(t, err)
		dump, err := redis.Bytes(conn.Do("DUMP", "x"))
		require.NoError(t, err)
		dumps = append(dumps, dump)
		_, err = conn.Do("DEL", "x")
		require.NoError(t, err)
	}
	return dumps
}

// fromWords is a call written as on a command line.
func fromWords(text string) (cmd string, args []any) {
	words := strings.Fields(text)
	return words[0], redis.Args{}.AddFlat(words[1:])
}

// attempt is one call, where its keys are, and what the cluster said.
type attempt struct {
	cmd   string
	args  []any
	keys  []string // as the single server finds them
	reply any
	err   error
}

func (a *attempt) name() string { return strings.ToUpper(a.cmd) }

func (a *attempt) String() string {
	return fmt.Sprintf("%s %s with keys %.100q", a.cmd, told(a.args), a.keys)
}

// session makes n calls or a few more.
func (w *twins) session(ctx context.Context, c *caller, n int) error {
	conn := w.single.Pool(redistest.PoolOptions{Read: patient}).Get()
	defer conn.Close()
	for done := 0; done < n; done += batchSize {
		batch, err := makeBatch(c, conn)
		if err != nil {
			return err
		}
		piped := c.IntN(3) == 0
		if piped {
			w.pipe(&batch)
		} else {
			for i := range batch {
				batch[i].reply, batch[i].err = w.Do(ctx, batch[i].cmd, batch[i].args...)
			}
		}
		if err := w.judge(conn, batch, piped); err != nil {
			return fmt.Errorf("after %d calls (pipelined: %v): %w", done, piped, err)
		}
		if err := w.expire(ctx, c, conn); err != nil {
			return err
		}
		w.done.Add(int64(len(batch)))
	}
	return nil
}

// makeBatch makes up calls whose keys are all the caller's own.
func makeBatch(c *caller, conn redis.Conn) ([]attempt, error) {
	batch := make([]attempt, batchSize)
	for i := range batch {
		batch[i].cmd, batch[i].args = c.call()
		if err := conn.Send("COMMAND", append([]any{"GETKEYS", batch[i].cmd}, batch[i].args...)...); err != nil {
			return nil, err
		}
	}
	replies, err := redis.Values(conn.Do(""))
	if err != nil {
		return nil, err
	}
	for i, reply := range replies {
		batch[i].keys, _ = redis.Strings(reply, nil) // an error is no keys
	}
	foreign := func(key string) bool { return !strings.HasPrefix(key, c.own) }
	return slices.DeleteFunc(batch, func(a attempt) bool { return slices.ContainsFunc(a.keys, foreign) }), nil
}

// pipe makes the calls over one connection, all at once.
func (w *twins) pipe(batch *[]attempt) {
	*batch = slices.DeleteFunc(*batch, func(a attempt) bool { return a.name() == "MULTI" || a.name() == "WATCH" })
	conn := w.Get()
	defer conn.Close()
	for i := range *batch {
		a := &(*batch)[i]
		if a.err = conn.Send(a.cmd, a.args...); a.err != nil {
			return
		}
	}
	for i := range *batch {
		a := &(*batch)[i]
		a.reply, a.err = conn.Receive()
	}
}

// judge compares what the cluster said with what the single server says, which
// is not asked about what was rightly refused.
func (w *twins) judge(conn redis.Conn, batch []attempt, piped bool) error {
	var asked []*attempt
	for i := range batch {
		a := &batch[i]
		refused, err := w.refused(a, piped)
		if err != nil {
			return fmt.Errorf("%v: %w", a, err)
		}
		if refused {
			continue
		}
		asked = append(asked, a)
		if err := conn.Send(a.cmd, a.args...); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	for _, a := range asked {
		want, err := conn.Receive()
		if !w.agree(a, want, err) {
			return fmt.Errorf("%v: the cluster said %s, %v, and a single server %s, %v", a, told(a.reply), a.err, told(want), err) //nolint:errorlint // two that differ: neither is the cause
		}
	}
	return nil
}

// agree reports whether the single server said what the cluster did. It may hold
// in another form what was moved there as a whole.
func (w *twins) agree(a *attempt, want any, err error) bool {
	switch {
	case a.name() == "OBJECT" && w.nonAtomic && err == nil:
		return a.err == nil
	case errors.Is(a.err, fluster.ErrRefused):
		return err != nil && strings.HasPrefix(err.Error(), "ERR unknown ")
	case a.err != nil || err != nil:
		return sameError(a, err)
	}
	return sameReply(a.cmd, a.args, want, a.reply)
}

// refused reports whether a call was refused because several nodes cannot do it.
// It is an error if it was refused though they can, or done though they cannot.
func (w *twins) refused(a *attempt, piped bool) (bool, error) {
	may, err := w.may(a, piped)
	switch {
	case err != nil:
		return false, err
	case errors.Is(a.err, fluster.ErrCrossNode) && may:
		return false, fmt.Errorf("it was refused: %w", a.err)
	case errors.Is(a.err, fluster.ErrCrossNode):
		return true, nil
	case !may && a.err == nil:
		return false, fmt.Errorf("it was done over several nodes: %s", told(a.reply))
	case errors.Is(a.err, fluster.ErrRefused):
		script := strings.HasPrefix(a.name(), "EVAL") || strings.HasPrefix(a.name(), "FCALL")
		return script && len(a.keys) == 0 || slices.Contains(nowhere, a.name()), nil
	}
	return false, nil
}

// may reports whether a call may be done where its keys are.
func (w *twins) may(a *attempt, piped bool) (bool, error) {
	homes := make(map[string]bool)
	for _, key := range a.keys {
		node, err := w.Locate(key)
		if err != nil {
			return false, err
		}
		homes[node.Name] = true
	}
	return len(homes) < 2 || slices.Contains(splits, a.name()) || !piped &&
		(slices.Contains(combines, a.name()) || w.nonAtomic && slices.Contains(inSteps, a.name())), nil
}

// expire lets a key run out on both sides.
func (w *twins) expire(ctx context.Context, c *caller, conn redis.Conn) error {
	key := c.value("any", "k")
	do := func(cmd string, args ...any) (n int, err error) {
		a, err := redis.Int(w.Do(ctx, cmd, args...))
		if err != nil {
			return 0, err
		}
		b, err := redis.Int(conn.Do(cmd, args...))
		return a + b, err
	}
	_, err := do("PEXPIRE", key, 1)
	for left := 1; left > 0 && err == nil; {
		left, err = do("EXISTS", key)
	}
	return err
}

// sameData compares all that is there.
func (w *twins) sameData(t *testing.T) {
	keys, err := redis.Strings(w.both(t, "KEYS", "*"), nil)
	require.NoError(t, err)
	w.both(t, "DBSIZE")
	random, err := redis.String(w.Do(t.Context(), "RANDOMKEY"))
	require.NoError(t, err)
	assert.Contains(t, keys, random)
	for _, key := range keys {
		w.both(t, "PTTL", key)
		switch w.both(t, "TYPE", key) {
		case "string":
			w.both(t, "GET", key)
		case "hash":
			w.both(t, "HGETALL", key)
		case "list":
			w.both(t, "LRANGE", key, 0, -1)
		case "set":
			w.both(t, "SMEMBERS", key)
		case "zset":
			w.both(t, "ZRANGE", key, 0, -1, "WITHSCORES")
		case "stream":
			w.both(t, "XRANGE", key, "-", "+")
			w.both(t, "XINFO", "GROUPS", key)
		}
	}
}
