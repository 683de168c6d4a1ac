package router

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"strings"
	"sync"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
)

// maxScripts bounds how many scripts are remembered.
const maxScripts = 1000

// scripts remembers the scripts that were loaded through the cluster, so that a
// node that lacks one, having been restarted, can be given it. Its zero value is
// empty. It is safe for concurrent use.
type scripts struct {
	mu     sync.Mutex
	bySHA1 map[string]string // source
}

// see remembers the script of a SCRIPT LOAD, and forgets all at a SCRIPT FLUSH.
func (s *scripts) see(c *call) {
	switch c.name() {
	case "SCRIPT LOAD":
		s.remember(command.Text(c.args[len(c.args)-1]))
	case "SCRIPT FLUSH":
		s.mu.Lock()
		s.bySHA1 = nil
		s.mu.Unlock()
	}
}

func (s *scripts) remember(source string) {
	sum := sha1.Sum([]byte(source))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bySHA1 == nil || len(s.bySHA1) >= maxScripts {
		s.bySHA1 = make(map[string]string)
	}
	s.bySHA1[hex.EncodeToString(sum[:])] = source
}

// lacks reports that a node has not got the script that it was to run.
func (s *scripts) lacks(cmd string, err error) bool {
	reply, ok := err.(redis.Error) //nolint:errorlint // a bare reply or none
	return ok && strings.HasPrefix(string(reply), "NOSCRIPT ") && len(cmd) >= len("EVALSHA") && strings.EqualFold(cmd[:len("EVALSHA")], "EVALSHA")
}

// source returns the script that a call of EVALSHA is to run, if it is known.
func (s *scripts) source(args []any) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	source, known := s.bySHA1[strings.ToLower(command.Text(args[0]))]
	return source, known
}

// reload gives the node the script, if it is known, and runs the call again. It
// did not run, if the node has no such script: else it was the script itself that
// said so.
func (s *scripts) reload(ctx context.Context, conn redis.Conn, cmd string, args []any, err error) (any, error) {
	source, known := s.source(args)
	if !known {
		return nil, err
	}
	has, herr := redis.Ints(redis.DoContext(conn, ctx, "SCRIPT", "EXISTS", args[0]))
	if herr != nil || len(has) != 1 || has[0] != 0 {
		return nil, err
	}
	if _, err := redis.DoContext(conn, ctx, "SCRIPT", "LOAD", source); err != nil {
		return nil, err
	}
	return redis.DoContext(conn, ctx, cmd, args...)
}

// loaded is a script that goes to a node with the next Flush.
type loaded struct {
	node   int
	source string
}

// load sends the script of an EVALSHA in front of it, if it is known: in a pipeline
// it cannot be run again in its turn. The caller holds c.mu.
func (c *Conn) load(k *call, n int) {
	if k.info.Name != "EVALSHA" && k.info.Name != "EVALSHA_RO" {
		return
	}
	source, known := c.router.scripts.source(k.args)
	script := loaded{n, source}
	if !known || slices.Contains(c.loaded, script) {
		return
	}
	c.loaded = append(c.loaded, script)
	c.unsent = append(c.unsent, unsent{n, task{cmd: "SCRIPT", args: []any{"LOAD", source}}})
}
