package command

// later has the commands that are younger than the server that described the
// others, and some that a server does not describe. They come from Redis's
// documentation and were checked against no server: Verified is false.
var later = []description{
	// What DEBUG and a Sentinel have is described by no server.
	{name: "DEBUG OBJECT", arity: -3, since: "1.0.0", flags: reads, keys: keyAt(2, Read)},
	{name: "SENTINEL", arity: -2, since: "2.8.4"},

	// 7.2
	{name: "CLIENT NO-TOUCH", arity: 3, since: "7.2.0"},
	{name: "CLIENT SETINFO", arity: 4, since: "7.2.0"},
	{name: "CLUSTER MYSHARDID", arity: 2, since: "7.2.0"},
	{name: "WAITAOF", arity: 4, since: "7.2.0"},

	// 7.4
	{name: "HEXPIRE", arity: -6, since: "7.4.0", flags: writes, keys: keyAt(1, Write)},
	{name: "HEXPIREAT", arity: -6, since: "7.4.0", flags: writes, keys: keyAt(1, Write)},
	{name: "HEXPIRETIME", arity: -5, since: "7.4.0", flags: reads, keys: keyAt(1, Read)},
	{name: "HPERSIST", arity: -5, since: "7.4.0", flags: writes, keys: keyAt(1, Write)},
	{name: "HPEXPIRE", arity: -6, since: "7.4.0", flags: writes, keys: keyAt(1, Write)},
	{name: "HPEXPIREAT", arity: -6, since: "7.4.0", flags: writes, keys: keyAt(1, Write)},
	{name: "HPEXPIRETIME", arity: -5, since: "7.4.0", flags: reads, keys: keyAt(1, Read)},
	{name: "HPTTL", arity: -5, since: "7.4.0", flags: reads, keys: keyAt(1, Read)},
	{name: "HTTL", arity: -5, since: "7.4.0", flags: reads, keys: keyAt(1, Read)},

	// 8.0
	{name: "HGETDEL", arity: -5, since: "8.0.0", flags: writes, keys: keyAt(1, Write)},
	{name: "HGETEX", arity: -5, since: "8.0.0", flags: writes, keys: keyAt(1, Write)},
	{name: "HSETEX", arity: -6, since: "8.0.0", flags: writes, keys: keyAt(1, Write)},
	{name: "VADD", arity: -5, since: "8.0.0", flags: writes, keys: keyAt(1, Write)},
	{name: "VCARD", arity: 2, since: "8.0.0", flags: reads, keys: keyAt(1, Read)},
	{name: "VDIM", arity: 2, since: "8.0.0", flags: reads, keys: keyAt(1, Read)},
	{name: "VEMB", arity: -3, since: "8.0.0", flags: reads, keys: keyAt(1, Read)},
	{name: "VGETATTR", arity: 3, since: "8.0.0", flags: reads, keys: keyAt(1, Read)},
	{name: "VINFO", arity: 2, since: "8.0.0", flags: reads, keys: keyAt(1, Read)},
	{name: "VLINKS", arity: -3, since: "8.0.0", flags: reads, keys: keyAt(1, Read)},
	{name: "VRANDMEMBER", arity: -2, since: "8.0.0", flags: reads, keys: keyAt(1, Read)},
	{name: "VREM", arity: 3, since: "8.0.0", flags: writes, keys: keyAt(1, Write)},
	{name: "VSETATTR", arity: 4, since: "8.0.0", flags: writes, keys: keyAt(1, Write)},
	{name: "VSIM", arity: -4, since: "8.0.0", flags: reads, keys: keyAt(1, Read)},

	// 8.2
	{name: "CLUSTER SLOT-STATS", arity: -4, since: "8.2.0"},
	{name: "VISMEMBER", arity: 3, since: "8.2.0", flags: reads, keys: keyAt(1, Read)},
	{name: "XACKDEL", arity: -6, since: "8.2.0", flags: writes, keys: keyAt(1, Write)},
	{name: "XDELEX", arity: -5, since: "8.2.0", flags: writes, keys: keyAt(1, Write)},

	// 8.4. MSETEX writes all of its keys or none, as MSETNX does.
	{name: "CLUSTER MIGRATION", arity: -4, since: "8.4.0"},
	{name: "DELEX", arity: -2, since: "8.4.0", flags: writes, keys: keyAt(1, Write)},
	{name: "DIGEST", arity: 2, since: "8.4.0", flags: reads, keys: keyAt(1, Read)},
	{name: "MSETEX", arity: -4, since: "8.4.0", flags: writes, keys: []spec{{counted: true, count: 1, first: 2, step: 2, use: Write}}},
	{name: "VRANGE", arity: -4, since: "8.4.0", flags: reads, keys: keyAt(1, Read)},

	// 8.6
	{name: "HOTKEYS", arity: -2, since: "8.6.0"},
	{name: "XCFGSET", arity: -2, since: "8.6.0", flags: writes, keys: keyAt(1, Write)},
}

// keyAt is the specification of one key.
func keyAt(word int, use Access) []spec {
	return []spec{{first: word, last: word, step: 1, use: use}}
}
