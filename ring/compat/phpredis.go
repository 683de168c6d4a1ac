package compat

import (
	"fmt"
	"math"
	"strings"

	"github.com/redisfluster/fluster/ring"
)

// PhpRedis is the placement of RedisArray of phpredis, 5.3 to 6, on 64-bit PHP. Its
// zero value is what new RedisArray(hosts) does.
//
// The Name of a node is the host as it was passed to RedisArray. There are no
// weights: Build refuses a weight other than one.
//
// Of a key, what stands between the first "{" and the first "}" after it is hashed,
// even if that is nothing, and else the whole key. The search for them ends at the
// first NUL byte.
//
// A node that is out keeps its keys: RedisArray has no fail-over.
type PhpRedis struct {
	// Consistent is the option of that name: a ring, of which the earlier host has a
	// point that two share. If false, each host has an equal stretch of the hashes in
	// the order of the list, and one that joins moves half of all keys. Then, for the
	// one hash at the very end (that of the key FF FF FF FF, for example), phpredis
	// reads past its list and crashes; here the last host has it.
	Consistent bool

	// Algorithm is the option of that name: the name of a hash of PHP's. These are
	// known: md5, sha1, sha224, sha256, sha384, sha512, sha512/224, sha512/256,
	// sha3-224, sha3-256, sha3-384, sha3-512, crc32, crc32b, crc32c, adler32,
	// fnv132, fnv1a32, fnv164, fnv1a64, joaat, murmur3a, murmur3f and xxh64. If
	// empty, it is phpredis's own CRC-32, which is not crc32b.
	Algorithm string
}

var _ ring.Placement = PhpRedis{}

const phpRedisHashes = 40 // of each host, four points each

// Build implements [ring.Placement]. Its errors name the field.
func (p PhpRedis) Build(nodes []ring.Node) (ring.Ring, error) {
	hash := hashCRC32Raw
	if p.Algorithm != "" {
		p.Algorithm = strings.ToLower(p.Algorithm)
		digest := phpHashes[p.Algorithm]
		if digest == nil {
			return nil, fmt.Errorf("compat: PhpRedis.Algorithm: there is no %q", p.Algorithm)
		}
		hash = func(part string) uint64 { return digest(part) % math.MaxUint32 }
	}
	if err := check(nodes, weightless); err != nil {
		return nil, err
	}
	sum := newFingerprint("phpredis", p.Algorithm)
	if !p.Consistent {
		return &fixed{&stretches{hash, uint64(len(nodes))}, len(nodes), sum.names(nodes).sum()}, nil
	}
	circle := ketamaCircle(members(nodes, nil), func(uint64, uint64, int) int { return phpRedisHashes })
	return &fixed{&onCircle{phpTag, hash, circle}, len(nodes), sum.places(circle.points, nodes).sum()}, nil
}

// hashCRC32Raw is the CRC-32 of zlib without the inversion at its end, which
// phpredis leaves out.
func hashCRC32Raw(part string) uint64 { return hashCRC32(part) ^ math.MaxUint32 }

// stretches is the view of so many hosts with equal stretches of the hashes, which
// are inverted first.
type stretches struct {
	hash  hasher
	hosts uint64
}

// Locate implements [ring.View].
func (v *stretches) Locate(key string) int {
	h := v.hash(phpTag(key)) ^ math.MaxUint32
	return int(min(h*v.hosts/math.MaxUint32, v.hosts-1))
}

// phpTag returns the part of key that phpredis hashes.
func phpTag(key string) string {
	open := strings.IndexByte(key, '{')
	if open < 0 {
		return key
	}
	end := strings.IndexByte(key[open+1:], '}')
	if end < 0 || strings.IndexByte(key[:open+1+end], 0) >= 0 {
		return key
	}
	return key[open+1 : open+1+end]
}
