package command

// shortName is how many letters a name has that fits into one word.
const shortName = 7

// packed returns a name of up to seven letters, whatever their case, as one word. Its first
// byte is their number, lest a name begin with zeros.
func packed(name string) uint64 {
	word := uint64(len(name))
	for i := range len(name) {
		word = word<<8 | uint64(upper(name[i]))
	}
	return word
}

// words has commands by their packed names. A map would take several times as long to find
// one, which each call would feel. A name that is not where its hash tells stands behind it:
// this is linear probing, with multiplicative hashing (D. Knuth, The Art of Computer
// Programming, volume 3, 6.4).
type words [1 << wordBits]struct {
	name uint64
	info *Info
}

// wordBits makes room for five times as many as there are.
const wordBits = 10

// shortest has the commands of short names, which nearly all calls are of.
var shortest = func() *words {
	w := new(words)
	for name, info := range all {
		if len(name) <= shortName {
			at := w.place(packed(name))
			w[at].name, w[at].info = packed(name), info
		}
	}
	return w
}()

// place is where a name stands, or, if it is not there, where it would.
func (w *words) place(name uint64) uint64 {
	const golden = 0x9E3779B97F4A7C15
	at := name * golden >> (64 - wordBits)
	for w[at].info != nil && w[at].name != name {
		at = (at + 1) % uint64(len(w))
	}
	return at
}

// byWord finds what find does among all commands, one of a short name by its word.
func byWord(name string) *Info {
	if len(name) > shortName {
		return find(all, name)
	}
	return shortest[shortest.place(packed(name))].info
}
