package compat

import "encoding/binary"

// murmur64A is A. Appleby's MurmurHash64A with the seed that Jedis gives it. It is an
// older function than the MurmurHash3 that libraries have.
func murmur64A(part string) uint64 {
	const (
		seed = 0x1234abcd
		m    = 0xc6a4a7935bd1e995
		r    = 47
	)
	b := bytesOf(part)
	h := seed ^ uint64(len(b))*m
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b) * m
		h = (h ^ (k^k>>r)*m) * m
	}
	for i, c := range b {
		h ^= uint64(c) << (8 * i)
	}
	if len(b) > 0 {
		h *= m
	}
	h = (h ^ h>>r) * m
	return h ^ h>>r
}
