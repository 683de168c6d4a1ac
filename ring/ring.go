// Package ring decides which node a key belongs to.
//
// It is pure: no I/O, no Redis, no health. A [Placement] turns a list of nodes
// into a [Ring]; a Ring turns the set of nodes that live into a [View]; a View
// turns a key into a node. Rings and views are immutable, so any number of
// goroutines may use them at once without a lock.
package ring

// Node is one member of a ring.
type Node struct {
	// Name is who the node is. Names decide placement, the order of a list
	// does not: two processes with the same names and weights place alike.
	// A placement for which the order counts says so.
	Name string

	// Weight is the node's share of the keys beside the others'. Zero means 1.
	Weight int
}

// Placement is a way of giving keys to nodes. [Balanced] is the default.
type Placement interface {
	// Build lays out the ring for nodes, which it neither keeps nor changes.
	// It returns an error if nodes is empty, if a name is empty or given
	// twice, or if a weight is negative or out of the placement's range.
	Build(nodes []Node) (Ring, error)
}

// Ring is a placement laid out for one list of nodes.
type Ring interface {
	// View returns the ring as it is while exactly the nodes with live[i]
	// live, i being the position in the list that Build got. A nil live means
	// that all of them do. View does not keep live; it panics if live is not
	// nil and has not one flag for each node. It does no I/O and should be
	// quick: everybody waits for it when a node is penalized or released.
	View(live []bool) View

	// Fingerprint identifies the layout: processes whose rings place every
	// key alike for every set of live nodes have the same fingerprint,
	// whatever the order of their node lists. Others have different ones, but
	// for a chance of one in 2^64.
	Fingerprint() uint64
}

// View is a ring under one set of live nodes.
type View interface {
	// Locate returns the position, in the list that Build got, of the node
	// that key belongs to, or -1 if no node lives. The key may be any bytes,
	// and may be empty. Locate does no I/O and takes no lock.
	Locate(key string) int
}
