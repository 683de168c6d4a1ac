package command

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// longest bounds the names in the table; what is longer is not in it.
const longest = 32

// find looks a name up, whatever the case of its letters, without allocating.
func find[S string | []byte](table map[string]*Info, name S) *Info {
	if len(name) > longest {
		return nil
	}
	var letters [longest]byte
	for i := range len(name) {
		letters[i] = upper(name[i])
	}
	return table[string(letters[:len(name)])]
}

func upper(c byte) byte {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

// sub returns the subcommand that args begin with.
func (i *Info) sub(args []any) (*Info, error) {
	var found *Info
	if len(args) > 0 {
		switch name := args[0].(type) {
		case string:
			found = find(i.subs, name)
		case []byte:
			found = find(i.subs, name)
		default:
			found = find(i.subs, Text(name))
		}
	}
	if found != nil {
		return found, nil
	}
	if _, itself := policies[i.Name]; itself && (i.Route == Rejected || len(args) == 0) {
		return i, nil
	}
	return nil, i.unknownSub(args)
}

// ErrUnknown is for a command that is not in the table.
var ErrUnknown = errors.New("unknown command")

func unknown(cmd string) error {
	return fmt.Errorf("fluster: %w %s", ErrUnknown, quote(cmd))
}

func (i *Info) unknownSub(args []any) error {
	if len(args) == 0 {
		return i.errArity()
	}
	known := strings.Join(slices.Sorted(maps.Keys(i.subs)), ", ")
	return fmt.Errorf("fluster: unknown subcommand %s of %s, which has %s", quote(Text(args[0])), i.Name, known)
}

// quote shows a name that somebody else chose, cut to a sane length.
func quote(name string) string {
	const most = 64
	if len(name) > most {
		return fmt.Sprintf("%q...", name[:most])
	}
	return fmt.Sprintf("%q", name)
}
