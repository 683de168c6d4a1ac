package fluster_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/redistest"
)

// soonBack bounds the way back of a node that answers, but refuses: it is looked at
// after MinWait, steadily.
const soonBack = health.DefaultMinWait + 200*time.Millisecond

// slowLoader lets a server take its time to load, and answer meanwhile.
var slowLoader = []string{"--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024"}

func TestRow29AServerThatLoadsItsDataCostsNoCall(t *testing.T) {
	someBuilders(t, builders[1], 29, "a server loads its data", "DEBUG RELOAD, slowed", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk}, slowLoader...)
		b := f.servers[1]
		b.Do("EVAL", "for i=1,2000 do redis.call('SET', 'key:'..i, string.rep('x', 100)) end", 0)
		b.Do("CONFIG", "SET", "key-load-delay", 400)
		l := startRouted(t, f.FlusterCluster, callers)
		l.goOn(t, 1000)
		loaded := make(chan error, 1)
		go func() {
			_, err := b.Try("DEBUG", "RELOAD")
			loaded <- err
		}()
		waitDown(t, f.FlusterCluster, "b")
		cause := status(t, f.FlusterCluster, "b").Cause
		if r.calm() { // or it may have been too late to say so
			assert.ErrorContains(t, cause, "LOADING")
		}
		require.NoError(t, <-loaded)
		healed := time.Now()
		waitLive(t, f.FlusterCluster, "b")
		r.back(healed, soonBack)
		l.goOn(t, 1000)
		r.noneLost(r.ended(f, l, false))
		r.onlyOut(f.FlusterCluster, "b")
	})
}

func TestRow31AServerThatBecameAReplicaIsOutUntilItTakesWritesAgain(t *testing.T) {
	someBuilders(t, builders[0], 31, "a server became a replica", "REPLICAOF", func(r *trial, builder string) {
		f := r.fleet(3, builder, fluster.Config{Health: brisk})
		b := f.servers[1]
		pool, err := f.GetClient(keyOf(t, f.FlusterCluster, "b"))
		require.NoError(t, err)
		kept := pool.Get()
		defer kept.Close()
		l := startRouted(t, f.FlusterCluster, callers)
		l.goOn(t, 1000)
		b.Do("REPLICAOF", "127.0.0.1", 1)
		waitDown(t, f.FlusterCluster, "b")
		_, err = kept.Do("SET", "k", "v")
		require.ErrorContains(t, err, "READONLY")
		assert.Error(t, kept.Err(), "the pool would keep the connection")

		moreProbes(t, f.FlusterCluster, "b", 4)
		b.Do("PING") // which would let it out
		r.stayedOut(f.FlusterCluster, "b")
		b.Do("REPLICAOF", "NO", "ONE")
		healed := time.Now()
		waitLive(t, f.FlusterCluster, "b")
		r.back(healed, soonBack)
		l.goOn(t, 1000)
		r.noneLost(r.ended(f, l, false))
		r.onlyOut(f.FlusterCluster, "b")
	})
}

// refusers are servers that say no to everything, and how they come to it.
var refusers = map[string]struct {
	mainly      string // the builder if there is time for one only
	args        []string
	upset, mend func(t *testing.T, s *redistest.Server)
}{
	"MASTERDOWN": {
		mainly: builders[0],
		args:   []string{"--replica-serve-stale-data", "no"},
		upset:  func(_ *testing.T, s *redistest.Server) { s.Do("REPLICAOF", "127.0.0.1", 1) },
		mend:   func(_ *testing.T, s *redistest.Server) { s.Do("REPLICAOF", "NO", "ONE") },
	},
	"MISCONF": {
		mainly: builders[1],
		args:   []string{"--save", "3600 1", "--enable-protected-configs", "yes"},
		upset:  failToSave,
		mend: func(_ *testing.T, s *redistest.Server) {
			s.Do("CONFIG", "SET", "stop-writes-on-bgsave-error", "no")
		},
	},
}

// failToSave puts a directory where the server writes its dump.
func failToSave(t *testing.T, s *redistest.Server) {
	t.Helper()
	dir, err := redis.Strings(s.Do("CONFIG", "GET", "dir"), nil)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(dir[1], "taken", "by"), 0o700))
	s.Do("CONFIG", "SET", "dbfilename", "taken")
	s.Do("BGSAVE")
	redistest.WaitFor(t, patient, func() bool { return s.Info("persistence")["rdb_last_bgsave_status"] == "err" }, "the save fails")
}

func TestRow32AServerThatRefusesEverythingIsBackWhenItDoesNot(t *testing.T) {
	for code, refuser := range refusers {
		someBuilders(t, refuser.mainly, 32, "a server says "+code, "CONFIG SET", func(r *trial, builder string) {
			f := r.fleet(3, builder, fluster.Config{Health: brisk}, refuser.args...)
			l := startRouted(r.t, f.FlusterCluster, callers)
			l.goOn(r.t, 1000)
			refuser.upset(r.t, f.servers[1])
			waitDown(r.t, f.FlusterCluster, "b")
			assert.ErrorContains(r.t, status(r.t, f.FlusterCluster, "b").Cause, code)
			moreProbes(r.t, f.FlusterCluster, "b", 3)
			r.stayedOut(f.FlusterCluster, "b")
			refuser.mend(r.t, f.servers[1])
			healed := time.Now()
			waitLive(r.t, f.FlusterCluster, "b")
			r.back(healed, soonBack)
			l.goOn(r.t, 1000)
			r.noneLost(r.ended(f, l, false))
			r.onlyOut(f.FlusterCluster, "b")
		})
	}
}

// lines returns how many lines the logger wrote of a node at a level.
func (l *ledger) lines(level, name string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for line := range bytes.Lines(l.buf.Bytes()) {
		if bytes.Contains(line, []byte(`"level":"`+level+`"`)) && bytes.Contains(line, []byte(`"node":"`+name+`"`)) {
			n++
		}
	}
	return n
}

func TestRow33APasswordThatWasChangedIsTriedOnceForEachWaitAndToldOnce(t *testing.T) {
	eachBuilder(t, 33, "a password was changed", "CONFIG SET requirepass", func(r *trial, builder string) {
		seldom := brisk
		seldom.MaxWait = 250 * time.Millisecond // which is how long a fault waits that waiting does not mend
		f := r.fleet(3, builder, fluster.Config{Health: seldom})
		b := f.servers[1]
		l := startRouted(r.t, f.FlusterCluster, 16)
		l.goOn(r.t, 500)
		own := b.Pool(redistest.PoolOptions{MaxIdle: 1})
		admin := own.Get()
		defer func() { _, _ = admin.Close(), own.Close() }()
		b.Do("CONFIG", "SET", "requirepass", "rotated") // unknown to Pool and Do of the server as well
		_, err := admin.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
		require.NoError(r.t, err)
		waitDown(r.t, f.FlusterCluster, "b")
		r.said.print(status(r.t, f.FlusterCluster, "b").Cause)
		assert.ErrorContains(r.t, status(r.t, f.FlusterCluster, "b").Cause, "WRONGPASS")

		l.goOn(r.t, 1000) // whoever was dialing has given up
		probes, tries := status(r.t, f.FlusterCluster, "b").Probes, logins(r.t, admin)
		moreProbes(r.t, f.FlusterCluster, "b", 4)
		tries = logins(r.t, admin) - tries
		probes = status(r.t, f.FlusterCluster, "b").Probes - probes
		assert.LessOrEqual(r.t, tries, int(probes)+1, "one for each probe")
		r.stayedOut(f.FlusterCluster, "b")

		_, err = admin.Do("CONFIG", "SET", "requirepass", canary)
		require.NoError(r.t, err)
		healed := time.Now()
		waitLive(r.t, f.FlusterCluster, "b")
		r.back(healed, seldom.MaxWait+seldom.Timeout)
		l.goOn(r.t, 500)
		failed := r.ended(f, l, false)
		assert.LessOrEqual(r.t, most(failed), 1+again(r.slack()), "a caller failed more than once: %v", kinds(failed))
		r.onlyOut(f.FlusterCluster, "b")
		require.NoError(r.t, f.Close())
		if r.slack() < quick.Read {
			assert.Equal(r.t, 1, r.said.lines("WARN", "b"), "one line tells of it")
		}
		r.Remark = fmt.Sprintf("%d logins tried in %d probes", tries, probes)
	})
}

// logins returns how often a client tried a password.
func logins(t *testing.T, admin redis.Conn) (n int) {
	t.Helper()
	stats, err := redis.Bytes(admin.Do("INFO", "commandstats"))
	require.NoError(t, err)
	_, rest, _ := bytes.Cut(stats, []byte("cmdstat_auth:calls="))
	_, err = fmt.Sscan(string(bytes.SplitN(rest, []byte(","), 2)[0]), &n)
	require.NoError(t, err)
	return n
}

// A server that is full answers those who are there already.
func TestRow34AFullServerKeepsTheConnectionsThatItHas(t *testing.T) {
	eachBuilder(t, 34, "a server is full", "maxclients 12", func(r *trial, builder string) {
		f := r.fleet(2, builder, fluster.Config{Health: brisk}, "--maxclients", "12")
		require.NoError(r.t, f.WaitReady(r.t.Context()))
		key := keyOf(r.t, f.FlusterCluster, "a")
		pool, err := f.GetClient(key)
		require.NoError(r.t, err)
		blocked := make(chan error, 1)
		first := pool.Get()
		go func() {
			_, err := redis.DoWithTimeout(first, patient, "BLPOP", "queue", 0)
			blocked <- err
		}()
		var held []redis.Conn
		redistest.WaitFor(r.t, patient, func() bool {
			conn := pool.Get()
			r.Calls++
			if conn.Err() == nil {
				held = append(held, conn)
				return false
			}
			r.Lost++
			r.said.print(conn.Err())
			assert.True(r.t, fluster.SafeToRetry(conn.Err()))
			return !status(r.t, f.FlusterCluster, "a").Live
		}, "who wants a new connection is sent elsewhere")
		require.NotEmpty(r.t, held)
		for _, conn := range held[1:] {
			_, err := conn.Do("INCR", key)
			require.NoError(r.t, err)
		}
		_, err = f.Do(r.t.Context(), "INCR", key)
		require.NoError(r.t, err, "elsewhere")
		_, err = held[0].Do("RPUSH", "queue", "item")
		require.NoError(r.t, err)
		assert.NoError(r.t, <-blocked)
		for _, conn := range append(held, first) {
			require.NoError(r.t, conn.Close())
		}
		healed := time.Now()
		waitLive(r.t, f.FlusterCluster, "a")
		r.back(healed, brisk.MaxWait)
		for range 30 {
			_, err := do(f.FlusterCluster, key, "INCR")
			assert.NoError(r.t, err, "a connection that was refused is in the pool")
		}
		r.onlyOut(f.FlusterCluster, "a")
	})
}
