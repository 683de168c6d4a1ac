package redistest_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

const within = 10 * time.Second

func TestAServerAnswersWhenStartReturns(t *testing.T) {
	s := redistest.Start(t)
	assert.Equal(t, "PONG", s.Do("PING"))
	assert.Equal(t, fmt.Sprintf("127.0.0.1:%d", s.Port()), s.Addr())
	assert.Equal(t, "redis://"+s.Addr(), s.URL())
	assert.Equal(t, "tcp", s.Network())
}

func TestAServerKeepsNothingOnDiskUnlessToldTo(t *testing.T) {
	for _, tc := range []struct {
		args []string
		kept any
	}{
		{nil, nil},
		{[]string{"--appendonly", "yes", "--appendfsync", "always"}, []byte("v")},
	} {
		s := redistest.Start(t, tc.args...)
		s.Do("SET", "k", "v")
		s.Kill()
		s.Restart()
		assert.Equal(t, tc.kept, s.Do("GET", "k"), "%v", tc.args)
	}
}

func TestOptionsWinOverTheDefaults(t *testing.T) {
	s := redistest.Start(t, "--save", "900 1", "--maxclients", "77")
	for name, want := range map[string]string{"save": "900 1", "maxclients": "77", "appendonly": "no"} {
		got, err := redis.StringMap(s.Do("CONFIG", "GET", name), nil)
		require.NoError(t, err)
		assert.Equal(t, want, got[name])
	}
}

func TestAKilledServerRefusesAndComesBackAtTheSameAddress(t *testing.T) {
	s := redistest.Start(t)
	addr, pid := s.Addr(), s.PID()
	for _, end := range []func(){s.Kill, s.Shutdown} {
		end()
		_, err := net.Dial("tcp", s.Addr())
		require.ErrorIs(t, err, syscall.ECONNREFUSED)
		s.Restart()
		assert.Equal(t, "PONG", s.Do("PING"))
	}
	assert.Equal(t, addr, s.Addr())
	assert.NotEqual(t, pid, s.PID())
}

func TestRestartReplacesAServerThatRuns(t *testing.T) {
	s := redistest.Start(t)
	s.Do("SET", "k", "v")
	s.Restart()
	assert.Nil(t, s.Do("GET", "k"))
}

func TestRestartIsNotDeceivedByAnotherServerOnItsPort(t *testing.T) {
	s := redistest.Start(t)
	s.Kill()
	squatter := redistest.StartUnix(t, "--port", strconv.Itoa(s.Port()))
	var wg sync.WaitGroup
	wg.Go(s.Restart)
	redistest.WaitFor(t, within, func() bool { return squatter.Executed("PING") > 1 }, "the squatter to be asked")
	squatter.Kill()
	wg.Wait()
	assert.Equal(t, strconv.Itoa(s.PID()), s.Info("server")["process_id"])
}

func TestAStoppedServerIsSilentAndExecutesLater(t *testing.T) {
	s := redistest.Start(t)
	pool := s.Pool(redistest.PoolOptions{Connect: within, Read: within})
	defer pool.Close()
	conn := pool.Get()
	defer conn.Close()
	_, err := conn.Do("PING")
	require.NoError(t, err)

	s.Stop()
	_, err = redis.DoWithTimeout(conn, hasty, "INCR", "n")
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
	s.Cont()
	redistest.WaitFor(t, within, func() bool { return s.Executed("INCR") == 1 }, "the INCR to be executed")
}

func TestAStoppedServerCanBeKilled(t *testing.T) {
	s := redistest.Start(t)
	s.Stop()
	s.Kill()
	_, err := s.Try("PING")
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestExecutedCountsCallsByName(t *testing.T) {
	s := redistest.Start(t)
	assert.Zero(t, s.Executed("incr"))
	for range 3 {
		s.Do("INCR", "n")
	}
	s.Do("CLIENT", "GETNAME")
	assert.Equal(t, 3, s.Executed("INCR"))
	assert.Equal(t, 1, s.Executed("client|getname"))
}

func TestAPasswordIsAskedForAndCanBeRotated(t *testing.T) {
	s := redistest.Start(t, "--requirepass", "first")
	assert.Equal(t, "redis://:first@"+s.Addr(), s.URL())
	conn, err := redis.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Do("PING")
	require.ErrorContains(t, err, "NOAUTH")

	s.SetPassword("second")
	assert.Equal(t, "PONG", s.Do("PING"))
	s.Restart()
	assert.Equal(t, "first", s.Password())
}

func TestAUnixSocketServesWithoutAPort(t *testing.T) {
	s := redistest.StartUnix(t)
	assert.Equal(t, "PONG", s.Do("PING"))
	assert.Zero(t, s.Port())
	assert.Equal(t, "unix://"+s.Addr(), s.URL())
	s.Restart()
	assert.Equal(t, "PONG", s.Do("PING"))
}

func TestManyServersStartAtOnce(t *testing.T) {
	var servers [8]*redistest.Server
	var wg sync.WaitGroup
	for i := range servers {
		wg.Go(func() { servers[i] = redistest.Start(t) })
	}
	wg.Wait()
	addrs := make(map[string]bool)
	for _, s := range servers {
		addrs[s.Addr()] = true
	}
	assert.Len(t, addrs, len(servers))
}

func TestAServerThatCannotStartEndsTheTestWithItsLog(t *testing.T) {
	r := record(t, func(t testing.TB) { redistest.Start(t, "--maxmemory", "plenty") })
	assert.Contains(t, r.fatal, "maxmemory")
}

func TestWithoutRedisServerTheTestEndsWithAWayToInstallIt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	r := record(t, func(t testing.TB) { redistest.Start(t) })
	assert.Contains(t, r.fatal, "make redis")
}

func TestTLSIsVerified(t *testing.T) {
	ca, stranger := redistest.NewCA(t), redistest.NewCA(t)
	for _, tc := range []struct {
		name   string
		cert   tls.Certificate
		config *tls.Config
		want   any
	}{
		{"good", ca.Server(), ca.Config(), nil},
		{"expired", ca.Expired(), ca.Config(), new(x509.CertificateInvalidError)},
		{"wrong host", ca.WrongHost(), ca.Config(), new(x509.HostnameError)},
		{"other authority", ca.Server(), stranger.Config(), new(x509.UnknownAuthorityError)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := redistest.StartTLS(t, ca, tc.cert)
			assert.Equal(t, "rediss://"+s.Addr(), s.URL())
			conn, err := tls.Dial("tcp", s.Addr(), tc.config)
			if tc.want != nil {
				require.ErrorAs(t, err, tc.want)
				return
			}
			require.NoError(t, err)
			require.NoError(t, conn.Close())
		})
	}
}

func TestTLSMayDemandAClientCertificate(t *testing.T) {
	ca := redistest.NewCA(t)
	s := redistest.StartTLS(t, ca, ca.Server(), "--tls-auth-clients", "yes")
	ping := func(config *tls.Config) error {
		conn, err := redis.Dial("tcp", s.Addr(), redis.DialUseTLS(true), redis.DialTLSConfig(config))
		if err != nil {
			return err
		}
		defer conn.Close()
		_, err = conn.Do("PING")
		return err
	}
	require.NoError(t, ping(ca.Config(ca.Client())))
	require.Error(t, ping(ca.Config()))
	require.Error(t, ping(ca.Config(redistest.NewCA(t).Client())))
}

func TestServersLeaveNothingBehind(t *testing.T) {
	redistest.NoLeaks(t)
	fds := redistest.OpenFDs()
	var dir string
	t.Run("a test with a server", func(t *testing.T) {
		s := redistest.StartUnix(t)
		dir, _, _ = strings.Cut(s.Addr(), "/s")
		s.Kill()
		s.Restart()
	})
	assert.NoDirExists(t, dir)
	if fds >= 0 {
		redistest.WaitFor(t, within, func() bool { return redistest.OpenFDs() <= fds }, "descriptors to be closed")
	}
}

func TestOpenFDsCountsWhatIsOpened(t *testing.T) {
	before := redistest.OpenFDs()
	if before < 0 {
		t.Skip("this system does not list descriptors")
	}
	f, err := os.Open(os.DevNull)
	require.NoError(t, err)
	assert.Equal(t, before+1, redistest.OpenFDs())
	require.NoError(t, f.Close())
	assert.Equal(t, before, redistest.OpenFDs())
}

func TestWaitForGivesUpWithAReason(t *testing.T) {
	calls := 0
	redistest.WaitFor(t, within, func() bool { calls++; return calls == 3 }, "the third call")
	assert.Equal(t, 3, calls)
	r := record(t, func(t testing.TB) {
		redistest.WaitFor(t, time.Millisecond, func() bool { return false }, "node %d", 7)
	})
	assert.Contains(t, r.fatal, "node 7")
}

func TestNoLeaksNoticesAGoroutineThatStays(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	r := record(t, func(t testing.TB) {
		redistest.NoLeaks(t)
		go func() { <-stop }()
	})
	assert.Contains(t, r.errors, "found unexpected goroutines")
}

// recorder is a test inside a test: what it says is kept, not reported.
type recorder struct {
	testing.TB
	fatal, errors string
	cleanups      []func()
}

// record runs a test function to its end, cleanups included.
func record(t testing.TB, test func(testing.TB)) *recorder {
	r := &recorder{TB: t}
	var wg sync.WaitGroup
	wg.Go(func() { test(r) })
	wg.Wait()
	for _, cleanup := range slices.Backward(r.cleanups) {
		cleanup()
	}
	return r
}

func (r *recorder) Failed() bool                    { return r.fatal != "" || r.errors != "" }
func (r *recorder) Cleanup(f func())                { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Error(args ...any)               { r.errors += fmt.Sprint(args...) }
func (r *recorder) Errorf(format string, a ...any)  { r.errors += fmt.Sprintf(format, a...) }
func (r *recorder) Fatal(args ...any)               { r.end(fmt.Sprint(args...)) }
func (r *recorder) Fatalf(format string, a ...any)  { r.end(fmt.Sprintf(format, a...)) }
func (r *recorder) Logf(format string, args ...any) {}

func (r *recorder) end(text string) {
	r.fatal = text
	runtime.Goexit()
}
