package command

// Merge is how the replies of several nodes to one call become one.
type Merge uint8

const (
	// PerNode keeps all: names and replies by turns, as Redis sends a map, in the
	// order given.
	PerNode Merge = iota
	// AllOK is OK.
	AllOK
	// Agreed is the reply that all gave; where they differ it is PerNode.
	Agreed
	// Sum is the sum of integers.
	Sum
	// Earliest is the least integer.
	Earliest
	// Union is all elements of arrays, each once.
	Union
	// And is, element by element, the least of the integers.
	And
	// SumByName is, for each name of a flat map, the sum of its integers.
	SumByName
	// Settings is a flat map of all names to their values; one on which the nodes
	// differ has, as its value, what is PerNode.
	Settings
	// Any is one of the replies, chosen at random from those that are not nil.
	Any
)
