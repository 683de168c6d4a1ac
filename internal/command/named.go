package command

import (
	"errors"
	"fmt"
	"strings"
)

// ByName returns what is known of the command of that name: its word, or its words
// with one space between, such as "CONFIG GET". Case does not matter.
func ByName(name string) (*Info, error) {
	cmd, sub, _ := strings.Cut(name, " ")
	var args []any
	if sub != "" {
		args = append(args, sub)
	}
	info, err := Lookup(cmd, args)
	switch {
	case err != nil:
		return nil, err
	case info.Name != strings.ToUpper(name):
		return nil, unknown(name)
	case info.subs != nil && info.Route == Rejected:
		return nil, fmt.Errorf("fluster: %s is many commands; name one of them", info.Name)
	}
	return info, nil
}

// MergedBy returns the command as one that goes to several nodes, whatever its own
// route, and whose replies merge makes one of. It must have no keys, leave no state
// behind and not wait.
func (i *Info) MergedBy(merge func(replies []Reply) (any, error)) (*Info, error) {
	switch {
	case !i.Keyless():
		return nil, errors.New("it has keys, and goes to their nodes")
	case i.Stateful:
		return nil, errors.New("it changes the connection that it goes over")
	case i.Blocking, strings.HasPrefix(i.Name, "WAIT"): // which servers do not call blocking
		return nil, errors.New("it may wait on the server")
	}
	own := *i
	own.Route, own.Reason, own.merge = FanOut, "", merge
	own.Repeatable = i.Repeatable || i.Access == Read
	return &own, nil
}

// OneOf makes one reply of those of several nodes to a FanOut call.
func (i *Info) OneOf(replies []Reply) (any, error) {
	if i.merge != nil {
		return i.merge(replies)
	}
	return i.Merge.Replies(replies)
}
