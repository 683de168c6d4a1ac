// Package command is what the library knows of Redis commands: where their keys
// stand, whether they read, write or block, where over several nodes a call
// belongs, how one with keys on several nodes is split, and how the replies of
// several nodes become one.
//
// It is pure: no I/O, no Redis, no cluster. What the server can say of its
// commands is generated from a server's own description (generated.go); commands
// of later versions are written by hand (later.go); what no server can say,
// because it knows of no second node, is a table with reasons (policy.go).
package command

//go:generate go run ./gen

// Info is what is known of one command, or of one subcommand of a container such
// as CONFIG. Infos are shared and immutable: use, do not change.
type Info struct {
	// Name is upper case; that of a subcommand follows its container's:
	// "CONFIG GET".
	Name string

	// Arity is the number of words of a call, the command's name and that of
	// the subcommand included. If negative, it is the least number. Servers
	// later than the one that described the command may take more.
	Arity int

	// Access is what the command does to the keys, or to the data as a whole.
	Access Access

	// Blocking means that calls of it may wait on the server for data; Blocks
	// tells whether one does.
	Blocking bool

	// Stateful means that it changes the connection that it goes over, so that
	// nobody else may share that connection.
	Stateful bool

	// Movable means that only a look at the arguments tells where the keys are.
	Movable bool

	// Repeatable means that it may be repeated although it may have run: it
	// changes nothing, so that nobody sees that it ran twice.
	Repeatable bool

	// Route is where a call goes, and Reason, in words that may follow a colon
	// in an error, why it goes nowhere if Route is Rejected.
	Route  Route
	Reason string

	// Split is how a ByKey call with keys on several nodes is done.
	Split Split

	// Merge is how the replies to a FanOut call become one. It means nothing
	// for others.
	Merge Merge

	// Since is the version of Redis that brought the command. Verified means
	// that the table was checked against a server that has it; if not, it comes
	// from documentation.
	Since    string
	Verified bool

	specs []spec
	find  finder
	plain bool // every call has one key, its first argument, and may share a connection
	subs  map[string]*Info
	merge func(replies []Reply) (any, error) // takes the place of Merge; nil for those of the table
}

// Access is what a command does to keys.
type Access uint8

// Neither is for commands that touch no data at all. Write is also for those,
// such as EVAL, of which nobody can tell.
const (
	Neither Access = iota
	Read
	Write
)

// Route is where a call belongs.
type Route uint8

const (
	// Rejected is for commands that make no sense over several nodes, or that
	// would break the library's own use of a connection. They can be sent over a
	// node's own pool.
	Rejected Route = iota
	// ByKey goes to the node of its keys. A call without any, such as EVAL with
	// no keys, has no node, and is to be refused.
	ByKey
	// ByChannel goes to the node of its channel, as if that were a key: Keys
	// finds it.
	ByChannel
	// FanOut goes to every live node, and Merge makes one of the replies.
	FanOut
	// OnConn belongs to a state that a connection over the cluster keeps itself:
	// a transaction or a subscription. Keys finds keys and channels here too.
	OnConn
)

// Split is how a call whose keys are on several nodes is done.
type Split uint8

const (
	// NoSplit is for calls that cannot be split: they are refused.
	NoSplit Split = iota
	// Values reads each key by itself: the replies in the order of the keys.
	Values
	// Pairs writes each key by itself: keys and values by turns. Not atomic over
	// nodes, though every key is set.
	Pairs
	// Count does each key by itself, and counts for how many it did something.
	Count
	// Algebra reads sets or sorted sets whole, and combines them here.
	Algebra
	// NonAtomic writes what it read elsewhere: it promises more than several
	// nodes can keep, and is done only for those who asked for it.
	NonAtomic
)

// Plain returns what is known of a command, and the key of a call, if that has one key
// and no more, its first argument, and may share a connection. It reports false for
// every other call, for one that is wrong in itself, and for keys of a caller's own type.
func Plain(cmd string, args []any) (info *Info, key string, ok bool) {
	info = byWord(cmd)
	if info == nil || !info.plain || len(args) == 0 || info.checkArity(len(args)+1) != nil {
		return nil, "", false
	}
	key, ok = plainText(args[0])
	return info, key, ok
}

// Lookup returns what is known of a command, or of the subcommand that args
// begin with if it is a container. The case of letters does not matter. An
// unknown subcommand of a container that is rejected as a whole is the container.
//
// The error is an ErrUnknown; or says which subcommands are known; or, if there
// should be one, is the redis.Error of a server. Lookup does not allocate otherwise.
func Lookup(cmd string, args []any) (*Info, error) {
	info := byWord(cmd)
	if info == nil {
		return nil, unknown(cmd)
	}
	if info.subs == nil {
		return info, nil
	}
	return info.sub(args)
}
