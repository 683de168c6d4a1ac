package main

import "time"

// ioTimeout is what every redigo connection gets for dialing, reading and
// writing, whoever dials it; it is what ParseNode has by default.
const ioTimeout = time.Second

// client is one way to reach the keys on several servers. It is used by many
// goroutines at once.
type client interface {
	// Get returns the value of key.
	Get(key string) ([]byte, error)
	Close()
}

// kind is a sort of client.
type kind struct {
	name string // without a comma, which pprof would take for "or"
	// open returns a client of the servers at addrs that keeps up to maxIdle
	// idle connections to each of them, if that can be set.
	open func(addrs []string, maxIdle int) (client, error)
}

// kinds are those that are compared. The first one is what the others are
// measured against.
var kinds = []kind{
	{"plain redigo", openPlain},
	{"fluster on user-built pools", openUserPools},
	{"fluster on ParseNode pools", openParsedPools},
	{"go-redis Ring", openRing},
}

// Positions in kinds.
const (
	plain = iota
	userPools
	parsedPools
)
