package command

import "errors"

// spec is one of a command's key specifications. Positions count from the
// command's name, which is 0.
type spec struct {
	parsed bool // found by the command's finder

	counted  bool // word count holds the number of keys
	count    int
	optional bool // there may be none

	first int // where the keys begin
	last  int // where they end; negative: from the end, -1 being the last word; unless counted
	step  int // from key to key

	use Access
}

// finder appends the positions of the keys of calls that specs cannot describe,
// in the order in which the server has them.
type finder func(dst []int, args []any) ([]int, error)

var errLength = errors.New("unexpected number of elements")

// Keys appends the positions in args, the first being 0, of the keys of a call,
// or of its channels if it goes by those. None is not an error.
//
// It returns an error if the server would refuse the call as well, without
// looking at any data: too few arguments, or a number of keys that is no number
// or too large. The error is a redis.Error in a server's words; where a call is
// wrong in several ways, a server may name another one. Keys does not check the
// rest of the syntax. Too many arguments it
// leaves to the server, which may be one that takes more than Arity; but not for
// commands that may be split, so that their parts need not look for them.
func (i *Info) Keys(dst []int, args []any) ([]int, error) {
	err := i.checkArity(len(args) + 1)
	if err != nil {
		return dst, err
	}
	if i.find != nil {
		return i.find(dst, args)
	}
	for k := range i.specs {
		if dst, err = i.specs[k].keys(i, dst, args); err != nil {
			return dst, err
		}
	}
	return dst, nil
}

func (i *Info) checkArity(words int) error {
	least := max(i.Arity, -i.Arity)
	if words < least || words > least && i.Arity > 0 && i.Split != NoSplit {
		return i.errArity()
	}
	return nil
}

// Keyless tells a command that never has keys, nor channels by which it goes.
func (i *Info) Keyless() bool { return i.find == nil && len(i.specs) == 0 }

// keys appends the keys that one specification of i names.
func (s *spec) keys(i *Info, dst []int, args []any) ([]int, error) {
	if s.counted {
		return s.appendCounted(i, dst, args)
	}
	end := s.last // the position after the last key's, in args
	if end < 0 {
		end += len(args) + 1
	}
	if end > len(args) {
		return dst, i.errArity()
	}
	k := s.first - 1
	for ; k < end; k += s.step {
		dst = append(dst, k)
	}
	if s.last == -1 && k > len(args) {
		return dst, i.errArity() // a key without what belongs to it
	}
	return dst, nil
}

// appendCounted appends as many keys as an argument says.
func (s *spec) appendCounted(i *Info, dst []int, args []any) ([]int, error) {
	count, first := s.count-1, s.first-1
	if count >= len(args) {
		return dst, i.errArity()
	}
	n, ok := integer(args[count])
	if !ok || n < 0 || n == 0 && !s.optional || n > (len(args)-first)/s.step {
		return dst, i.errCount(n, ok)
	}
	for k := range n {
		dst = append(dst, first+k*s.step)
	}
	return dst, nil
}
