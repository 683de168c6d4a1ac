package main

import (
	"context"
	"fmt"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// server is a Redis server inside this process that can be killed and brought
// back. It keeps its data meanwhile, as a server with an append-only file does.
type server struct {
	name  string
	addr  string // stays the same for the server's whole life
	redis *miniredis.Miniredis
}

func startServers(names ...string) ([]*server, error) {
	var servers []*server
	for _, name := range names {
		m := miniredis.NewMiniRedis()
		if err := m.StartAddr("127.0.0.1:0"); err != nil {
			stopServers(servers)
			return nil, fmt.Errorf("starting embedded server %s: %w", name, err)
		}
		servers = append(servers, &server{name: name, addr: m.Addr(), redis: m})
	}
	return servers, nil
}

func stopServers(servers []*server) {
	for _, s := range servers {
		s.kill()
	}
}

// urlsOf returns the servers' URLs. The name in them is what decides which keys
// a server gets: the address is another one in each run, the names are not.
func urlsOf(servers []*server) []string {
	urls := make([]string, len(servers))
	for i, s := range servers {
		urls[i] = fmt.Sprintf("redis://%s?name=%s", s.addr, s.name)
	}
	return urls
}

// kill closes the listener and every connection, whatever is under way on them.
// Killing a dead server does nothing.
func (s *server) kill() { s.redis.Close() }

// restart lets the server listen again at its address. It tries for a while,
// should another program have the port just then.
func (s *server) restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	for {
		err := s.redis.Restart()
		if err == nil {
			return nil
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			return fmt.Errorf("restarting embedded server %s at %s: %w", s.name, s.addr, err)
		}
	}
}

// pause waits for d, or until ctx ends, and returns why ctx did.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
