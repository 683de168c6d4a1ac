package compat

import "github.com/redisfluster/fluster/ring"

// RedCluster is the placement of Red Cluster, a client for Ruby (git 0a0ff11):
// CRC-32 of the whole key, modulo the number of nodes. Its zero value is ready for
// use.
//
// The order of the list decides; Names can be anything. There are no tags and no
// weights: Build refuses a weight other than one.
//
// A node that is out keeps its keys: Red Cluster replaces a dead master within its
// replica set and moves no key.
type RedCluster struct{}

var _ ring.Placement = RedCluster{}

// Build implements [ring.Placement].
func (RedCluster) Build(nodes []ring.Node) (ring.Ring, error) {
	if err := check(nodes, weightless); err != nil {
		return nil, err
	}
	return &fixed{
		view:        byCRC32(len(nodes)),
		nodes:       len(nodes),
		fingerprint: newFingerprint("Red Cluster").names(nodes).sum(),
	}, nil
}

// byCRC32 is the view of so many nodes.
type byCRC32 int

// Locate implements [ring.View].
func (n byCRC32) Locate(key string) int { return int(hashCRC32(key) % uint64(n)) }
