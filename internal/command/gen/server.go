package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// child is a redis-server of our own, on a Unix socket in a directory of its own.
type child struct {
	cmd  *exec.Cmd
	dir  string
	addr string
}

// startServer runs redis-server and waits until it answers.
func startServer() (*child, error) {
	dir, err := os.MkdirTemp("", "gen")
	if err != nil {
		return nil, err
	}
	c := &child{dir: dir, addr: filepath.Join(dir, "s")}
	c.cmd = exec.CommandContext(context.Background(), "redis-server", "--port", "0", "--unixsocket", c.addr, "--dir", dir, "--save", "", "--appendonly", "no")
	if err := c.cmd.Start(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, err
	}
	for range 500 {
		if conn, err := dial(c.addr); err == nil {
			conn.Close()
			return c, nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	c.stop()
	return nil, fmt.Errorf("redis-server does not answer at %s", c.addr)
}

func (c *child) stop() {
	_ = c.cmd.Process.Kill()
	_ = c.cmd.Wait()
	_ = os.RemoveAll(c.dir)
}
