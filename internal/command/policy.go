package command

// policy is what a server cannot say of a command, since it knows of no second
// node.
type policy struct {
	route    Route
	why      string // of Rejected
	split    Split
	merge    Merge
	stateful bool
	again    bool // Repeatable, though the server does not call it a read
}

// Reasons that several commands share.
const (
	whyAccess      = "access rules belong to one server"
	whyState       = "it would change a pooled connection for whoever uses it next; what dials the pool can do it for all of them"
	whyOneClient   = "a client's id or address names another client, or none, at another node"
	whyCluster     = "the nodes are independent servers, not a Redis Cluster"
	whyReplication = "who replicates whom is a matter between single servers"
	whyRunning     = "only the node on which it runs can end it"
	whyInternal    = "it is for the server's own use"
	whyModules     = "modules belong to one server"
	whyTracking    = "it is about the tracking of one connection, which is refused"
	whyProtocol    = "the library speaks the protocol, and needs the reply to each command"
)

func rejected(why string) policy      { return policy{route: Rejected, why: why} }
func rejectedState(why string) policy { return policy{route: Rejected, why: why, stateful: true} }
func fanOut(m Merge) policy           { return policy{route: FanOut, merge: m} }
func fanOutRead(m Merge) policy       { return policy{route: FanOut, merge: m, again: true} }
func split(s Split) policy            { return policy{route: ByKey, split: s} }
func onConn() policy                  { return policy{route: OnConn, stateful: true} }

// policies has every command that is not simply sent to the node of its keys. A
// subcommand that is not here follows its container.
var policies = map[string]policy{
	// Several keys. MOVE is a write by key, but what it moves is lost to a
	// cluster that never looks into the other database.
	"MGET":              split(Values),
	"MSET":              split(Pairs),
	"DEL":               split(Count),
	"UNLINK":            split(Count),
	"EXISTS":            split(Count),
	"TOUCH":             split(Count),
	"SUNION":            split(Algebra),
	"SINTER":            split(Algebra),
	"SDIFF":             split(Algebra),
	"SINTERCARD":        split(Algebra),
	"ZUNION":            split(Algebra),
	"ZINTER":            split(Algebra),
	"ZDIFF":             split(Algebra),
	"ZINTERCARD":        split(Algebra),
	"SUNIONSTORE":       split(NonAtomic),
	"SINTERSTORE":       split(NonAtomic),
	"SDIFFSTORE":        split(NonAtomic),
	"ZUNIONSTORE":       split(NonAtomic),
	"ZINTERSTORE":       split(NonAtomic),
	"ZDIFFSTORE":        split(NonAtomic),
	"ZRANGESTORE":       split(NonAtomic),
	"GEOSEARCHSTORE":    split(NonAtomic),
	"GEORADIUS":         split(NonAtomic),
	"GEORADIUSBYMEMBER": split(NonAtomic),
	"SORT":              split(NonAtomic),
	"RENAME":            split(NonAtomic),
	"RENAMENX":          split(NonAtomic),
	"COPY":              split(NonAtomic),
	"RPOPLPUSH":         split(NonAtomic),
	"LMOVE":             split(NonAtomic),
	"SMOVE":             split(NonAtomic),
	"MSETNX":            split(NonAtomic),
	"PFCOUNT":           split(NonAtomic), // needs the sketches merged under a key of one node
	"PFMERGE":           split(NonAtomic),
	"MOVE":              rejected("the key would leave the database that the cluster reads"),
	"MIGRATE":           rejected("the key would leave the node where the cluster looks for it"),
	"RESTORE-ASKING":    rejected(whyCluster),

	// Transactions and subscriptions.
	"MULTI":        onConn(),
	"EXEC":         onConn(),
	"DISCARD":      onConn(),
	"WATCH":        onConn(),
	"UNWATCH":      onConn(),
	"SUBSCRIBE":    onConn(),
	"UNSUBSCRIBE":  onConn(),
	"SSUBSCRIBE":   onConn(),
	"SUNSUBSCRIBE": onConn(),
	"PSUBSCRIBE":   onConn(),
	"PUNSUBSCRIBE": onConn(),
	"PUBLISH":      {route: ByChannel},
	"SPUBLISH":     {route: ByChannel},

	// The state of one connection.
	"AUTH":                rejectedState("the credentials belong in the node's URL"),
	"HELLO":               rejectedState(whyProtocol),
	"SELECT":              rejectedState("the database belongs in the node's URL"),
	"RESET":               rejectedState(whyState),
	"QUIT":                rejectedState("a connection is closed by its Close"),
	"MONITOR":             rejectedState("it turns a connection into a stream that does not end; dial the node for it"),
	"CLIENT CACHING":      rejectedState(whyState),
	"CLIENT GETNAME":      fanOutRead(PerNode),
	"CLIENT GETREDIR":     rejected(whyTracking),
	"CLIENT HELP":         fanOutRead(Agreed),
	"CLIENT ID":           fanOutRead(PerNode),
	"CLIENT INFO":         fanOutRead(PerNode),
	"CLIENT KILL":         rejected(whyOneClient),
	"CLIENT LIST":         fanOutRead(PerNode),
	"CLIENT NO-EVICT":     rejectedState(whyState),
	"CLIENT NO-TOUCH":     rejectedState(whyState),
	"CLIENT PAUSE":        fanOut(AllOK),
	"CLIENT REPLY":        rejectedState(whyProtocol),
	"CLIENT SETINFO":      rejectedState(whyState),
	"CLIENT SETNAME":      rejectedState("it would name one pooled connection; the name belongs in the node's URL, as client_name"),
	"CLIENT TRACKING":     rejectedState(whyProtocol),
	"CLIENT TRACKINGINFO": rejected(whyTracking),
	"CLIENT UNBLOCK":      rejected(whyOneClient),
	"CLIENT UNPAUSE":      fanOut(AllOK),

	// All data.
	"DBSIZE":    fanOut(Sum),
	"FLUSHALL":  fanOut(AllOK),
	"FLUSHDB":   fanOut(AllOK),
	"KEYS":      fanOut(Union),
	"RANDOMKEY": fanOut(Any),
	"SCAN":      rejected("a cursor belongs to one node: scan each node by itself"),
	"SWAPDB":    rejected("nodes may be databases of one server, which would swap once for each of them"),

	// Channels.
	"PUBSUB CHANNELS":      fanOutRead(Union),
	"PUBSUB HELP":          fanOutRead(Agreed),
	"PUBSUB NUMPAT":        fanOutRead(Sum),
	"PUBSUB NUMSUB":        fanOutRead(SumByName),
	"PUBSUB SHARDCHANNELS": fanOutRead(Union),
	"PUBSUB SHARDNUMSUB":   fanOutRead(SumByName),

	// Scripts. A script is loaded everywhere, since its keys may be anywhere.
	"SCRIPT DEBUG":     rejectedState("a debugging session takes one node's connection over"),
	"SCRIPT EXISTS":    fanOutRead(And),
	"SCRIPT FLUSH":     fanOut(AllOK),
	"SCRIPT HELP":      fanOutRead(Agreed),
	"SCRIPT KILL":      rejected(whyRunning),
	"SCRIPT LOAD":      fanOut(Agreed),
	"FUNCTION DELETE":  fanOut(AllOK),
	"FUNCTION DUMP":    fanOutRead(Agreed),
	"FUNCTION FLUSH":   fanOut(AllOK),
	"FUNCTION HELP":    fanOutRead(Agreed),
	"FUNCTION KILL":    rejected(whyRunning),
	"FUNCTION LIST":    fanOutRead(PerNode),
	"FUNCTION LOAD":    fanOut(Agreed),
	"FUNCTION RESTORE": fanOut(AllOK),
	"FUNCTION STATS":   fanOutRead(PerNode),

	// The servers. Lists whose order is a server's own affair never agree.
	"BGREWRITEAOF":            fanOut(Agreed),
	"BGSAVE":                  fanOut(Agreed),
	"COMMAND":                 fanOutRead(PerNode),
	"COMMAND COUNT":           fanOutRead(Agreed),
	"COMMAND DOCS":            fanOutRead(PerNode),
	"COMMAND GETKEYS":         fanOutRead(Agreed),
	"COMMAND GETKEYSANDFLAGS": fanOutRead(Agreed),
	"COMMAND HELP":            fanOutRead(Agreed),
	"COMMAND INFO":            fanOutRead(PerNode),
	"COMMAND LIST":            fanOutRead(Union),
	"CONFIG GET":              fanOutRead(Settings),
	"CONFIG HELP":             fanOutRead(Agreed),
	"CONFIG RESETSTAT":        fanOut(AllOK),
	"CONFIG REWRITE":          fanOut(AllOK),
	"CONFIG SET":              fanOut(AllOK),
	"ECHO":                    fanOutRead(Agreed),
	"INFO":                    fanOutRead(PerNode),
	"LASTSAVE":                fanOutRead(Earliest),
	"LATENCY DOCTOR":          fanOutRead(PerNode),
	"LATENCY GRAPH":           fanOutRead(PerNode),
	"LATENCY HELP":            fanOutRead(Agreed),
	"LATENCY HISTOGRAM":       fanOutRead(PerNode),
	"LATENCY HISTORY":         fanOutRead(PerNode),
	"LATENCY LATEST":          fanOutRead(PerNode),
	"LATENCY RESET":           fanOut(Sum),
	"LOLWUT":                  fanOutRead(PerNode),
	"MEMORY DOCTOR":           fanOutRead(PerNode),
	"MEMORY HELP":             fanOutRead(Agreed),
	"MEMORY MALLOC-STATS":     fanOutRead(PerNode),
	"MEMORY PURGE":            fanOut(AllOK),
	"MEMORY STATS":            fanOutRead(PerNode),
	"OBJECT HELP":             fanOutRead(Agreed),
	"PING":                    fanOutRead(Agreed),
	"ROLE":                    fanOutRead(PerNode),
	"SAVE":                    fanOut(AllOK),
	"SLOWLOG GET":             fanOutRead(PerNode),
	"SLOWLOG HELP":            fanOutRead(Agreed),
	"SLOWLOG LEN":             fanOutRead(PerNode),
	"SLOWLOG RESET":           fanOut(AllOK),
	"TIME":                    fanOutRead(PerNode),
	"XGROUP HELP":             fanOutRead(Agreed),
	"XINFO HELP":              fanOutRead(Agreed),

	// Administration of one server.
	"ACL":          rejected(whyAccess),
	"ASKING":       rejectedState(whyCluster),
	"CLUSTER":      rejected(whyCluster),
	"DEBUG":        rejected("it looks into, or crashes, one server"),
	"DEBUG OBJECT": {route: ByKey},
	"FAILOVER":     rejected(whyReplication),
	"HOTKEYS":      rejected("which keys are hot is counted by one server for itself"),
	"MODULE":       rejected(whyModules),
	"PFDEBUG":      rejected(whyInternal),
	"PFSELFTEST":   rejected(whyInternal),
	"PSYNC":        rejectedState(whyReplication),
	"READONLY":     rejectedState(whyCluster),
	"READWRITE":    rejectedState(whyCluster),
	"REPLCONF":     rejectedState(whyInternal),
	"REPLICAOF":    rejected(whyReplication),
	"SENTINEL":     rejected("a Sentinel is not a node"),
	"SHUTDOWN":     rejected("it would end every node at once"),
	"SLAVEOF":      rejected(whyReplication),
	"SYNC":         rejectedState(whyReplication),
	"WAIT":         rejected("it counts the replicas that have what this very connection wrote, and a call's connection is not the caller's own"),
	"WAITAOF":      rejected("it counts the copies on disk of what this very connection wrote, and a call's connection is not the caller's own"),
}
