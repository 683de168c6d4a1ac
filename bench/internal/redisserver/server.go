// Package redisserver runs redis-server children on loopback ports for as long
// as a measurement lasts.
package redisserver

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

const (
	patience = 20 * time.Second // for one server to serve
	attempts = 10               // to find a port that nobody takes meanwhile

	// Below the range from which kernels take the source ports of connections.
	firstPort = 12000
	lastPort  = 32000
)

// Server is a running redis-server without persistence, or a proxy before some.
type Server struct {
	addr   string
	dir    string
	args   []string // the process's name first
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process is gone and waited for
	tls    *tls.Config   // of clients, or nil without TLS

	answers func(context.Context) error   // nil if it serves, and is this process
	used    func() (time.Duration, error) // processor time so far
	conn    redis.Conn                    // for used; nil before that was asked
}

// Addr returns the server's host and port.
func (s *Server) Addr() string { return s.addr }

// Dial returns a connection to the server whose replies may take so long. The
// caller closes it.
func (s *Server) Dial(ctx context.Context, timeout time.Duration) (redis.Conn, error) {
	return redis.DialContext(ctx, "tcp", s.addr, redis.DialReadTimeout(timeout),
		redis.DialUseTLS(s.tls != nil), redis.DialTLSConfig(s.tls))
}

// CPU returns the processor time that the server has used so far, in all of its
// threads. It is for one goroutine.
func (s *Server) CPU() (time.Duration, error) { return s.used() }

// Close kills the server, waits until it is gone, and removes its directory.
// Calling it again does nothing.
func (s *Server) Close() {
	s.Kill()
	_ = os.RemoveAll(s.dir)
	if s.conn != nil {
		s.conn.Close()
	}
}

// Start runs n servers on free loopback ports, with options as on their command
// line, and waits until they answer. The caller closes them. If it returns an error,
// none is left.
func Start(ctx context.Context, n int, options ...string) ([]*Server, error) {
	return start(ctx, n, nil, options)
}

// StartTLS is Start with servers that show cert and speak nothing but TLS. If it
// is nil, they speak none.
func StartTLS(ctx context.Context, n int, cert *Certificate) ([]*Server, error) {
	return start(ctx, n, cert, nil)
}

func start(ctx context.Context, n int, cert *Certificate, options []string) ([]*Server, error) {
	servers := make([]*Server, 0, n)
	for range n {
		s, err := startOne(ctx, func(port int) (*Server, error) { return launch(port, cert, options) })
		if err != nil {
			CloseAll(servers)
			return nil, fmt.Errorf("start redis-server: %w", err)
		}
		servers = append(servers, s)
	}
	return servers, nil
}

// CloseAll closes servers.
func CloseAll(servers []*Server) {
	for _, s := range servers {
		s.Close()
	}
}

// startOne tries one port after the other: between the look for a free port and
// its use, another process may take it.
func startOne(ctx context.Context, launch func(port int) (*Server, error)) (*Server, error) {
	var last error
	for range attempts {
		s, err := launch(firstPort + rand.IntN(lastPort-firstPort))
		if err != nil {
			return nil, err
		}
		if last = s.awaitReady(ctx); last == nil {
			return s, nil
		}
		s.Close()
		if ctx.Err() != nil {
			break
		}
	}
	return nil, last
}

// launch starts a redis-server that is to serve at port, with TLS if there is a
// certificate.
func launch(port int, cert *Certificate, options []string) (*Server, error) {
	s, err := newServer(port)
	if err != nil {
		return nil, err
	}
	s.answers, s.used, s.tls = s.redisAnswers, s.redisCPU, cert.Config()
	listen := []string{"--port", strconv.Itoa(port)}
	if cert != nil {
		listen = cert.options(strconv.Itoa(port))
	}
	return s, s.start("redis-server", slices.Concat([]string{
		"--bind", "127.0.0.1", "--dir", s.dir, "--logfile", s.log(),
		"--save", "", "--appendonly", "no", "--maxclients", "19000",
	}, listen, options)...)
}

// newServer returns one that is not running, with a directory of its own.
func newServer(port int) (*Server, error) {
	dir, err := os.MkdirTemp("", "bench-redis")
	if err != nil {
		return nil, err
	}
	return &Server{dir: dir, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(port))}, nil
}

// start starts the process. If that fails, the directory is gone.
func (s *Server) start(name string, args ...string) error {
	s.args = append([]string{name}, args...)
	if err := s.run(); err != nil {
		_ = os.RemoveAll(s.dir)
		return err
	}
	return nil
}

// run starts the process, once more if it has ended.
func (s *Server) run() error {
	s.cmd = exec.CommandContext(context.Background(), s.args[0], s.args[1:]...) // it lives until Close
	s.cmd.SysProcAttr = dieWithParent()
	if err := s.cmd.Start(); err != nil {
		return err
	}
	cmd, exited := s.cmd, make(chan struct{})
	s.exited = exited
	go func() {
		defer close(exited)
		_ = cmd.Wait() // how it ended is in its log
	}()
	return nil
}

// Kill ends the process as kill -9 does and waits until it is gone. What it held
// is lost; Restart brings it back, empty.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill() // an error means that it is gone
	<-s.exited
}

// Signal sends the process a signal, such as SIGSTOP.
func (s *Server) Signal(sig os.Signal) error { return s.cmd.Process.Signal(sig) }

// Restart runs the process again at the same address, after it has ended, and waits
// until it answers.
func (s *Server) Restart(ctx context.Context) error {
	<-s.exited
	if err := s.run(); err != nil {
		return err
	}
	return s.awaitReady(ctx)
}

func (s *Server) log() string { return filepath.Join(s.dir, "log") }

// awaitReady waits until the process serves, or has ended, or patience is over.
func (s *Server) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := s.answers(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-s.exited:
			return errors.Join(err, s.lastWords())
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx), s.lastWords())
		}
	}
}

// redisAnswers returns nil if the server answers, and is this one: another
// process may have the port.
func (s *Server) redisAnswers(ctx context.Context) error {
	conn, err := s.Dial(ctx, time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	info, err := redis.String(conn.Do("INFO", "server"))
	if err != nil {
		return err
	}
	if !strings.Contains(info, fmt.Sprintf("process_id:%d\r\n", s.cmd.Process.Pid)) {
		return fmt.Errorf("%s is served by another process", s.addr)
	}
	return nil
}

// lastWords returns the server's log as an error.
func (s *Server) lastWords() error {
	log, err := os.ReadFile(s.log())
	if err != nil {
		return err
	}
	return fmt.Errorf("its log: %s", log)
}

// redisCPU asks the server, which is exact to microseconds where /proc counts
// ticks.
func (s *Server) redisCPU() (time.Duration, error) {
	if s.conn == nil {
		conn, err := s.Dial(context.Background(), patience)
		if err != nil {
			return 0, err
		}
		s.conn = conn
	}
	info, err := redis.String(s.conn.Do("INFO", "cpu"))
	if err != nil {
		return 0, err
	}
	return parseCPU(info)
}

// parseCPU returns the sum of the two lines of INFO cpu that hold the server's
// own processor time, in seconds.
func parseCPU(info string) (time.Duration, error) {
	var sum time.Duration
	for _, name := range []string{"used_cpu_sys:", "used_cpu_user:"} {
		_, rest, found := strings.Cut(info, name)
		if !found {
			return 0, fmt.Errorf("INFO cpu has no %s", name)
		}
		seconds, _, _ := strings.Cut(rest, "\r\n")
		d, err := time.ParseDuration(seconds + "s")
		if err != nil {
			return 0, err
		}
		sum += d
	}
	return sum, nil
}
