package compat

import (
	"encoding/binary"
	"hash/crc32"
	"math/bits"
)

// The hash functions of twemproxy are its own: most of them read bytes through C's
// char, which is signed on x86, some stop short of the end, and no library has
// them. So they are written out here, by the description of each in twemproxy's
// src/hashkit. All are 32 bits wide in the end.
//
// On ARM, char is unsigned: there twemproxy places keys with bytes beyond ASCII
// elsewhere, under the functions that take an int8 here.

var twemproxyHashes = map[string]func(string) uint32{
	"one_at_a_time": oneAtATime[int8],
	"md5":           func(s string) uint32 { return uint32(hashMD5(s)) },
	"crc16":         crc16Unmasked,
	"crc32":         func(s string) uint32 { return crc32.ChecksumIEEE(bytesOf(s)) >> 16 & 0x7fff },
	"crc32a":        func(s string) uint32 { return crc32.ChecksumIEEE(bytesOf(s)) },
	"fnv1_64":       func(s string) uint32 { return uint32(fnv1[uint64, int8](s, fnvOffset64, fnvPrime64)) },
	"fnv1a_64":      fnv1aCut,
	"fnv1_32":       func(s string) uint32 { return fnv1[uint32, int8](s, fnvOffset32, fnvPrime32) },
	"fnv1a_32":      func(s string) uint32 { return fnv1a[uint32, int8](s, fnvOffset32, fnvPrime32) },
	"hsieh":         hsieh,
	"murmur":        murmur2,
	"jenkins":       jenkins,
}

// fnv1aCut is what twemproxy calls FNV-1a-64: it keeps only the lower 32 bits all
// along. For ASCII these are the lower 32 bits of the true hash.
func fnv1aCut(s string) uint32 {
	const lower = 1<<32 - 1
	return fnv1a[uint32, int8](s, fnvOffset64&lower, fnvPrime64&lower)
}

// crc16Unmasked is a CRC-16 (XMODEM) in a register of 32 bits whose upper half is
// never cleared, and counts.
func crc16Unmasked(s string) uint32 {
	crc := uint32(0)
	for i := range len(s) {
		crc = crc<<8 ^ uint32(crc16Table[byte(crc>>8)^s[i]])
	}
	return crc
}

// hsieh is P. Hsieh's SuperFastHash, begun at zero rather than at the length, and
// with the last byte of three signed.
func hsieh(s string) uint32 {
	h, b := uint32(0), bytesOf(s)
	for ; len(b) >= 4; b = b[4:] {
		h += uint32(binary.LittleEndian.Uint16(b))
		h = h<<16 ^ (uint32(binary.LittleEndian.Uint16(b[2:]))<<11 ^ h)
		h += h >> 11
	}
	switch len(b) {
	case 3:
		h += uint32(binary.LittleEndian.Uint16(b))
		h ^= h << 16
		h ^= uint32(int8(b[2])) << 18
		h += h >> 11
	case 2:
		h += uint32(binary.LittleEndian.Uint16(b))
		h ^= h << 11
		h += h >> 17
	case 1:
		h += uint32(b[0])
		h ^= h << 10
		h += h >> 1
	}
	h ^= h << 3
	h += h >> 5
	h ^= h << 4
	h += h >> 17
	h ^= h << 25
	return h + h>>6
}

// murmur2 is A. Appleby's MurmurHash2, whose seed twemproxy takes from the length.
func murmur2(s string) uint32 {
	const m, r = 0x5bd1e995, 24
	b := bytesOf(s)
	h := 0xdeadbeef*uint32(len(b)) ^ uint32(len(b))
	for ; len(b) >= 4; b = b[4:] {
		k := binary.LittleEndian.Uint32(b) * m
		h = h*m ^ (k^k>>r)*m
	}
	for i, c := range b {
		h ^= uint32(c) << (8 * i)
	}
	if len(b) > 0 {
		h *= m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}

// jenkins is R. Jenkins's lookup3, hashlittle with 13 as initval. The state is three
// words; where the key ends in between, zeros follow, which is what adding the bytes
// that there are comes to.
func jenkins(s string) uint32 {
	b := bytesOf(s)
	a := 0xdeadbeef + uint32(len(b)) + 13
	c, d := a, a // called b and c by Jenkins
	for ; len(b) > 12; b = b[12:] {
		a += binary.LittleEndian.Uint32(b)
		c += binary.LittleEndian.Uint32(b[4:])
		d += binary.LittleEndian.Uint32(b[8:])
		a, c, d = jenkinsMix(a, c, d)
	}
	if len(b) == 0 {
		return d
	}
	var last [12]byte
	copy(last[:], b)
	a += binary.LittleEndian.Uint32(last[:])
	c += binary.LittleEndian.Uint32(last[4:])
	d += binary.LittleEndian.Uint32(last[8:])
	return jenkinsFinal(a, c, d)
}

func jenkinsMix(a, b, c uint32) (x, y, z uint32) {
	a = (a - c) ^ bits.RotateLeft32(c, 4)
	c += b
	b = (b - a) ^ bits.RotateLeft32(a, 6)
	a += c
	c = (c - b) ^ bits.RotateLeft32(b, 8)
	b += a
	a = (a - c) ^ bits.RotateLeft32(c, 16)
	c += b
	b = (b - a) ^ bits.RotateLeft32(a, 19)
	a += c
	c = (c - b) ^ bits.RotateLeft32(b, 4)
	b += a
	return a, b, c
}

func jenkinsFinal(a, b, c uint32) uint32 {
	c = (c ^ b) - bits.RotateLeft32(b, 14)
	a = (a ^ c) - bits.RotateLeft32(c, 11)
	b = (b ^ a) - bits.RotateLeft32(a, 25)
	c = (c ^ b) - bits.RotateLeft32(b, 16)
	a = (a ^ c) - bits.RotateLeft32(c, 4)
	b = (b ^ a) - bits.RotateLeft32(a, 14)
	return (c ^ b) - bits.RotateLeft32(b, 24)
}
