package keys

import (
	"context"
	"errors"
	"io"
	"strings"
)

const (
	chunkSize = 256 << 10
	maxKey    = 512 << 20 // what a server takes
)

// Split returns the keys in r, each ended by sep; the last one need not be. A
// key may be any bytes but sep, and may be empty. Reading goes on in a goroutine
// of its own, so that a read that blocks does not outlast ctx: then the end is
// the error of ctx, though the goroutine stays until its read is over.
func Split(ctx context.Context, r io.Reader, sep byte) Batches {
	return func(yield func([]string, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		s := splitter{sep: sep}
		chunks := read(ctx, r)
		for {
			c, err := next(ctx, chunks, func() bool { return yield(nil, nil) })
			if errors.Is(err, errStopped) {
				return
			}
			if err == nil {
				err = c.err
			}
			batch := s.split(c.text)
			if errors.Is(err, io.EOF) {
				yield(s.last(batch), nil)
				return
			}
			if err == nil {
				err = s.tooLong()
			}
			if !yield(batch, err) || err != nil {
				return
			}
		}
	}
}

// chunk is a piece of a stream. An error comes with the last one.
type chunk struct {
	text string
	err  error
}

// read reads r, some chunks ahead, until it ends or ctx does.
func read(ctx context.Context, r io.Reader) <-chan chunk {
	chunks := make(chan chunk, 4)
	go func() {
		buf := make([]byte, chunkSize)
		for {
			n, err := r.Read(buf)
			select {
			case chunks <- chunk{string(buf[:n]), err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	return chunks
}

var errStopped = errors.New("whoever takes the keys has enough of them")

// next returns the next chunk. Before it has to wait, it calls idle, which may
// stop it.
func next(ctx context.Context, chunks <-chan chunk, idle func() bool) (chunk, error) {
	if err := ctx.Err(); err != nil {
		return chunk{}, err
	}
	select {
	case c := <-chunks:
		return c, nil
	default:
	}
	if !idle() {
		return chunk{}, errStopped
	}
	select {
	case c := <-chunks:
		return c, nil
	case <-ctx.Done():
		return chunk{}, ctx.Err()
	}
}

// splitter cuts a stream that comes in chunks at each separator.
type splitter struct {
	sep   byte
	begun strings.Builder // of the key that the last chunk began
	keys  []string
}

// split returns the keys that end in text.
func (s *splitter) split(text string) []string {
	s.keys = s.keys[:0]
	for {
		end := strings.IndexByte(text, s.sep)
		if end < 0 {
			s.begun.WriteString(text)
			return s.keys
		}
		key := text[:end]
		if s.begun.Len() > 0 {
			s.begun.WriteString(key)
			key = s.begun.String()
			s.begun.Reset()
		}
		s.keys = append(s.keys, key)
		text = text[end+1:]
	}
}

// last adds the key that no separator ends, if there is one.
func (s *splitter) last(batch []string) []string {
	if s.begun.Len() == 0 {
		return batch
	}
	return append(batch, s.begun.String())
}

func (s *splitter) tooLong() error {
	if s.begun.Len() > maxKey {
		return errors.New("a key has more than 512 MiB, which no server takes")
	}
	return nil
}
