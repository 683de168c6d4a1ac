package compat

import (
	"crypto/md5"
	"encoding/binary"
	"strconv"
)

// ketamaCircle lays out the points of the members, of whom the earlier one has a
// point that two share. The function hashes tells how many hashes a weight of a total
// is worth among so many nodes.
func ketamaCircle(members []member, hashes func(weight, total uint64, nodes int) int) *circle {
	total := uint64(0)
	for _, m := range members {
		total += weight(m.Node)
	}
	var packed []uint64
	for i, m := range members {
		k := hashes(weight(m.Node), total, len(members))
		packed = ketamaPoints(packed, m.Name, k, uint64(i))
	}
	points := keepFirst(sorted32(packed))
	for i := range points {
		points[i].node = members[points[i].node].position
	}
	return newCircle(points, 32, members[0].position)
}

// ketamaPoints appends the points of the label's first so many hashes, each
// packed above low: the MD5 of "label-0", "label-1" and so on is four points each,
// its four words in little-endian order.
func ketamaPoints(packed []uint64, label string, hashes int, low uint64) []uint64 {
	text := labelText(label, '-')
	for k := range hashes {
		sum := md5.Sum(strconv.AppendInt(text, int64(k), 10))
		for i := 0; i < len(sum); i += 4 {
			packed = append(packed, uint64(binary.LittleEndian.Uint32(sum[i:]))<<32|low)
		}
	}
	return packed
}

// labelText returns a label and a separator, with room for a number behind them.
func labelText(label string, separator byte) []byte {
	text := make([]byte, 0, len(label)+21)
	return append(append(text, label...), separator)
}

// hashMD5 is the hash of ketama: the first word of the MD5, in little-endian order.
func hashMD5(part string) uint64 {
	sum := md5.Sum(bytesOf(part))
	return uint64(binary.LittleEndian.Uint32(sum[:]))
}
