package command

import "github.com/gomodule/redigo/redis"

// Part is what one node does of a split call, and its reply.
type Part struct {
	// Keys are the places of its keys among those of the call: 0 for the first
	// that Keys found, and so on.
	Keys []int
	Reply
}

// Args returns the arguments of the part of a call that has the given keys, as
// positions in args. It is for Values, Pairs and Count, whose commands keep their
// names.
func (s Split) Args(args []any, keys []int) []any {
	part := make([]any, 0, 2*len(keys))
	for _, k := range keys {
		part = append(part, args[k])
		if s == Pairs {
			part = append(part, args[k+1])
		}
	}
	return part
}

// Width is how many arguments belong to each key in such a part, with the key.
func (s Split) Width() int {
	if s == Pairs {
		return 2
	}
	return 1
}

// Join makes one reply of those to the parts of a call with n keys. If some
// failed, the error is that of [Merge.Replies]: Count counts what the others did,
// and Values has, in the place of a key whose node failed, that error. A []any
// with such errors in it is what redigo returns for EXEC, too.
func (s Split) Join(n int, parts []Part) (any, error) {
	replies := make([]Reply, len(parts))
	for i, p := range parts {
		replies[i] = p.Reply
	}
	switch s {
	case Pairs:
		return AllOK.Replies(replies)
	case Count:
		return Sum.Replies(replies)
	}
	return joinValues(n, parts)
}

func joinValues(n int, parts []Part) (any, error) {
	values, failed := make([]any, n), &NodesError{Total: len(parts)}
	for _, p := range parts {
		if err := p.place(values); err != nil {
			failed.add(p.Reply, err)
			for _, k := range p.Keys {
				values[k] = err
			}
		}
	}
	return values, failed.err()
}

// place puts the values of one part where they belong.
func (p Part) place(values []any) error {
	own, err := redis.Values(p.Value, p.Err)
	if err == nil && len(own) != len(p.Keys) {
		err = errLength
	}
	if err != nil {
		return err
	}
	for i, k := range p.Keys {
		values[k] = own[i]
	}
	return nil
}
