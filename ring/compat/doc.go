// Package compat places keys where other clients and proxies place them, bit for
// bit: for a fleet that Python, Ruby, Java or PHP services or a twemproxy share, or
// for leaving one of them without losing what is cached.
//
// Each type is a [ring.Placement], for the field Placement of fluster.Config; its
// zero value is what the peer does by default:
//
//	type          peer                                        keys go by
//	RedisFluster  redis-fluster 0.1 (Python)                  murmur3 modulo the nodes
//	RedCluster    Red Cluster (Ruby)                          CRC-32 modulo the nodes
//	GoRedisRing   Ring of go-redis 8 and 9                    rendezvous of xxHash64
//	Twemproxy     twemproxy (nutcracker) 0.5 on x86-64        ketama or modula, of twelve hashes
//	Jedis         ShardedJedis of Jedis 2.4 to 4              ring of MurmurHash64A or MD5
//	RedisRb       Redis::Distributed of redis-rb 2 to 6       ring of CRC-32, points of CRC-32 or MD5
//	Predis        PredisCluster of Predis 1.1 to 3            ring of CRC-32, or of MD5 as ketama
//	PhpRedis      RedisArray of phpredis 5.3 to 6             equal stretches, or ketama
//	Libketama     libketama (C)                               ketama
//
// [Slot] is the hash slot of a key in a Redis Cluster, which has no placement.
//
// The Name of a node must be what the peer hashes. It need not be where the node is:
// fluster reads that elsewhere. Tags, weights, and what becomes of a node that is out
// are the peer's as well:
//
//	type          Name of a node              tag of a key            weights   a node that is out
//	RedisFluster  any; the order decides      none                    none      moves its keys, and more when a second goes
//	RedCluster    any; the order decides      none                    none      keeps its keys
//	GoRedisRing   the shard's name            ring.HashTag            none      moves its keys
//	Twemproxy     see TwemproxyServer         two bytes of choice     yes       keeps its keys; with AutoEject, all are shared out anew
//	Jedis         the shard's name, or any    if asked for            yes       keeps its keys
//	RedisRb       the id, see RedisRb.NodeID  at a line's beginning   none      moves its keys
//	Predis        host:port                   ring.HashTag            yes       all are shared out anew
//	PhpRedis      the host as it was passed   also an empty one       none      keeps its keys
//	Libketama     the address in its file     none                    yes       all are shared out anew
//
// Where a node that is out keeps its keys, Locate returns it all the same, and calls
// for its keys fail at once until it is back, as they do at the peer; only when no
// node lives does Locate return -1. To share nodes with a peer means to share its
// judgement of them too: a client that moves keys of a node that another still
// reaches writes where that one does not read. [Fixed] keeps any placement's keys where
// they are.
//
// How evenly keys are shared: the largest share, in units of the mean, of 100,000
// keys (user:0 to user:99999; in brackets random ones) on 5 and on 100 nodes called
// 10.0.0.1:6379 and so on. Other names give other shares of a ring, no better ones
// on the whole.
//
//	ring.Balanced                       1.01 (1.01)   1.11 (1.10)
//	RedisFluster, RedCluster            1.00 (1.01)   1.09 (1.08)
//	GoRedisRing                         1.00 (1.01)   1.07 (1.09)
//	Twemproxy, fnv1a_64, the default    1.07 (1.04)   1.49 (1.19)
//	Twemproxy, fnv1_64                  1.35 (1.06)   3.30 (1.25)
//	Twemproxy, crc32                    5.00 (5.00)   100 (100): one server gets all
//	Twemproxy, the other hashes         1.06 (1.06)   1.35 (1.28) at the worst
//	Twemproxy, modula, fnv1a_64         1.29 (1.01)   1.31 (1.08)
//	Jedis                               1.10 (1.09)   1.25 (1.23)
//	RedisRb                             1.09 (1.09)   1.23 (1.21)
//	RedisRb, Generation 4               1.45 (1.44)   2.51 (2.42)
//	Predis                              1.52 (1.52)   2.32 (2.33)
//	Predis, Ketama; Libketama           1.05 (1.05)   1.23 (1.19)
//	PhpRedis                            1.00 (1.02)   1.02 (1.09)
//	PhpRedis, Consistent                1.05 (1.06)   1.20 (1.22)
//
// Three of these are bad for a reason. A CRC-32 is not random: labels that differ in
// a digit have points in a pattern, which leaves wide gaps (RedisRb up to 4.8,
// Predis). fnv1_64 and fnv1a_64 hardly move the upper bits for the last bytes of a key, so
// that keys that differ there only are neighbours on a ring: user:0 to user:9 share a
// server. And twemproxy's crc32 has 15 bits, which all lie before the first point of
// a ring of 32.
//
// Wherever a peer has no defined answer, or would crash, the type says what is done
// instead. All of it is pure: no I/O, no locks, and a look-up does not allocate.
// Rings hold some 3 KiB for each node.
package compat
