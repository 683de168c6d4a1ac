package router

import (
	"container/list"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"slices"
	"strings"
	"sync"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// What is remembered of scripts at most: so many, and so many bytes. The one that was
// not used for longest goes first.
const (
	maxScripts     = 1000
	maxScriptBytes = 8 << 20
)

// scripts remembers the scripts that were loaded through the cluster, so that a
// node that lacks one, having been restarted, can be given it. Its zero value is
// empty. It is safe for concurrent use.
type scripts struct {
	mu     sync.Mutex
	bySHA1 map[string]*list.Element // of order
	order  list.List                // of script, the one that was used last first
	bytes  int                      // of their sources
}

type script struct{ sha1, source string }

// see remembers the script of a SCRIPT LOAD, and forgets all at a SCRIPT FLUSH, if
// that is what some node has done.
func (s *scripts) see(c *call, replies []command.Reply) {
	if c.info.Route != command.FanOut || !slices.ContainsFunc(replies, func(r command.Reply) bool { return r.Err == nil }) {
		return
	}
	switch c.name() {
	case "SCRIPT LOAD":
		s.remember(command.Text(c.args[len(c.args)-1]))
	case "SCRIPT FLUSH":
		s.forget()
	}
}

func (s *scripts) remember(source string) {
	sum := sha1.Sum([]byte(source))
	name := hex.EncodeToString(sum[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.bySHA1[name]; known != nil {
		s.order.MoveToFront(known)
		return
	}
	if s.bySHA1 == nil {
		s.bySHA1 = make(map[string]*list.Element)
	}
	s.bySHA1[name] = s.order.PushFront(script{name, source})
	s.bytes += len(source)
	for len(s.bySHA1) > maxScripts || s.bytes > maxScriptBytes {
		oldest := s.order.Remove(s.order.Back()).(script)
		delete(s.bySHA1, oldest.sha1)
		s.bytes -= len(oldest.source)
	}
}

func (s *scripts) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bySHA1, s.bytes = nil, 0
	s.order.Init()
}

// lacks reports that a node has not got the script that it was to run.
func (s *scripts) lacks(cmd string, err error) bool {
	reply, ok := err.(redis.Error) //nolint:errorlint // a bare reply or none
	return ok && strings.HasPrefix(string(reply), "NOSCRIPT ") && len(cmd) >= len("EVALSHA") && strings.EqualFold(cmd[:len("EVALSHA")], "EVALSHA")
}

// source returns the script that a call of EVALSHA is to run, if it is known.
func (s *scripts) source(args []any) (string, bool) {
	name := strings.ToLower(command.Text(args[0]))
	s.mu.Lock()
	defer s.mu.Unlock()
	known := s.bySHA1[name]
	if known == nil {
		return "", false
	}
	s.order.MoveToFront(known)
	return known.Value.(script).source, true
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
		return nil, node.Unsent(err)
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

// result is what Receive returns for an op that is done.
func (r *Router) result(o *op) (any, error) {
	if len(o.parts) > 0 {
		r.scripts.see(&o.call, o.replies)
	}
	return o.result()
}
