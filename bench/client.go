package main

import (
	"time"

	"github.com/redisfluster/fluster/bench/internal/redisserver"
)

// ioTimeout is what every redigo connection gets for dialing, reading and
// writing, whoever dials it. It is long enough for thousands of callers that
// wait for two processors.
const ioTimeout = 10 * time.Second

// maxConns is how many connections to one server a redigo pool may have. Callers
// beyond it wait for one, as in any program that is to stay within its files.
const maxConns = 512

// client is one way to reach the keys on several servers. It is used by many
// goroutines at once.
type client interface {
	// Get returns the value of key.
	Get(key string) ([]byte, error)
	// Set gives key a value.
	Set(key string, value []byte) error
	// MGet returns the values of keys, in their order.
	MGet(keys []string) ([][]byte, error)
	Close()
}

// pipeliner is a client that can send many commands before it reads the first
// reply.
type pipeliner interface {
	client
	// PipeGet is a GET of each key.
	PipeGet(keys []string) ([][]byte, error)
	// PipeSet is a SET of each key.
	PipeSet(keys []string, value []byte) error
}

// target is what clients are opened for.
type target struct {
	addrs []string // of the servers
	proxy string   // the address of twemproxy before them, or empty
	// cert is what they show, or nil without TLS.
	cert *redisserver.Certificate
	// callers is how many goroutines will use the client.
	callers int
}

// idle is how many connections redigo's pools keep, and have when they are opened:
// dialing is not measured.
func (t target) idle() int { return min(t.callers, maxConns) }

// kind is a sort of client.
type kind struct {
	id   string // as -clients takes it
	name string // without a comma, which pprof would take for "or"
	// open returns a client, or nil if there can be none for want of a proxy.
	open func(target) (client, error)
	only string // the one operation that it is for, or empty
}

// kinds are those that are compared.
var kinds = []kind{
	{plainID, "plain redigo", openPlain, ""},
	{plainInTurnID, "plain redigo node after node", openPlainInTurn, mgetID},
	{userPoolsID, "fluster GetClient on user-built pools", openUserPools, ""},
	{parsedPoolsID, "fluster GetClient on ParseNode pools", openParsedPools, ""},
	{routedID, "fluster Get", openRouted, ""},
	{doerID, "fluster Do", openDoer, ""},
	{ringID, "go-redis Ring", openRing, ""},
	{rueidisID, "rueidis", openRueidis, ""},
	{proxyID, "redigo behind twemproxy", openProxied, ""},
}

// Identifiers of kinds.
const (
	plainID       = "plain"
	plainInTurnID = "plain-in-turn"
	userPoolsID   = "user-pools"
	parsedPoolsID = "parsed-pools"
	routedID      = "get"
	doerID        = "do"
	ringID        = "ring"
	rueidisID     = "rueidis"
	proxyID       = "twemproxy"
)

// kindOf returns the one that is called id, which must be there.
func kindOf(id string) kind {
	for _, k := range kinds {
		if k.id == id {
			return k
		}
	}
	panic("bug: there is no client " + id)
}
