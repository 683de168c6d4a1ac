package fluster

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/health"
	"github.com/redisfluster/fluster/internal/node"
	"github.com/redisfluster/fluster/ring"
)

// Node is one independent Redis server.
type Node struct {
	// Name is who the node is: it decides which keys the node gets. It must be
	// unique and should be kept when the server moves to another address.
	Name string

	// Addr is where the node is, for people to read in errors and logs. It is
	// not used to connect; Pool is.
	Addr string

	// Pool is the node's connections. It must not have been used before New,
	// which wraps its dial function and its borrow check, and it belongs to the
	// cluster for good: neither change nor close it. All other fields mean what
	// they mean in redigo.
	Pool *redis.Pool `json:"-"`

	// Weight is the node's share of the keys beside the others'. Zero means 1.
	Weight int
}

// String returns the node's name and address.
func (n Node) String() string {
	if n.Addr == "" || n.Addr == n.Name {
		return n.Name
	}
	return n.Name + " (" + n.Addr + ")"
}

// Config says what a cluster is made of. Only Nodes is needed.
type Config struct {
	// Nodes are the servers, in the order in which Nodes and Iter go.
	Nodes []Node

	// Placement decides which node a key belongs to. If nil, ring.Balanced is used.
	Placement ring.Placement

	// Health says when a node is penalized and when it is probed. Its zero value
	// is a good choice.
	Health health.Config

	// NonAtomic also does, over several nodes and in several steps, what a server
	// does in one: STORE forms, RENAME, RENAMENX, COPY, RPOPLPUSH, LMOVE, SMOVE,
	// PFCOUNT, PFMERGE and MSETNX with keys of several nodes. Others may see them
	// half done, and a node that fails in between leaves them so, which the error
	// says. If false, such a call is ErrCrossNode and nothing is sent. Keys of one
	// node keep the server's atomicity either way.
	NonAtomic bool

	// Whole refuses every call whose keys belong to several nodes with
	// ErrCrossNode, MGET and its like included.
	Whole bool

	// Merge says how the replies of several nodes to a call without keys become one,
	// by the command's name, such as "DBSIZE" or "ACL WHOAMI". It takes the place of
	// what Do would make of them, in connections of Get as well; and a command that
	// is refused otherwise (SCRIPT KILL, ACL WHOAMI, ...) is done if it is named here.
	//
	// The function gets what each node replied, or failed with, in the order of
	// Nodes: of the nodes that live, if the command is known to read only, else of
	// all. What it returns is what the call returns. It is called in the goroutine of
	// the call, by several at once.
	//
	// New refuses what is no command and what has keys, waits or changes its
	// connection.
	Merge map[string]func(replies []NodeReply) (any, error)

	// Retry says how calls are repeated that failed. Its zero value is a good choice.
	Retry Retry

	// Logger gets a line for each change of a node: at Warn when it is
	// penalized, at Info when it is released and when a probe finds it still
	// down. If nil, nothing is logged.
	Logger *slog.Logger

	// OnEvent is called for each change of a node, once and in order, by a
	// goroutine of the cluster's own: it may use the cluster and may block, which
	// delays only events and log lines, but it must not call Close, which waits
	// for it. If nil, it is not called.
	OnEvent func(Event)
}

// ParseNode reads a node from a URL:
//
//	redis://[[user]:password@]host[:port][/database][?option=value&...]
//
// with the scheme redis or valkey, rediss or valkeys for TLS, or
// unix:///path/of/socket. A lone user name counts as the password. The options:
//
//	name           the node's name; otherwise host:port or host:port/database as written
//	weight         share of the keys (1)
//	db             database, where the path cannot name it (0)
//	client_name    what CLIENT SETNAME is called with (none)
//	dial_timeout   for a new connection, with TLS, login and PING (1s)
//	read_timeout   for one reply (1s)
//	write_timeout  for one command (1s)
//	max_reply      memory that one reply may claim, in bytes: its strings, and 40
//	               for each element of an array (67108864)
//	max_idle       idle connections that are kept (64)
//	pool_size      connections at most (0: no limit)
//	pool_wait      wait for a connection at that limit (false)
//	idle_timeout   close connections that were idle for so long (0: never)
//	max_lifetime   close connections of that age (0: never)
//	tls_name       host name that the server's certificate must hold (the host)
//	tls_ca         file of the certificates to trust (the system's)
//	tls_cert       file of the client's certificate
//	tls_key        file of its key
//
// Durations are written as in Go (500ms); 0 switches a limit off. The pool is
// built with the library's own dialer, so that a stale connection is found
// before it is used, a reply is checked before it is read, and an error tells
// whether the command was sent.
//
// ParseNode does no network I/O; it reads the files that the TLS options name.
// An error says what is wrong but never repeats the URL, which may hold a password.
func ParseNode(rawURL string) (Node, error) {
	e, err := node.ParseURL(rawURL)
	if err != nil {
		return Node{}, fmt.Errorf("fluster: node URL: %w", err)
	}
	return Node{Name: e.Name, Addr: e.Addr, Pool: e.NewPool(), Weight: e.Weight}, nil
}

// flaw says what is wrong with a node, beginning with the name of its field, or
// is empty.
func (n Node) flaw() string {
	switch {
	case n.Name == "":
		return "Name is empty"
	case n.Pool == nil:
		return "Pool is nil"
	case n.Pool.Dial == nil && n.Pool.DialContext == nil:
		return "Pool has neither Dial nor DialContext"
	case n.Weight < 0:
		return fmt.Sprintf("Weight is %d; it must not be negative", n.Weight)
	case n.Pool.ActiveCount() > 0:
		return "Pool has connections already; it must not be used before New"
	}
	return ""
}

// checkNodes refuses a list that cannot make a cluster.
func checkNodes(nodes []Node) error {
	if len(nodes) == 0 {
		return errors.New("fluster: Config.Nodes is empty")
	}
	seen := make(map[string]int, len(nodes))
	for i, n := range nodes {
		if flaw := n.flaw(); flaw != "" {
			return fmt.Errorf("fluster: Config.Nodes[%d].%s", i, flaw)
		}
		if j, twice := seen[n.Name]; twice {
			return fmt.Errorf("fluster: Config.Nodes[%d].Name is %q, as is that of Config.Nodes[%d]", i, n.Name, j)
		}
		seen[n.Name] = i
	}
	return nil
}

// claimPools takes every node's pool for this cluster, or none of them.
func claimPools(nodes []Node) error {
	for i, n := range nodes {
		if !node.Claim(n.Pool) {
			unclaimPools(nodes[:i])
			return fmt.Errorf("fluster: Config.Nodes[%d].Pool is given twice or belongs to a cluster already", i)
		}
	}
	return nil
}

func unclaimPools(nodes []Node) {
	for _, n := range nodes {
		node.Unclaim(n.Pool)
	}
}
