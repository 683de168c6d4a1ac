package node

import (
	"crypto/tls"
	"log/slog"
	"time"

	"github.com/gomodule/redigo/redis"
)

// Defaults of a pool that this package builds.
const (
	defaultDialTimeout = time.Second
	defaultIOTimeout   = time.Second
	defaultMaxIdle     = 64
	defaultMaxReply    = 64 << 20
)

// Endpoint is everything that a node's URL says: where the server is, how to
// log in, and how its pool is to be.
type Endpoint struct {
	Name   string
	Addr   string // for people
	Weight int

	network, address   string // to connect to
	user, password     string
	db                 int
	clientName         string
	tls                *tls.Config // nil without TLS; never changed once set
	dialTimeout        time.Duration
	readTimeout        time.Duration
	writeTimeout       time.Duration
	maxReply           int64
	maxIdle, maxActive int
	wait               bool
	idleTimeout        time.Duration
	maxLifetime        time.Duration
}

// NewPool returns a pool of connections to the endpoint.
func (e *Endpoint) NewPool() *redis.Pool {
	p := &redis.Pool{
		DialContext:     e.dial,
		MaxIdle:         e.maxIdle,
		MaxActive:       e.maxActive,
		Wait:            e.wait,
		IdleTimeout:     e.idleTimeout,
		MaxConnLifetime: e.maxLifetime,
	}
	noteBuilt(p)
	return p
}

// String returns the endpoint's name and address, never what it logs in with.
// It is a method of the value, so that a copy keeps the secret too.
func (e Endpoint) String() string { return e.Name + " (" + e.Addr + ")" }

// GoString is String: %#v must not print the password either.
func (e Endpoint) GoString() string { return e.String() }

// LogValue is String.
func (e Endpoint) LogValue() slog.Value { return slog.StringValue(e.String()) }
