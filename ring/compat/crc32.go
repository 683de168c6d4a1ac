package compat

import "hash/crc32"

// hashCRC32 is the CRC-32 of zlib.
func hashCRC32(part string) uint64 { return uint64(crc32.ChecksumIEEE(bytesOf(part))) }
