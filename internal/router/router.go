// Package router makes one Redis of a cluster: it sends each command to the node
// of its keys, splits what may be split, fans out what has no key, merges the
// replies, repeats what cannot have run, and refuses what cannot be right over
// several nodes before a byte is sent.
//
// What a command is and where its keys stand is package command's; which node a
// key belongs to, and which nodes live, is the cluster's.
package router

import (
	"context"
	"errors"

	"github.com/gomodule/redigo/redis"

	"github.com/redisfluster/fluster/internal/command"
	"github.com/redisfluster/fluster/internal/node"
)

// ErrCrossNode is for a call whose keys belong to several nodes and that cannot
// be done over them. Nothing of it was sent.
var ErrCrossNode = errors.New("fluster: keys belong to several nodes")

// ErrNoNode says that no node lives.
var ErrNoNode = errors.New("fluster: all nodes are down")

// ErrRefused is for a call that has no node to go to: it makes no sense over
// several nodes, has no key, or is not known. Nothing of it was sent.
var ErrRefused = errors.New("fluster: command cannot be routed")

// Cluster is what a router routes over.
type Cluster interface {
	// View is the cluster at this moment.
	View() View
	// Len is how many nodes there are. They are numbered from 0.
	Len() int
	// Name is a node's name.
	Name(node int) string
	// Pool is a node's pool.
	Pool(node int) *redis.Pool
	// Do runs a command over what all callers share of a node's connections. It
	// reports shared false, having done nothing, if this one has to take one of
	// the pool.
	Do(ctx context.Context, node int, cmd string, args []any) (reply any, shared bool, err error)
	// Node is what begins calls and takes batches over the same connections, or nil if
	// nothing does.
	Node(n int) *node.Node
}

// View is a cluster at one moment. It is immutable.
type View interface {
	// Locate is the node of a key, or an error if no node lives.
	Locate(key string) (int, error)
	// Live are the nodes that live, in order, or an error if none does.
	Live() ([]int, error)
}

// Config says what a router may do.
type Config struct {
	// NonAtomic lets it do over several nodes what a server does at once.
	NonAtomic bool
	// Whole makes it refuse every call whose keys belong to several nodes.
	Whole bool
	// Merged has, by what the table knows of them, the commands that are to be taken
	// for others: for those whose replies a user's function merges.
	Merged map[*command.Info]*command.Info
	// Retry is how calls are repeated whose context does not say it.
	Retry Retry
}

// Router routes calls over a cluster. It is safe for concurrent use.
type Router struct {
	cluster Cluster
	cfg     Config
	budget  budget
	counts  []counts // by node
	learned learned
	scripts scripts
}

// New returns a router. It does no I/O.
func New(cluster Cluster, cfg Config) *Router {
	return &Router{cluster: cluster, cfg: cfg, counts: make([]counts, cluster.Len())}
}

// enlist puts a batch behind all else that goes over what callers share of a node's
// connections, as node.Node.Enlist does, if they share any.
func (r *Router) enlist(at int, b, after *node.Batch) bool {
	n := r.cluster.Node(at)
	return n != nil && n.Enlist(b, after)
}

// call is a command that is understood.
type call struct {
	cmd  string
	args []any
	info *command.Info
	keys []int // positions in args
}

// name is how an error calls the command.
func (c *call) name() string { return c.info.Name }
