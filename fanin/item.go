package fanin

import "github.com/redisfluster/fluster/fluster"

// Item is what one node popped.
type Item struct {
	// Node is where the item stood, and where it is acknowledged, over the node's own
	// pool. With an error it is the node that the error is of, if it is one node's.
	Node fluster.Node

	// Key is the key that the item was taken from.
	Key string

	// Value is an element of a list or a member of a sorted set.
	Value string

	// Score is that of a member of a sorted set.
	Score float64

	// ID and Fields are those of an entry of a stream. Of a field that an entry has
	// twice, the last value is here.
	ID     string
	Fields map[string]string
}
