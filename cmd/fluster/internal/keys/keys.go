// Package keys brings keys in batches: from the command line, from a stream, or
// made up by a pattern. It allocates for batches, not for keys.
package keys

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Batches are keys, a batch at a time. The slice is valid until the next one
// comes; the keys are for good. An empty batch says that there is nothing more
// just now, so whoever gathers output should let go of it. An error ends it.
type Batches = iter.Seq2[[]string, error]

// Given returns keys as one batch.
func Given(keys []string) Batches {
	return func(yield func([]string, error) bool) { yield(keys, nil) }
}

// perBatch is how many keys are generated at a time.
const perBatch = 4096

// Generate returns n keys: pattern, formatted as by fmt with 0, 1, 2 and so on,
// such as "user:%d" or "session:%08x". It refuses a pattern without exactly one
// verb for a whole number. It ends early with the error of ctx.
func Generate(ctx context.Context, pattern string, n int) (Batches, error) {
	if err := checkPattern(pattern); err != nil {
		return nil, err
	}
	return func(yield func([]string, error) bool) {
		var maker packer
		for i := 0; i < n; {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			maker.reset()
			for end := min(n, i+perBatch); i < end; i++ {
				maker.data = fmt.Appendf(maker.data, pattern, i)
				maker.mark()
			}
			if !yield(maker.pack(), nil) {
				return
			}
		}
	}, nil
}

// maxPattern bounds a generated key, and so what a batch of them takes.
const maxPattern = 1024

func checkPattern(pattern string) error {
	first, second := fmt.Sprintf(pattern, 1), fmt.Sprintf(pattern, 2)
	switch {
	case strings.Contains(first, "%!"):
		return errors.New("a pattern holds one verb for a whole number, such as user:%d, and %% for a percent sign")
	case first == second:
		return errors.New("without a verb such as %d all keys would be the same")
	case len(first) > maxPattern:
		return fmt.Errorf("it makes keys of more than %d bytes", maxPattern)
	}
	return nil
}

// FromHex decodes keys that are written in hexadecimal digits. An error tells
// the number of the key, from 1.
func FromHex(written Batches) Batches {
	return func(yield func([]string, error) bool) {
		var decoder packer
		count := 0
		for batch, err := range written {
			if err == nil {
				batch, err = decoder.decode(batch, &count)
			}
			if !yield(batch, err) || err != nil {
				return
			}
		}
	}
}

// packer makes many strings with one allocation.
type packer struct {
	data []byte
	ends []int
	keys []string
}

func (p *packer) reset() { p.data, p.ends = p.data[:0], p.ends[:0] }

// mark ends a string.
func (p *packer) mark() { p.ends = append(p.ends, len(p.data)) }

// pack returns what lies between the marks.
func (p *packer) pack() []string {
	all, start := string(p.data), 0
	p.keys = p.keys[:0]
	for _, end := range p.ends {
		p.keys = append(p.keys, all[start:end])
		start = end
	}
	return p.keys
}

// decode decodes a batch and counts its keys.
func (p *packer) decode(batch []string, count *int) ([]string, error) {
	p.reset()
	for _, written := range batch {
		*count++
		start := len(p.data)
		p.data = append(p.data, written...)
		n, err := hex.Decode(p.data[start:], p.data[start:])
		if err != nil {
			return nil, fmt.Errorf("key %d is not in hexadecimal digits", *count)
		}
		p.data = p.data[:start+n]
		p.mark()
	}
	return p.pack(), nil
}
