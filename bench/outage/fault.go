package main

import (
	"context"
	"fmt"
	"syscall"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

// fault is something that happens to one server, or to all.
type fault struct {
	name   string
	all    bool // it happens to every server
	last   time.Duration
	inject func(*redisserver.Server) error
	heal   func(context.Context, *redisserver.Server) error // nil if it ends by itself

	// forgets is set if the server loses its memory, so that nobody can tell
	// afterwards how often it counted.
	forgets bool
}

func kill(s *redisserver.Server) error { s.Kill(); return nil }

func restart(ctx context.Context, s *redisserver.Server) error { return s.Restart(ctx) }

func send(sig syscall.Signal) func(*redisserver.Server) error {
	return func(s *redisserver.Server) error { return s.Signal(sig) }
}

// tell sends a server a command, and does not wait for its reply longer than it must.
func tell(cmd string, args ...any) func(*redisserver.Server) error {
	return func(s *redisserver.Server) error {
		_, err := ask(s, cmd, args...)
		return err
	}
}

// start sends a server a command that will keep it busy.
func start(cmd string, args ...any) func(*redisserver.Server) error {
	return func(s *redisserver.Server) error {
		conn, err := dial(s)
		if err != nil {
			return err
		}
		if err := conn.Send(cmd, args...); err != nil {
			return err
		}
		if err := conn.Flush(); err != nil {
			return err
		}
		go func() {
			defer func() { _ = conn.Close() }()
			_, _ = conn.Receive() // an error is how a script that was killed ends
		}()
		return nil
	}
}

// after makes an inject of two.
func after(first, then func(*redisserver.Server) error) func(*redisserver.Server) error {
	return func(s *redisserver.Server) error {
		if err := first(s); err != nil {
			return err
		}
		return then(s)
	}
}

func dial(s *redisserver.Server) (redis.Conn, error) {
	return redis.Dial("tcp", s.Addr(), redis.DialConnectTimeout(time.Second), redis.DialReadTimeout(10*time.Second))
}

func ask(s *redisserver.Server, cmd string, args ...any) (any, error) {
	conn, err := dial(s)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	return conn.Do(cmd, args...)
}

func undo(cmd string, args ...any) func(context.Context, *redisserver.Server) error {
	return func(_ context.Context, s *redisserver.Server) error { return tell(cmd, args...)(s) }
}

// outage is how long what does not end by itself lasts.
const outage = 1500 * time.Millisecond

var faults = []fault{
	{name: "kill -9, restart", last: outage, inject: kill, heal: restart, forgets: true},
	{name: "SHUTDOWN, restart", last: outage, inject: shutdown, heal: restart, forgets: true},
	{name: "SIGSTOP, SIGCONT", last: outage, inject: send(syscall.SIGSTOP), heal: resume},
	{name: "all killed, restarted", all: true, last: outage, inject: kill, heal: restart, forgets: true},
	{name: "CLIENT PAUSE of 400 ms", last: 400 * time.Millisecond, inject: tell("CLIENT", "PAUSE", 400, "ALL")},
	{name: "CLIENT PAUSE WRITE", last: outage, inject: tell("CLIENT", "PAUSE", 60000, "WRITE"), heal: undo("CLIENT", "UNPAUSE")},
	{name: "a command of 400 ms", last: 400 * time.Millisecond, inject: start("DEBUG", "SLEEP", "0.4")},
	{name: "a script that does not end", last: outage, inject: after(tell("CONFIG", "SET", "busy-reply-threshold", 50), start("EVAL", "while true do end", 0)), heal: undo("SCRIPT", "KILL")},
	{name: "READONLY: it became a replica", last: outage, inject: tell("REPLICAOF", "127.0.0.1", 1), heal: undo("REPLICAOF", "NO", "ONE")},
	{name: "LOADING", last: outage, inject: reload},
	{name: "CLIENT KILL of all clients", last: 0, inject: tell("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")},
	{name: "OOM", last: outage, inject: tell("CONFIG", "SET", "maxmemory", 1), heal: undo("CONFIG", "SET", "maxmemory", 0)},
}

func resume(_ context.Context, s *redisserver.Server) error { return s.Signal(syscall.SIGCONT) }

// shutdown ends the server of its own will.
func shutdown(s *redisserver.Server) error {
	_, _ = ask(s, "SHUTDOWN", "NOSAVE") // there is no reply
	return nil
}

// reload makes the server load its keys again, slowly.
func reload(s *redisserver.Server) error {
	conn, err := dial(s)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	for i := range 1000 {
		if err := conn.Send("SET", fmt.Sprintf("ballast:%d", i), i); err != nil {
			return err
		}
	}
	if _, err := conn.Do(""); err != nil {
		return err
	}
	if _, err := conn.Do("CONFIG", "SET", "key-load-delay", 1500); err != nil {
		return err
	}
	if _, err := conn.Do("CONFIG", "SET", "loading-process-events-interval-bytes", 1024); err != nil {
		return err
	}
	return start("DEBUG", "RELOAD")(s)
}
