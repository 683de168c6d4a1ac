package compat

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/binary"
	"hash/adler32"
	"hash/crc32"
	"math/bits"

	"github.com/cespare/xxhash/v2"
	"github.com/twmb/murmur3"
)

// phpHashes are hashes of PHP's as phpredis reads them: the first eight bytes of the
// digest, or as many as there are, as a little-endian number. The digests of PHP's
// short hashes are in big-endian order, but for crc32.
var phpHashes = map[string]func(string) uint64{
	"md5":        func(s string) uint64 { d := md5.Sum(bytesOf(s)); return first(d[:]) },
	"sha1":       func(s string) uint64 { d := sha1.Sum(bytesOf(s)); return first(d[:]) },
	"sha224":     func(s string) uint64 { d := sha256.Sum224(bytesOf(s)); return first(d[:]) },
	"sha256":     func(s string) uint64 { d := sha256.Sum256(bytesOf(s)); return first(d[:]) },
	"sha384":     func(s string) uint64 { d := sha512.Sum384(bytesOf(s)); return first(d[:]) },
	"sha512":     func(s string) uint64 { d := sha512.Sum512(bytesOf(s)); return first(d[:]) },
	"sha512/224": func(s string) uint64 { d := sha512.Sum512_224(bytesOf(s)); return first(d[:]) },
	"sha512/256": func(s string) uint64 { d := sha512.Sum512_256(bytesOf(s)); return first(d[:]) },
	"sha3-224":   func(s string) uint64 { d := sha3.Sum224(bytesOf(s)); return first(d[:]) },
	"sha3-256":   func(s string) uint64 { d := sha3.Sum256(bytesOf(s)); return first(d[:]) },
	"sha3-384":   func(s string) uint64 { d := sha3.Sum384(bytesOf(s)); return first(d[:]) },
	"sha3-512":   func(s string) uint64 { d := sha3.Sum512(bytesOf(s)); return first(d[:]) },
	"crc32":      func(s string) uint64 { return uint64(crc32Bzip2(s)) },
	"crc32b":     func(s string) uint64 { return reversed(crc32.ChecksumIEEE(bytesOf(s))) },
	"crc32c":     func(s string) uint64 { return reversed(crc32.Checksum(bytesOf(s), castagnoli)) },
	"adler32":    func(s string) uint64 { return reversed(adler32.Checksum(bytesOf(s))) },
	"fnv132":     func(s string) uint64 { return reversed(fnv1[uint32, uint8](s, fnvOffset32, fnvPrime32)) },
	"fnv1a32":    func(s string) uint64 { return reversed(fnv1a[uint32, uint8](s, fnvOffset32, fnvPrime32)) },
	"fnv164":     func(s string) uint64 { return bits.ReverseBytes64(fnv1[uint64, uint8](s, fnvOffset64, fnvPrime64)) },
	"fnv1a64":    func(s string) uint64 { return bits.ReverseBytes64(fnv1a[uint64, uint8](s, fnvOffset64, fnvPrime64)) },
	"joaat":      func(s string) uint64 { return reversed(oneAtATime[uint8](s)) },
	"murmur3a":   func(s string) uint64 { return reversed(murmur3.StringSum32(s)) },
	"murmur3f":   func(s string) uint64 { h, _ := murmur3.StringSum128(s); return bits.ReverseBytes64(h) },
	"xxh64":      func(s string) uint64 { return bits.ReverseBytes64(xxhash.Sum64String(s)) },
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func first(digest []byte) uint64 { return binary.LittleEndian.Uint64(digest) }

func reversed(sum uint32) uint64 { return uint64(bits.ReverseBytes32(sum)) }

// crc32Bzip2 is what PHP calls crc32: the CRC-32 of bzip2, from the top bit down.
func crc32Bzip2(s string) uint32 {
	crc := ^uint32(0)
	for i := range len(s) {
		crc = crc<<8 ^ bzip2Table[byte(crc>>24)^s[i]]
	}
	return ^crc
}

var bzip2Table = func() (table [256]uint32) {
	for i := range table {
		crc := uint32(i) << 24
		for range 8 {
			carry := crc >> 31
			crc = crc<<1 ^ carry*0x04c11db7
		}
		table[i] = crc
	}
	return table
}()
