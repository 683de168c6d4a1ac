package command

import "strings"

// finders find the keys of commands that the specifications of a server cannot
// describe, or describe less exactly than its own parser reads them.
var finders = map[string]finder{
	"SORT":              sortKeys,
	"SORT_RO":           firstKey,
	"GEORADIUS":         func(dst []int, args []any) ([]int, error) { return radiusKeys(dst, args, 5) },
	"GEORADIUSBYMEMBER": func(dst []int, args []any) ([]int, error) { return radiusKeys(dst, args, 4) },
	"XREAD":             func(dst []int, args []any) ([]int, error) { return streamKeys(dst, args, false) },
	"XREADGROUP":        func(dst []int, args []any) ([]int, error) { return streamKeys(dst, args, true) },
	"MIGRATE":           migrateKeys,
}

func firstKey(dst []int, _ []any) ([]int, error) { return append(dst, 0), nil }

// sortKeys finds the list and, after STORE, the destination. The last STORE
// counts. What BY and GET reach is no key of the call: see ReachesBeyond.
func sortKeys(dst []int, args []any) ([]int, error) {
	store := -1
	for k := 1; k < len(args); k++ {
		switch {
		case is(args[k], "LIMIT"):
			k += 2
		case is(args[k], "BY"), is(args[k], "GET"):
			k++
		case is(args[k], "STORE"):
			k++
			store = k
		}
	}
	return appendStore(append(dst, 0), store, args)
}

// radiusKeys finds the key and, after STORE or STOREDIST, the destination; the
// last of them counts. Options begin at args[options].
func radiusKeys(dst []int, args []any, options int) ([]int, error) {
	store := -1
	for k := options; k < len(args); k++ {
		if is(args[k], "STORE") || is(args[k], "STOREDIST") {
			k++
			store = k
		}
	}
	return appendStore(append(dst, 0), store, args)
}

func appendStore(dst []int, store int, args []any) ([]int, error) {
	switch {
	case store < 0:
		return dst, nil
	case store >= len(args):
		return dst, errSyntax
	}
	return append(dst, store), nil
}

// streamKeys finds the first half of what follows STREAMS. There must be a GROUP
// before it or there must be none.
func streamKeys(dst []int, args []any, group bool) ([]int, error) {
	first, grouped := afterStreams(args)
	rest := len(args) - first
	switch {
	case grouped && !group:
		return dst, errGroup
	case first < 0, rest == 0:
		return dst, errSyntax
	case rest%2 != 0:
		return dst, errUnbalanced
	case group && !grouped:
		return dst, errNoGroup
	}
	for k := range rest / 2 {
		dst = append(dst, first+k)
	}
	return dst, nil
}

// afterStreams returns the position after STREAMS, -1 if there is none where
// options end, and whether there is a GROUP among those.
func afterStreams(args []any) (first int, group bool) {
	for k := 0; k < len(args); k++ {
		switch {
		case is(args[k], "STREAMS"):
			return k + 1, group
		case is(args[k], "BLOCK"), is(args[k], "COUNT"), is(args[k], "CLAIM"):
			k++
		case is(args[k], "GROUP"):
			k += 2
			group = true
		case !is(args[k], "NOACK"):
			return -1, group
		}
	}
	return -1, group
}

// migrateKeys finds the one key or, if that is empty, those after KEYS.
func migrateKeys(dst []int, args []any) ([]int, error) {
	for k := 5; k < len(args); k++ {
		switch {
		case is(args[k], "AUTH"):
			k++
		case is(args[k], "AUTH2"):
			k += 2
		case is(args[k], "KEYS"):
			if Text(args[2]) != "" {
				return dst, errTwoKeys
			}
			for k++; k < len(args); k++ {
				dst = append(dst, k)
			}
			return dst, nil
		}
	}
	return append(dst, 2), nil
}

// ReachesBeyond reports whether a call also reads keys that it does not name:
// SORT with a pattern after BY or GET. It finds only those that its node has.
func (i *Info) ReachesBeyond(args []any) bool {
	if i.Name != "SORT" && i.Name != "SORT_RO" {
		return false
	}
	for k := 1; k < len(args); k++ {
		switch {
		case is(args[k], "LIMIT"):
			k += 2
		case is(args[k], "STORE"):
			k++
		case is(args[k], "BY"), is(args[k], "GET"):
			k++
			if k < len(args) && isPattern(args[k]) {
				return true
			}
		}
	}
	return false
}

// isPattern tells what the server replaces by elements from what it leaves as it
// is: "#" and words without a star.
func isPattern(arg any) bool { return strings.Contains(Text(arg), "*") }
