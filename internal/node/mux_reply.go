package node

import (
	"bufio"
	"bytes"
	"io"

	"github.com/gomodule/redigo/redis"
)

// replyReader reads replies into the types that redigo gives. It trusts what it
// reads: a guard's scanner has seen and bounded it.
type replyReader struct {
	in   *bufio.Reader
	size int // bytes of strings read; for the caller to reset
}

// newReplyReader reads ahead as far as the longest line, or more.
func newReplyReader(r io.Reader) replyReader {
	return replyReader{in: bufio.NewReaderSize(r, maxLine)}
}

// next returns the next reply: a string, []byte, int64, nil, []any of such, or a
// redis.Error as a value.
func (r *replyReader) next() (any, error) {
	line, err := r.in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	text := line[1 : len(line)-len("\r\n")]
	switch line[0] {
	case '+':
		return status(text), nil
	case '-':
		return redis.Error(text), nil
	case ':':
		return integer(text), nil
	case '$':
		return r.bulk(int(integer(text)))
	}
	return r.array(int(integer(text)))
}

// bulk returns the n bytes that follow; fewer than none is nil.
func (r *replyReader) bulk(n int) (any, error) {
	if n < 0 {
		return nil, nil
	}
	r.size += n
	p := make([]byte, n)
	if _, err := io.ReadFull(r.in, p); err != nil {
		return nil, err
	}
	_, err := r.in.Discard(len("\r\n"))
	return p, err
}

// array returns the n replies that follow; fewer than none is nil.
func (r *replyReader) array(n int) (any, error) {
	if n < 0 {
		return nil, nil
	}
	all := make([]any, n)
	for i := range all {
		var err error
		if all[i], err = r.next(); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// okReply is the status that nearly all are, boxed once.
var okReply any = "OK"

func status(text []byte) any {
	if bytes.Equal(text, []byte("OK")) {
		return okReply
	}
	return string(text)
}

// integer reads an optional minus and digits.
func integer(text []byte) int64 {
	var n int64
	minus := text[0] == '-'
	if minus {
		text = text[1:]
	}
	for _, b := range text {
		n = n*10 + int64(b-'0')
	}
	if minus {
		return -n
	}
	return n
}
