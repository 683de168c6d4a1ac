package fluster_test

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/internal/redistest"
)

// oracle is a cluster of fake servers that write down what they execute: each command
// and each key of it, what belongs to a transaction when that is. Keys are used once,
// so that what was done for one caller can be told from what was done for another.
type oracle struct {
	*fluster.FlusterCluster
	fakes  []*redistest.Fake
	nextID atomic.Int64

	mu     sync.Mutex // protects following fields
	ran    map[string]int
	loaded []bool        // by fake: whether it has the script
	gate   chan struct{} // closed when the first fake may go on
	claims []claim
}

// claim is what a caller knows of one command and key.
type claim struct {
	what string // command and key
	at   string // when
	err  error
	read bool // it may be repeated
}

const tally = `return redis.call("INCR", KEYS[1])`

var tallyScript = redis.NewScript(1, tally)

func newOracle(t testing.TB) *oracle {
	redistest.NoLeaks(t)
	o := &oracle{ran: make(map[string]int), gate: make(chan struct{})}
	close(o.gate)
	cfg := fluster.Config{}
	for i := range 3 {
		fake := redistest.NewFake(t)
		fake.HandleEach(func() redistest.Handler { return (&clerk{oracle: o, fake: i}).answer })
		o.fakes, o.loaded = append(o.fakes, fake), append(o.loaded, false)
		node, err := fluster.ParseNode(fmt.Sprintf("redis://%s?name=%s&max_idle=4&read_timeout=30s", fake.Addr(), nodeName(i)))
		require.NoError(t, err)
		cfg.Nodes = append(cfg.Nodes, node)
	}
	o.FlusterCluster = newCluster(t, cfg)
	return o
}

// clerk answers one connection of one fake.
type clerk struct {
	oracle *oracle
	fake   int
	multi  bool
	queued [][]string
}

func (c *clerk) answer(cmd []string) []byte {
	if cmd[0] == "PING" {
		return nil
	}
	c.oracle.await(c.fake)
	switch {
	case cmd[0] == "MULTI":
		c.multi = true
		return redistest.Simple("OK")
	case cmd[0] == "DISCARD":
		c.multi, c.queued = false, nil
		return redistest.Simple("OK")
	case cmd[0] == "EXEC":
		return c.exec()
	case c.multi:
		c.queued = append(c.queued, cmd)
		return redistest.Simple("QUEUED")
	}
	return c.oracle.execute(c.fake, cmd)
}

func (c *clerk) exec() []byte {
	replies := make([][]byte, len(c.queued))
	for i, cmd := range c.queued {
		replies[i] = c.oracle.execute(c.fake, cmd)
	}
	c.multi, c.queued = false, nil
	return redistest.Array(replies...)
}

func (o *oracle) await(fake int) {
	if fake != 0 {
		return
	}
	o.mu.Lock()
	gate := o.gate
	o.mu.Unlock()
	<-gate
}

func (o *oracle) execute(fake int, cmd []string) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch cmd[0] {
	case "SCRIPT":
		return o.script(fake, cmd)
	case "EVALSHA", "EVAL":
		if cmd[0] == "EVALSHA" && !o.loaded[fake] {
			return redistest.Error("NOSCRIPT No matching script. Please use EVAL.")
		}
		o.ran["EVAL "+cmd[3]]++
		return redistest.Int(1)
	case "MSET":
		for i := 1; i < len(cmd); i += 2 {
			o.ran["MSET "+cmd[i]]++
		}
		return redistest.Simple("OK")
	case "SET", "INCR":
		o.ran[cmd[0]+" "+cmd[1]]++
		return redistest.Int(1)
	}
	values := make([][]byte, len(cmd)-1)
	for i, key := range cmd[1:] {
		o.ran[cmd[0]+" "+key]++
		values[i] = redistest.Bulk(key)
	}
	if cmd[0] == "MGET" {
		return redistest.Array(values...)
	}
	return redistest.Int(len(values))
}

func (o *oracle) script(fake int, cmd []string) []byte {
	if cmd[1] == "LOAD" {
		o.loaded[fake] = true
		return redistest.Bulk(tallyScript.Hash())
	}
	has := 0
	if o.loaded[fake] {
		has = 1
	}
	return redistest.Array(redistest.Int(has))
}

// forget makes a fake forget its script, as by a restart.
func (o *oracle) forget(fake int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.loaded[fake] = false
}

// hold makes the first fake wait with all it is sent until the function that it
// returns is called.
func (o *oracle) hold() (release func()) {
	gate := make(chan struct{})
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gate = gate
	return sync.OnceFunc(func() { close(gate) })
}

// keys returns as many keys as there are nodes, one of each, that nobody used.
func (o *oracle) keys(t testing.TB) []string {
	keys := make([]string, len(o.fakes))
	for missing := len(keys); missing > 0; {
		key := "k:" + strconv.FormatInt(o.nextID.Add(1), 10)
		n, err := o.Locate(key)
		require.NoError(t, err)
		if i := int(n.Name[0] - 'a'); keys[i] == "" {
			keys[i] = key
			missing--
		}
	}
	return keys
}

func (o *oracle) claim(claims ...claim) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.claims = append(o.claims, claims...)
}

// split are the claims of a call whose keys, one of each node, are done apart. If the
// call as a whole is safe to repeat, so is each of them.
func split(cmd, at string, keys []string, err error, read bool) []claim {
	claims := make([]claim, len(keys))
	var many *fluster.NodesError
	for i, key := range keys {
		claims[i] = claim{what: cmd + " " + key, at: at, err: err, read: read}
		if !errors.As(err, &many) || fluster.SafeToRetry(err) {
			continue
		}
		claims[i].err = nil
		for _, failed := range many.Failed {
			if failed.Node == nodeName(i) {
				claims[i].err = failed.Err
			}
		}
	}
	return claims
}

// verify checks all claims, when no fake has anything more to execute, and returns of
// how many calls nobody knows, and how many did not run.
func (o *oracle) verify(t *testing.T) (maybe, safe int) {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, c := range o.claims {
		n := o.ran[c.what]
		told := fmt.Sprintf("%s: %s ran %d times; its caller heard: %v", c.at, c.what, n, c.err)
		switch {
		case c.err == nil && c.read:
			require.Positive(t, n, told)
		case c.err == nil:
			require.Equal(t, 1, n, told)
		case fluster.SafeToRetry(c.err):
			safe++
			require.False(t, fluster.MaybeExecuted(c.err), told)
			require.Zero(t, n, told)
		case fluster.MaybeExecuted(c.err):
			maybe++
			require.True(t, c.read || n <= 1, told)
		default: // an answer, or nothing was begun
			require.Zero(t, n, told)
			var broken *fluster.NodeError
			require.False(t, errors.As(c.err, &broken), told)
		}
	}
	return maybe, safe
}

// shares waits until calls to the first node, all of them under way, are more than
// the connections that callers have borrowed there: then some share one.
func (o *oracle) shares(t *testing.T) {
	t.Helper()
	redistest.WaitFor(t, patient, func() bool { return o.sharesNow(t) }, "calls share a connection")
}

func (o *oracle) sharesNow(t *testing.T) bool {
	t.Helper()
	pool := o.Nodes()[0].Pool
	release := o.hold()
	before := o.fakes[0].Received("INCR")
	var wg sync.WaitGroup
	defer wg.Wait()
	defer release()
	for range crowded {
		key := o.keys(t)[0]
		wg.Go(func() {
			_, err := o.Do(t.Context(), "INCR", key)
			o.claim(claim{what: "INCR " + key, at: "while sharing is looked for", err: err})
		})
	}
	came, borrowed := 0, 0
	redistest.WaitFor(t, patient, func() bool {
		came = o.fakes[0].Received("INCR") - before
		s := pool.Stats()
		borrowed = s.ActiveCount - s.IdleCount
		return came > borrowed || came == crowded
	}, "calls come in")
	return came > borrowed
}

// crowded is how many callers there are at once.
const crowded = 16
