package main

import (
	"io"
	"os"

	"github.com/redisfluster/fluster/cmd/fluster/internal/keys"
)

// streamFlags say how keys are written on standard input.
type streamFlags struct {
	Hex  bool `help:"Keys are written in hexadecimal digits."`
	Null bool `short:"0" help:"Keys end with a NUL byte instead of a new line."`
}

// separator is the byte that ends a key.
func (f streamFlags) separator() byte {
	if f.Null {
		return 0
	}
	return '\n'
}

// stream returns the keys on standard input.
func (f streamFlags) stream(s *session) keys.Batches {
	batches := keys.Split(s.ctx, s.stdin, f.separator())
	if f.Hex {
		return keys.FromHex(batches)
	}
	return batches
}

// sampleFlags say which keys are counted.
type sampleFlags struct {
	Keys    *int    `placeholder:"N" help:"Make up so many keys, instead of reading them from standard input."`
	Pattern *string `placeholder:"FORMAT" help:"What made-up keys look like, with %d or such for their number (user:%d)."`

	streamFlags `embed:""`
}

const defaultPattern = "user:%d"

// sample returns the keys to count.
func (f sampleFlags) sample(s *session) (keys.Batches, error) {
	if f.Keys == nil {
		switch {
		case f.Pattern != nil:
			return nil, usagef("--pattern needs --keys, the number of keys to make up")
		case isTerminal(s.stdin):
			return nil, usagef("which keys? Give them on standard input, or make some up with --keys")
		}
		return f.stream(s), nil
	}
	if *f.Keys < 1 || f.Hex || f.Null {
		return nil, usagef("--keys is a number from 1, and goes without --hex and --null")
	}
	pattern := defaultPattern
	if f.Pattern != nil {
		pattern = *f.Pattern
	}
	batches, err := keys.Generate(s.ctx, pattern, *f.Keys)
	if err != nil {
		return nil, usagef("--pattern: %v", err)
	}
	return batches, nil
}

// isTerminal tells whether somebody would have to type the keys.
func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && f.Name() != os.DevNull
}
