package redistest

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Addr returns host:port, or the path of the Unix socket. It stays the same for
// the server's whole life.
func (s *Server) Addr() string { return s.addr }

// Port returns the TCP port, or 0 on a Unix socket.
func (s *Server) Port() int { return s.port }

// Network returns "tcp" or "unix".
func (s *Server) Network() string { return s.network }

// PID returns the process id of the server that runs now, or that ran last.
func (s *Server) PID() int {
	proc, _ := s.process()
	return proc.Pid
}

// URL returns the server's address as a redis://, rediss:// or unix:// URL,
// with the password if it has one.
func (s *Server) URL() string {
	u := url.URL{Scheme: "redis", Host: s.addr}
	switch {
	case s.network == "unix":
		u = url.URL{Scheme: "unix", Path: s.addr}
	case s.tls != nil:
		u.Scheme = "rediss"
	}
	if p := s.Password(); p != "" {
		u.User = url.UserPassword("", p)
	}
	return u.String()
}

// Password returns the password that the server asks for, "" if none.
func (s *Server) Password() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.password
}

// SetPassword changes the password that the running server asks for. Connections
// that are open stay authenticated; Restart brings back that of the options. It
// ends the test on an error.
func (s *Server) SetPassword(password string) {
	s.t.Helper()
	s.Do("CONFIG", "SET", "requirepass", password)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.password = password
}

// Try runs a command on a connection of its own, which the server counts like
// any other, and returns what redigo does. It gives up after some seconds.
func (s *Server) Try(cmd string, args ...any) (any, error) {
	const limit = 10 * time.Second
	conn, err := s.dial(context.Background(), PoolOptions{Connect: limit, Read: limit, Write: limit})
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	return conn.Do(cmd, args...)
}

// Do is Try, but ends the test on an error.
func (s *Server) Do(cmd string, args ...any) any {
	s.t.Helper()
	reply, err := s.Try(cmd, args...)
	if err != nil {
		s.t.Fatalf("%s to %s: %v", cmd, s.addr, err)
	}
	return reply
}

// dial connects as a user's own code would, with the credentials in force.
func (s *Server) dial(ctx context.Context, o PoolOptions) (redis.Conn, error) {
	options := append(o.dialOptions(), redis.DialPassword(s.Password()))
	if s.tls != nil {
		options = append(options, redis.DialUseTLS(true), redis.DialTLSConfig(s.tls))
	}
	return redis.DialContext(ctx, s.network, s.addr, options...)
}

// Pool returns a pool as a user would build it, by redigo's own dialer. Over
// TLS it does not verify the server; a test of that builds its own. Whoever
// uses the pool closes it.
func (s *Server) Pool(o PoolOptions) *redis.Pool { return o.pool(s.dial) }

// Info returns one section of the server's INFO, field by field. It ends the
// test on an error.
func (s *Server) Info(section string) map[string]string {
	s.t.Helper()
	info, err := s.info(section)
	if err != nil {
		s.t.Fatalf("INFO %s of %s: %v", section, s.addr, err)
	}
	return info
}

func (s *Server) info(section string) (map[string]string, error) {
	text, err := redis.String(s.Try("INFO", section))
	if err != nil {
		return nil, err
	}
	fields := make(map[string]string)
	for line := range strings.SplitSeq(text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = value
		}
	}
	return fields, nil
}

// Executed returns how often the server has executed a command since it started
// or since CONFIG RESETSTAT, failures included, refusals not. Subcommands are
// named as in "client|setname"; case does not matter. It ends the test on an
// error.
func (s *Server) Executed(cmd string) int {
	s.t.Helper()
	stat, ok := s.Info("commandstats")["cmdstat_"+strings.ToLower(cmd)]
	if !ok {
		return 0
	}
	first, _, _ := strings.Cut(stat, ",")
	calls, err := strconv.Atoi(strings.TrimPrefix(first, "calls="))
	if err != nil {
		s.t.Fatal(fmt.Errorf("commandstats of %s: %w", cmd, err))
	}
	return calls
}
