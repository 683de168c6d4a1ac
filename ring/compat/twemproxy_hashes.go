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
// elsewhere, under the functions that use signed and signed64.

var twemproxyHashes = map[string]func(string) uint32{
	"one_at_a_time": oneAtATime,
	"md5":           func(s string) uint32 { return uint32(hashMD5(s)) },
	"crc16":         crc16Unmasked,
	"crc32":         func(s string) uint32 { return crc32.ChecksumIEEE(bytesOf(s)) >> 16 & 0x7fff },
	"crc32a":        func(s string) uint32 { return crc32.ChecksumIEEE(bytesOf(s)) },
	"fnv1_64":       fnv1Of64,
	"fnv1a_64":      fnv1aOf64,
	"fnv1_32":       fnv1Of32,
	"fnv1a_32":      fnv1aOf32,
	"hsieh":         hsieh,
	"murmur":        murmur2,
	"jenkins":       jenkins,
}

// signed is a byte as C extends it to 32 bits if char is signed.
func signed(b byte) uint32 { return uint32(int32(int8(b))) }

// signed64 is a byte as C extends it to 64 bits if char is signed.
func signed64(b byte) uint64 { return uint64(int64(int8(b))) }

// fnv1aOf64 is what twemproxy calls FNV-1a-64: it keeps only the lower 32 bits all
// along. For ASCII these are the lower 32 bits of the true hash.
func fnv1aOf64(s string) uint32 {
	h := uint32(0x84222325)
	for i := range len(s) {
		h = (h ^ signed(s[i])) * 0x1b3
	}
	return h
}

// fnv1Of64 is the lower half of FNV-1-64 with signed bytes.
func fnv1Of64(s string) uint32 {
	h := uint64(0xcbf29ce484222325)
	for i := range len(s) {
		h = h*0x100000001b3 ^ signed64(s[i])
	}
	return uint32(h)
}

const (
	fnvOffset32 = 0x811c9dc5
	fnvPrime32  = 0x01000193
)

// fnv1Of32 is FNV-1-32 with signed bytes.
func fnv1Of32(s string) uint32 {
	h := uint32(fnvOffset32)
	for i := range len(s) {
		h = h*fnvPrime32 ^ signed(s[i])
	}
	return h
}

// fnv1aOf32 is FNV-1a-32 with signed bytes.
func fnv1aOf32(s string) uint32 {
	h := uint32(fnvOffset32)
	for i := range len(s) {
		h = (h ^ signed(s[i])) * fnvPrime32
	}
	return h
}

// oneAtATime is the hash of R. Jenkins of that name, with signed bytes.
func oneAtATime(s string) uint32 {
	h := uint32(0)
	for i := range len(s) {
		h += signed(s[i])
		h += h << 10
		h ^= h >> 6
	}
	h += h << 3
	h ^= h >> 11
	return h + h<<15
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
		h ^= signed(b[2]) << 18
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
