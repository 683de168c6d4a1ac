package main

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

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

// tell sends the server a command whose effect ends by itself.
func tell(cmd string, args ...any) func(context.Context, *redisserver.Server) (heal, error) {
	return func(_ context.Context, s *redisserver.Server) (heal, error) {
		_, err := ask(s, cmd, args...)
		return nil, err
	}
}

// undo is a heal that sends a command.
func undo(s *redisserver.Server, cmd string, args ...any) heal {
	return func(context.Context) error {
		_, err := ask(s, cmd, args...)
		return err
	}
}

// nothing shows what the machine does to calls by itself.
func nothing(context.Context, *redisserver.Server) (heal, error) { return nil, nil }

func kill(_ context.Context, s *redisserver.Server) (heal, error) {
	s.Kill()
	return s.Restart, nil
}

// shutdown ends the server of its own will.
func shutdown(_ context.Context, s *redisserver.Server) (heal, error) {
	_, _ = ask(s, "SHUTDOWN", "NOSAVE") // there is no reply
	return s.Restart, nil
}

func freeze(_ context.Context, s *redisserver.Server) (heal, error) {
	return func(context.Context) error { return s.Signal(syscall.SIGCONT) }, s.Signal(syscall.SIGSTOP)
}

func flap(ctx context.Context, s *redisserver.Server) (heal, error) {
	const half = 300 * time.Millisecond
	for range 6 {
		s.Kill()
		if err := sleep(ctx, half); err != nil {
			return nil, err
		}
		if err := s.Restart(ctx); err != nil {
			return nil, err
		}
		if err := sleep(ctx, half); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func demote(_ context.Context, s *redisserver.Server) (heal, error) {
	_, err := ask(s, "REPLICAOF", "127.0.0.1", 1)
	return undo(s, "REPLICAOF", "NO", "ONE"), err
}

// runScript keeps the server busy with a script that does not end.
func runScript(_ context.Context, s *redisserver.Server) (heal, error) {
	if _, err := ask(s, "CONFIG", "SET", "busy-reply-threshold", 50); err != nil {
		return nil, err
	}
	return undo(s, "SCRIPT", "KILL"), start(s, "EVAL", "while true do end", 0)
}

// start sends the server a command that keeps it busy.
func start(s *redisserver.Server, cmd string, args ...any) error {
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

// reload makes the server load its keys again, so slowly that it has to be healed. It
// looks at its clients between any two keys.
func reload(_ context.Context, s *redisserver.Server) (heal, error) {
	const enough = 1000
	conn, err := dial(s)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }()
	options := redis.Args{"SET", "rdbcompression", "no", "key-load-delay", 10_000, "loading-process-events-interval-bytes", 1024}
	if _, err := conn.Do("CONFIG", options...); err != nil {
		return nil, err
	}
	keys := redis.Args{}
	for i := range enough {
		keys = keys.Add(fmt.Sprintf("ballast:%d", i), strings.Repeat("x", 1024))
	}
	if _, err := conn.Do("MSET", keys...); err != nil {
		return nil, err
	}
	return undo(s, "CONFIG", "SET", "key-load-delay", 0), start(s, "DEBUG", "RELOAD")
}

// fill lets nobody in but the connection that is to end it, and throws out who is in.
func fill(_ context.Context, s *redisserver.Server) (heal, error) {
	conn, err := dial(s)
	if err != nil {
		return nil, err
	}
	empty := func(context.Context) error {
		defer func() { _ = conn.Close() }()
		_, err := conn.Do("CONFIG", "SET", "maxclients", 10_000)
		return err
	}
	if _, err := conn.Do("CONFIG", "SET", "maxclients", 1); err != nil {
		return empty, err
	}
	_, err = conn.Do("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	return empty, err
}
