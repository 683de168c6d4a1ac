package redistest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for a server child. It is far more than one needs.
const patience = 30 * time.Second

// errPortTaken is a start that failed because someone else has the port.
var errPortTaken = errors.New("redistest: port taken")

// Server is a redis-server child of the test. It is killed, and its directory
// removed, when the test ends; its log is shown if the test failed.
//
// Its methods may be called from any goroutine, except those that say that they
// end the test on an error: those belong to the test's own goroutine.
type Server struct {
	// immutable after start

	t       testing.TB
	dir     string
	args    []string
	network string // tcp or unix
	addr    string
	port    int
	tls     *tls.Config // nil: no TLS

	// life serializes Kill, Shutdown, Restart, Stop and Cont.
	life sync.Mutex

	mu       sync.Mutex // guards the following
	proc     *os.Process
	exited   chan struct{} // closed when proc is gone and waited for
	password string
}

// Start runs a redis-server on a free loopback port, with a directory of its
// own and without persistence, and waits until it answers PING. args are
// options as on its command line, such as "--requirepass", "secret", and come
// after the defaults, so that they win.
//
// It ends the test if redis-server is missing or does not start.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	s := newServer(t, "tcp", args)
	s.startOnFreePort(func(port string) []string { return []string{"--port", port} })
	return s
}

// StartUnix is Start on a Unix socket, without a port. Addr is the socket's
// path and Port is 0.
func StartUnix(t testing.TB, args ...string) *Server {
	t.Helper()
	s := newServer(t, "unix", args)
	s.addr = filepath.Join(s.dir, "s")
	s.args = append([]string{"--port", "0", "--unixsocket", s.addr}, s.args...)
	if err := s.launch(); err != nil {
		t.Fatal(err)
	}
	return s
}

// StartTLS is Start with TLS on the port and nothing without. The server shows
// cert, trusts ca, and asks clients for no certificate; the option
// "--tls-auth-clients", "yes" makes it insist on one.
func StartTLS(t testing.TB, ca *CA, cert tls.Certificate, args ...string) *Server {
	t.Helper()
	s := newServer(t, "tcp", args)
	s.tls = ca.adminConfig()
	s.args = append(writeKeys(t, s.dir, ca, cert), s.args...)
	s.startOnFreePort(func(port string) []string { return []string{"--port", "0", "--tls-port", port} })
	return s
}

// newServer makes what is common to all servers: a directory, whose path is
// short because that of a Unix socket must be, and the cleanup.
func newServer(t testing.TB, network string, args []string) *Server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		t.Fatal("redis-server is not on PATH: `make redis` installs it with the system's package manager")
	}
	dir, err := os.MkdirTemp("", "redis") //nolint:usetesting // t.TempDir holds the test's name: too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: dir, network: network, args: slices.Concat(defaults, args), password: option(args, "--requirepass")}
	t.Cleanup(s.cleanup)
	return s
}

// defaults are the options that all servers begin with; a later option wins.
var defaults = []string{"--bind", "127.0.0.1", "--save", "", "--appendonly", "no"}

// option returns the last value of a command line option, or "".
func option(args []string, name string) string {
	for i := len(args) - 2; i >= 0; i-- {
		if args[i] == name {
			return args[i+1]
		}
	}
	return ""
}

// startOnFreePort launches the server on one port after the other until it gets
// one: between the look for a free port and its use, one who claims none may take it.
func (s *Server) startOnFreePort(listen func(port string) []string) {
	s.t.Helper()
	common := s.args
	for range 10 {
		port, err := claimPort(s.t)
		if err != nil {
			s.t.Fatal(err)
		}
		s.port, s.addr = port, loopback(port)
		s.args = append(listen(strconv.Itoa(port)), common...)
		if err = s.launch(); err == nil {
			return
		}
		if !errors.Is(err, errPortTaken) {
			s.t.Fatal(err)
		}
	}
	s.t.Fatal("redis-server found ten ports in a row taken")
}

// launch starts a process and waits until it serves. If it returns an error no
// process is left.
func (s *Server) launch() error {
	log, err := os.OpenFile(s.logPath(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	info, err := log.Stat()
	if err != nil {
		return err
	}
	cmd := exec.Command("redis-server", append([]string{"--dir", s.dir}, s.args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = dieWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("redistest: start redis-server: %w", err)
	}
	s.adopt(cmd)
	return s.awaitReady(info.Size())
}

// adopt makes cmd the server's process and waits for its end.
func (s *Server) adopt(cmd *exec.Cmd) {
	exited := make(chan struct{})
	s.mu.Lock()
	s.proc, s.exited = cmd.Process, exited
	s.mu.Unlock()
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
}

// awaitReady waits until the process answers, or kills it and says what it
// wrote from logStart on.
func (s *Server) awaitReady(logStart int64) error {
	var err error
	ready := poll(patience, func() bool {
		err = s.ready()
		return err == nil || !s.running()
	})
	if ready && err == nil {
		return nil
	}
	s.kill()
	log := s.logFrom(logStart)
	if bytes.Contains(log, []byte("Address already in use")) {
		return errPortTaken
	}
	return fmt.Errorf("redistest: redis-server does not serve: %w; its log:\n%s", err, log)
}

// ready returns nil if the server answers, and is ours: when another process
// took the port, that one may well answer.
func (s *Server) ready() error {
	if _, err := s.Try("PING"); err != nil {
		return err
	}
	info, err := s.info("server")
	if err != nil {
		return err
	}
	proc, _ := s.process()
	if pid := info["process_id"]; pid != strconv.Itoa(proc.Pid) {
		return fmt.Errorf("%s is served by process %s: %w", s.addr, pid, errPortTaken)
	}
	return nil
}

func (s *Server) process() (*os.Process, chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.proc, s.exited
}

func (s *Server) running() bool {
	proc, exited := s.process()
	if proc == nil {
		return false
	}
	select {
	case <-exited:
		return false
	default:
		return true
	}
}

func (s *Server) logPath() string { return filepath.Join(s.dir, "server.log") }

// logFrom returns what the server wrote from an offset on.
func (s *Server) logFrom(offset int64) []byte {
	log, err := os.ReadFile(s.logPath())
	if err != nil {
		return []byte(err.Error())
	}
	return log[min(offset, int64(len(log))):]
}

func (s *Server) cleanup() {
	s.kill()
	if s.t.Failed() {
		s.t.Logf("log of redis-server %s:\n%s", s.addr, s.logFrom(0))
	}
	if err := os.RemoveAll(s.dir); err != nil {
		s.t.Errorf("remove the server's directory: %v", err)
	}
}

// kill ends the process, stopped or not, and waits for it.
func (s *Server) kill() {
	proc, exited := s.process()
	if proc == nil {
		return
	}
	_ = proc.Kill() // an error means that it is gone
	<-exited
}

// Kill ends the server with SIGKILL and waits until it is gone. It does nothing
// if it is gone already.
func (s *Server) Kill() {
	s.life.Lock()
	defer s.life.Unlock()
	s.kill()
}

// Shutdown ends the server with SHUTDOWN NOSAVE and waits until it is gone.
func (s *Server) Shutdown() {
	s.t.Helper()
	s.life.Lock()
	defer s.life.Unlock()
	_, _ = s.Try("SHUTDOWN", "NOSAVE") // it answers by closing the connection
	if !poll(patience, func() bool { return !s.running() }) {
		s.t.Errorf("%s is still there after SHUTDOWN", s.addr)
	}
}

// Restart runs the server again at the same address, in the same directory and
// with the same options, after killing it if it still runs. Without
// persistence it is empty then.
func (s *Server) Restart() {
	s.t.Helper()
	s.life.Lock()
	defer s.life.Unlock()
	s.kill()
	s.mu.Lock()
	s.password = option(s.args, "--requirepass")
	s.mu.Unlock()
	var err error
	poll(patience, func() bool {
		err = s.launch()
		return !errors.Is(err, errPortTaken)
	})
	if err != nil {
		s.t.Errorf("restart: %v", err)
	}
}
