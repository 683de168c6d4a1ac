package fanin

import "time"

// Topics are what one can subscribe to.
type Topics struct {
	// Channels are each subscribed to at the node that its name belongs to, where
	// FlusterCluster.Do sends what is published to it.
	Channels []string

	// Patterns, in Redis's glob style, are subscribed to at every live node.
	Patterns []string

	// ShardChannels are as Channels, for SPUBLISH. Servers know them since Redis 7.
	ShardChannels []string
}

// News is what a Subscription gives: a Message or a Gap.
type News interface{ news() }

// Message is what was published. What matches a channel and patterns that are
// subscribed to, or several patterns, comes once for each of them, as Redis sends it.
type Message struct {
	// Node is the name of the node where it was published.
	Node string

	// Channel is where it was published to.
	Channel string

	// Pattern is the pattern that Channel matches, or empty if Channel itself is
	// subscribed to.
	Pattern string

	// Data is the message.
	Data []byte

	shard bool // Channel is one for SPUBLISH
}

// Gap says that messages may be missing: those of Topics that were published at Node
// between Since and Until. It comes before any message of them that was published
// later.
//
// It is told twice: when the subscription is lost, with a zero Until, and when it
// stands again. For a channel that is at home elsewhere then, the second one has its
// new Node, and what was published at the old one, too, may be missing. Where nothing
// is lost before something else is there, as when a node comes back, only the second
// is told.
type Gap struct {
	// Node is the name of the node. It is empty if Dropped is of several.
	Node string

	// Topics are what messages may be missing of.
	Topics Topics

	// Since is the last moment when the subscription was known to be good: when that
	// was sent what the server answered last. Messages that were published before it
	// are not missing.
	Since time.Time

	// Until is when the server confirmed the subscription that takes its place. It is
	// zero if there is none yet.
	Until time.Time

	// Dropped is how many messages had come and were dropped, the oldest first, since
	// nobody received them. Since and Until are then when the first and the last of
	// them came, or those of gaps that were not received either.
	Dropped int

	// Cause is why.
	Cause error
}

func (Message) news() {}
func (Gap) news()     {}
