package compat

// char is a byte as C has it: signed on x86, so that bytes of 0x80 and more are
// extended with ones, and unsigned elsewhere.
type char interface{ int8 | uint8 }

const (
	fnvOffset32, fnvPrime32 = 0x811c9dc5, 0x01000193
	fnvOffset64, fnvPrime64 = 0xcbf29ce484222325, 0x00000100000001b3
)

// The hashes of hash/fnv know no signed bytes, and would have to be allocated.

// fnv1 is FNV-1 of G. Fowler, L. Noll and K. Vo.
func fnv1[H uint32 | uint64, C char](s string, offset, prime H) H {
	h := offset
	for i := range len(s) {
		h = h*prime ^ H(C(s[i]))
	}
	return h
}

// fnv1a is FNV-1a.
func fnv1a[H uint32 | uint64, C char](s string, offset, prime H) H {
	h := offset
	for i := range len(s) {
		h = (h ^ H(C(s[i]))) * prime
	}
	return h
}

// oneAtATime is the hash of R. Jenkins of that name.
func oneAtATime[C char](s string) uint32 {
	h := uint32(0)
	for i := range len(s) {
		h += uint32(C(s[i]))
		h += h << 10
		h ^= h >> 6
	}
	h += h << 3
	h ^= h >> 11
	return h + h<<15
}
