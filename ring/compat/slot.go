package compat

import "github.com/redisfluster/fluster/ring"

// Slots is the number of hash slots of a Redis Cluster.
const Slots = 1 << 14

// Slot returns the hash slot of key in a Redis Cluster, as CLUSTER KEYSLOT does: the
// lower 14 bits of the CRC-16 of the key, or of its [ring.HashTag] if it has one.
// It does not allocate.
//
// Which node has a slot is what the servers agree on, so there is no placement for
// it. Source: the Redis Cluster specification, "Key distribution model".
func Slot(key string) int {
	crc := uint16(0)
	for part, i := ring.HashTag(key), 0; i < len(part); i++ {
		crc = crc<<8 ^ crc16Table[byte(crc>>8)^part[i]]
	}
	return int(crc % Slots)
}

// crc16Table has the CRC-16 of each byte: XMODEM, polynomial 0x1021.
var crc16Table = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			carry := crc >> 15
			crc = crc<<1 ^ carry*0x1021
		}
		table[i] = crc
	}
	return table
}()
