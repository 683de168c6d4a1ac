// Package fanin reads from all nodes of a cluster at once: what stands on any of
// them comes out at one place, while nodes come and go.
//
// It stands on top of package fluster. A cluster places each key at one node; the
// functions here pass that by on purpose and use the same names on every live node:
// a queue that producers push to wherever they reach a node, channels that are
// published anywhere, what an outage left on two nodes.
//
// A node that fails costs only its own part, and says so; it is taken up again when
// the cluster releases it from the penalty box.
package fanin
