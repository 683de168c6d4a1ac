package node_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/internal/redistest"
)

// replyRow is an error reply that a real server gives to a connection in use.
type replyRow struct {
	args  []string                                // of the server
	upset func(t *testing.T, s *redistest.Server) // brings the server into its state, once the connection is open
	on    [][]any                                 // commands before the one that fails
	cmd   []any
	want  replyFate
}

type replyFate struct {
	code        string
	class       health.Class // Alive: no evidence
	write, drop bool
	safe        bool
}

func set(name string, value any) func(*testing.T, *redistest.Server) {
	return func(_ *testing.T, s *redistest.Server) { s.Do("CONFIG", "SET", name, value) }
}

var write = []any{"SET", "k", "v"}

var replyRows = map[string]replyRow{
	"another type":     {on: [][]any{{"RPUSH", "l", "x"}}, cmd: []any{"INCR", "l"}, want: replyFate{code: "WRONGTYPE", class: health.Alive}},
	"unknown command":  {cmd: []any{"NONESUCH", "k"}, want: replyFate{code: "ERR", class: health.Alive}},
	"bad syntax":       {cmd: []any{"SET", "k", "v", "NONESUCH"}, want: replyFate{code: "ERR", class: health.Alive}},
	"unknown script":   {cmd: []any{"EVALSHA", strings.Repeat("0", 40), 0}, want: replyFate{code: "NOSCRIPT", class: health.Alive}},
	"script error":     {cmd: []any{"EVAL", "error('x')", 0}, want: replyFate{code: "ERR", class: health.Alive}},
	"aborted MULTI":    {on: [][]any{{"MULTI"}, {"NONESUCH"}}, cmd: []any{"EXEC"}, want: replyFate{code: "EXECABORT", class: health.Alive}},
	"not permitted":    {upset: forbidSet, on: [][]any{{"AUTH", "bob", "secret"}}, cmd: write, want: replyFate{code: "NOPERM", class: health.Alive}},
	"out of memory":    {upset: set("maxmemory", 1), cmd: write, want: replyFate{code: "OOM", class: health.Alive, safe: true}},
	"too few replicas": {upset: set("min-replicas-to-write", 1), cmd: write, want: replyFate{code: "NOREPLICAS", class: health.Alive, safe: true}},
	"logged out": {
		args: []string{"--requirepass", "secret"}, on: [][]any{{"RESET"}}, cmd: write,
		want: replyFate{code: "NOAUTH", class: health.Misconfigured, drop: true, safe: true},
	},
	"replica": {
		upset: becomeReplica, cmd: write,
		want: replyFate{code: "READONLY", class: health.Refusing, write: true, drop: true, safe: true},
	},
	"replica without its master": {
		args: []string{"--replica-serve-stale-data", "no"}, upset: becomeReplica, cmd: []any{"GET", "k"},
		want: replyFate{code: "MASTERDOWN", class: health.Refusing, safe: true},
	},
	"failing saves": {
		args: []string{"--save", "3600 1", "--enable-protected-configs", "yes"}, upset: failToSave, cmd: write,
		want: replyFate{code: "MISCONF", class: health.Refusing, safe: true},
	},
	"running script": {
		args: []string{"--busy-reply-threshold", "20"}, upset: runForEver, cmd: []any{"GET", "k"},
		want: replyFate{code: "BUSY", class: health.Refusing, safe: true},
	},
	"loading": {
		args:  []string{"--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024"},
		upset: loadForLong, cmd: []any{"GET", "k"},
		want: replyFate{code: "LOADING", class: health.Refusing, safe: true},
	},
	"cluster that is down": {
		args: []string{"--cluster-enabled", "yes"}, cmd: write,
		want: replyFate{code: "CLUSTERDOWN", class: health.Misconfigured, safe: true},
	},
}

func forbidSet(_ *testing.T, s *redistest.Server) {
	s.Do("ACL", "SETUSER", "bob", "on", ">secret", "~*", "+@all", "-set")
}

func becomeReplica(_ *testing.T, s *redistest.Server) { s.Do("REPLICAOF", "127.0.0.1", 1) }

// failToSave puts a directory where the server writes its dump.
func failToSave(t *testing.T, s *redistest.Server) {
	dir, err := redis.Strings(s.Do("CONFIG", "GET", "dir"), nil)
	require.NoError(t, err)
	require.NoError(t, os.MkdirAll(filepath.Join(dir[1], "taken", "by"), 0o700))
	s.Do("CONFIG", "SET", "dbfilename", "taken")
	s.Do("SET", "k", "v")
	s.Do("BGSAVE")
	redistest.WaitFor(t, ample, func() bool { return s.Info("persistence")["rdb_last_bgsave_status"] == "err" }, "the save fails")
}

func runForEver(t *testing.T, s *redistest.Server) {
	runInBackground(t, s, "EVAL", "while true do end", 0)
}

// loadForLong makes the server load so many keys so slowly that it does so until
// it is killed.
func loadForLong(t *testing.T, s *redistest.Server) {
	s.Do("EVAL", "for i=1,3000 do redis.call('SET', 'key:'..i, string.rep('x', 100)) end", 0)
	s.Do("CONFIG", "SET", "key-load-delay", 10000)
	runInBackground(t, s, "DEBUG", "RELOAD")
}

// runInBackground runs a command that does not end before the server does.
func runInBackground(t *testing.T, s *redistest.Server, cmd string, args ...any) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = s.Try(cmd, args...)
	}()
	t.Cleanup(func() { s.Kill(); <-done })
}

func TestEachErrorReplyOfARealServerIsJudged(t *testing.T) {
	for name, row := range replyRows {
		t.Run(name, func(t *testing.T) {
			s := redistest.Start(t, row.args...)
			const unhurried = "?dial_timeout=30s&read_timeout=30s&write_timeout=30s" // a busy machine may be late
			pools := map[string]*redis.Pool{"own pool": parsed(t, s.URL()+unhurried).NewPool(), "user's pool": usersPool(t, s.URL())}
			recorders := make(map[string]*recorder)
			conns := make(map[string]redis.Conn)
			for kind, pool := range pools {
				_, recorders[kind] = over(t, pool)
				conns[kind] = pool.Get()
				require.NoError(t, conns[kind].Err())
			}
			if row.upset != nil {
				row.upset(t, s)
			}
			for kind, pool := range pools {
				t.Run(kind, func(t *testing.T) {
					assertReply(t, pool, recorders[kind], conns[kind], row)
				})
			}
		})
	}
}

// assertReply runs the row's commands on c, which is pool's only connection, and
// holds what comes of them against what the row wants.
func assertReply(t *testing.T, pool *redis.Pool, r *recorder, c redis.Conn, row replyRow) {
	t.Helper()
	for _, cmd := range row.on {
		_, _ = c.Do(cmd[0].(string), cmd[1:]...)
	}
	var err error
	redistest.WaitFor(t, ample, func() bool {
		_, err = c.Do(row.cmd[0].(string), row.cmd[1:]...)
		return err != nil
	}, "the server says no to %v", row.cmd)

	require.IsType(t, redis.Error(""), err, "an error reply stays what it is")
	code, _, _ := strings.Cut(err.Error(), " ")
	assert.Equal(t, row.want.code, code)
	assertFate(t, err, row.want.safe, false)
	if row.want.class == health.Alive {
		assert.Empty(t, r.all())
	} else {
		require.Len(t, r.all(), 1)
		ev := r.all()[0]
		assert.Equal(t, row.want.class, ev.Class)
		assert.Equal(t, row.want.write, ev.Write)
		assert.True(t, ev.Verify, "a script could have said it")
		assert.Equal(t, err, ev.Cause)
	}
	assert.Equal(t, row.want.drop, c.Err() != nil, "%v", c.Err())
	_ = c.Close()
	if row.want.drop {
		assert.Zero(t, pool.ActiveCount(), "the pool keeps it")
	} else {
		assert.Equal(t, 1, pool.IdleCount(), "the pool drops it")
	}
}

// Replies that no single server on this machine gives to a connection in use
// come from a fake one.
func TestRarerErrorRepliesAreJudged(t *testing.T) {
	for text, want := range map[string]replyFate{
		"MOVED 866 127.0.0.1:7001": {class: health.Misconfigured, safe: true},
		"ASK 866 127.0.0.1:7001":   {class: health.Misconfigured, safe: true},
		"WRONGPASS invalid username-password pair or user is disabled.": {class: health.Misconfigured, drop: true, safe: true},
		"DENIED Redis is running in protected mode":                     {class: health.Misconfigured, drop: true, safe: true},
		"ERR max number of clients reached":                             {class: health.Soft, drop: true, safe: true},
		"ERR max number of retries reached":                             {class: health.Alive},
		"NOTBUSY No scripts in execution right now.":                    {class: health.Alive},
		"BUSYKEY Target key name already exists.":                       {class: health.Alive},
		"BUSYGROUP Consumer Group name already exists":                  {class: health.Alive},
		"OOMPH": {class: health.Alive},
		"":      {class: health.Alive},
	} {
		t.Run(text, func(t *testing.T) {
			want.code, _, _ = strings.Cut(text, " ")
			f := redistest.NewFake(t)
			eachPool(t, "redis://"+f.Addr(), func(t *testing.T, pool *redis.Pool, _ bool) {
				f.Resume()
				_, r := over(t, pool)
				c := pool.Get()
				require.NoError(t, c.Err())
				f.Fail(text)
				assertReply(t, pool, r, c, replyRow{cmd: write, want: want})
			})
		})
	}
}

func TestAnErrorOfNobodyIsNeitherSafeNorExecuted(t *testing.T) {
	for _, err := range []error{nil, redis.ErrNil, os.ErrNotExist} {
		assert.False(t, node.SafeToRetry(err), "%v", err)
		assert.False(t, node.MaybeExecuted(err), "%v", err)
	}
	assert.True(t, node.SafeToRetry(node.ErrClosed))
}
