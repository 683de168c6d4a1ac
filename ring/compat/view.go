package compat

import (
	"slices"
	"unsafe"

	"github.com/redisfluster/fluster/ring"
)

// hasher hashes the part of a key that counts. It must not keep or allocate
// anything.
type hasher func(part string) uint64

// tagger returns the part of a key that counts.
type tagger func(key string) string

// onCircle is the view of the keys' hashes on a circle.
type onCircle struct {
	part   tagger
	hash   hasher
	circle *circle
}

// Locate implements [ring.View].
func (v *onCircle) Locate(key string) int {
	return v.circle.node(v.hash(v.part(key)))
}

// wholeKey is the tagger of placements without tags.
func wholeKey(key string) string { return key }

// nowhere is the view when no node lives.
type nowhere struct{}

// Locate implements [ring.View].
func (nowhere) Locate(string) int { return -1 }

// bytesOf returns the bytes of key, for hash functions that take nothing else and
// change nothing. A copy of a long key would have to be allocated.
func bytesOf(key string) []byte {
	return unsafe.Slice(unsafe.StringData(key), len(key))
}

// fixed is the ring of a peer without fail-over: a node that is out keeps its
// keys, and calls for them fail, unless no node lives at all.
type fixed struct {
	view        ring.View
	nodes       int
	fingerprint uint64
}

// View implements [ring.Ring].
func (r *fixed) View(live []bool) ring.View {
	checkLive(live, r.nodes)
	if live != nil && !slices.Contains(live, true) {
		return nowhere{}
	}
	return r.view
}

// Fingerprint implements [ring.Ring].
func (r *fixed) Fingerprint() uint64 { return r.fingerprint }

// relaid is the ring of a peer that lays out those who live anew.
type relaid struct {
	nodes       []ring.Node
	all         ring.View
	lay         func(members []member) ring.View
	fingerprint uint64
}

// member is a node that takes part, with its position in the whole list.
type member struct {
	ring.Node

	position int32
}

// members returns the nodes that live.
func members(nodes []ring.Node, live []bool) []member {
	list := make([]member, 0, len(nodes))
	for i, n := range nodes {
		if live == nil || live[i] {
			list = append(list, member{n, int32(i)})
		}
	}
	return list
}

// View implements [ring.Ring].
func (r *relaid) View(live []bool) ring.View {
	checkLive(live, len(r.nodes))
	switch {
	case !slices.Contains(live, false):
		return r.all
	case !slices.Contains(live, true):
		return nowhere{}
	}
	return r.lay(members(r.nodes, live))
}

// Fingerprint implements [ring.Ring].
func (r *relaid) Fingerprint() uint64 { return r.fingerprint }
