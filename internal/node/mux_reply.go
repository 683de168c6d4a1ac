package node

import (
	"bytes"
	"fmt"
	"io"
	"math"

	"github.com/gomodule/redigo/redis"
)

// replyReader reads replies into the types that redigo gives, with the bounds that
// the scanner sets for redigo's own reader. After an error it is of no more use.
type replyReader struct {
	src   io.Reader
	limit int64 // bytes that one reply may claim
	size  int   // bytes of strings read; for the caller to reset

	buf      []byte
	from, to int // what of buf has not been used
	base     int // how large buf is unless a line needs more

	claimed int64 // by the reply under way
	bulks   bulks
}

func newReplyReader(src io.Reader, limit int64, buffer int) replyReader {
	return replyReader{src: src, limit: limit, buf: make([]byte, buffer), base: buffer}
}

// ahead returns how many bytes were read that belong to no reply yet.
func (r *replyReader) ahead() int { return r.to - r.from }

// await waits for the beginning of a reply.
func (r *replyReader) await() error {
	if r.ahead() > 0 {
		return nil
	}
	return r.fill()
}

// next returns the next reply: a string, []byte, int64, nil, []any of such, or a
// redis.Error as a value.
func (r *replyReader) next() (any, error) {
	r.claimed = 0
	return r.value(0)
}

func (r *replyReader) value(depth int) (any, error) {
	if n, ok := r.shortLength(); ok {
		return r.bulk(n)
	}
	line, err := r.line()
	if err != nil {
		return nil, err
	}
	text := line[1:]
	switch line[0] {
	case '$':
		n, null, err := r.length(text)
		if err != nil || null {
			return nil, err
		}
		return r.bulk(n)
	case ':':
		return integer(text)
	case '*':
		return r.array(text, depth)
	}
	if err := r.claim(int64(len(text))); err != nil {
		return nil, err
	}
	if line[0] == '-' {
		return redis.Error(text), nil
	}
	return status(text), nil
}

// okReply is the status that nearly all are, boxed once.
var okReply any = "OK"

func status(text []byte) any {
	if string(text) == "OK" {
		return okReply
	}
	return string(text)
}

func integer(text []byte) (any, error) {
	n, minus, _, err := number(text)
	if err != nil {
		return nil, err
	}
	if minus {
		if n > -math.MinInt64 {
			return nil, errNumberSize
		}
		return -int64(n), nil
	}
	if n > math.MaxInt64 {
		return nil, errNumberSize
	}
	return int64(n), nil
}

// shortLength takes the line that most strings begin with, which is there and tells a
// length of up to four digits, or nothing.
func (r *replyReader) shortLength() (n int, ok bool) {
	b := r.buf[r.from:r.to]
	if len(b) < len("$1234\r\n") || b[0] != '$' {
		return 0, false
	}
	i := 1
	for ; i <= len("1234") && '0' <= b[i] && b[i] <= '9'; i++ {
		n = n*10 + int(b[i]-'0')
	}
	if i == 1 || b[i] != '\r' || b[i+1] != '\n' {
		return 0, false
	}
	r.from += i + len("\r\n")
	return n, true
}

// bulk returns the n bytes of a bulk string, which follow.
func (r *replyReader) bulk(n int) (any, error) {
	if err := r.claim(int64(n)); err != nil {
		return nil, err
	}
	r.size += n
	room, boxed := r.bulks.next(n)
	have := copy(room, r.buf[r.from:r.to])
	r.from += have
	if have < n {
		if _, err := io.ReadFull(r.src, room[have:]); err != nil {
			return nil, err
		}
	}
	return boxed, r.tail()
}

// tail takes the end of a bulk string.
func (r *replyReader) tail() error {
	if b := r.buf[r.from:r.to]; len(b) >= 2 && b[0] == '\r' && b[1] == '\n' {
		r.from += 2
		return nil
	}
	for _, want := range []byte("\r\n") {
		if r.ahead() == 0 {
			if err := r.fill(); err != nil {
				return err
			}
		}
		if r.buf[r.from] != want {
			return errTail
		}
		r.from++
	}
	return nil
}

var errTail = &replyError{"a bulk string is not as long as it claims"}

// array returns the replies that follow a line with their number.
func (r *replyReader) array(length []byte, depth int) (any, error) {
	n, null, err := r.length(length)
	switch {
	case err != nil || null:
		return nil, err
	case n == 0:
		return []any{}, nil
	case depth == maxDepth:
		return nil, &replyError{fmt.Sprintf("arrays nest deeper than %d", maxDepth)}
	case int64(n) > r.limit/elementSize:
		return nil, r.tooLarge()
	}
	if err := r.claim(int64(n) * elementSize); err != nil {
		return nil, err
	}
	all := make([]any, n)
	for i := range all {
		r.bulks.more = max(r.bulks.more, n-i)
		if all[i], err = r.value(depth + 1); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// length reads how long a string or an array is, or that it is none.
func (r *replyReader) length(text []byte) (n int, null bool, err error) {
	u, minus, digits, err := number(text)
	switch {
	case err != nil:
		return 0, false, err
	case minus && digits == 1 && u == 1:
		return 0, true, nil
	case minus:
		return 0, false, &replyError{"a length is negative"}
	case u > uint64(r.limit):
		return 0, false, r.tooLarge()
	}
	return int(u), false, nil
}

func (r *replyReader) claim(n int64) error {
	if n > r.limit-r.claimed {
		return r.tooLarge()
	}
	r.claimed += n
	return nil
}

func (r *replyReader) tooLarge() error {
	return &replyError{fmt.Sprintf("it claims more than %d bytes", r.limit)}
}

var errNumberSize = &replyError{"a number is too large"}

// number reads an optional minus and digits.
func number(text []byte) (n uint64, minus bool, digits int, err error) {
	if len(text) > 0 && text[0] == '-' {
		minus, text = true, text[1:]
	}
	if len(text) == 0 {
		return 0, false, 0, &replyError{"a number is malformed"}
	}
	for _, b := range text {
		switch {
		case b < '0' || b > '9':
			return 0, false, 0, &replyError{fmt.Sprintf("a number holds %q", b)}
		case n >= 1e18: // one more digit might not fit
			return 0, false, 0, errNumberSize
		}
		n = n*10 + uint64(b-'0')
	}
	return n, minus, len(text), nil
}

// line returns the next line without its end. It is valid until more is read.
func (r *replyReader) line() ([]byte, error) {
	seen := 0 // bytes that hold no end
	for {
		part := r.buf[r.from:r.to]
		if i := bytes.IndexByte(part[seen:], '\n'); i >= 0 {
			return r.cut(part[:seen+i+1])
		}
		if err := begins(part); err != nil {
			return nil, err
		}
		seen = len(part)
		if err := r.fill(); err != nil {
			return nil, err
		}
	}
}

// begins says what is wrong with a line whose end has not come: it might never.
func begins(part []byte) error {
	switch {
	case len(part) == 0:
		return nil
	case !isKind(part[0]):
		return errKind(part[0])
	case len(part) > maxLine:
		return errLine
	case part[0] == '+' || part[0] == '-':
		return nil
	}
	text := bytes.TrimSuffix(part[1:], []byte{'\r'})
	if len(text) == 0 || len(text) == 1 && text[0] == '-' {
		return nil
	}
	_, _, _, err := number(text)
	return err
}

// cut takes a line that is all there.
func (r *replyReader) cut(line []byte) ([]byte, error) {
	r.from += len(line)
	n := len(line) - len("\r\n")
	switch {
	case !isKind(line[0]):
		return nil, errKind(line[0])
	case len(line) > maxLine:
		return nil, errLine
	case n < 1 || line[n] != '\r':
		return nil, &replyError{"a line ends without CR"}
	}
	return line[:n], nil
}

var errLine = &replyError{fmt.Sprintf("a line is longer than %d bytes", maxLine)}

func isKind(b byte) bool {
	switch b {
	case '+', '-', ':', '$', '*':
		return true
	}
	return false
}

func errKind(b byte) error { return &replyError{fmt.Sprintf("it begins with %q", b)} }

// fill reads more, once.
func (r *replyReader) fill() error {
	r.makeRoom()
	n, err := r.src.Read(r.buf[r.to:])
	r.to += n
	if n > 0 {
		return nil // an error comes again
	}
	if err == nil {
		return io.ErrNoProgress
	}
	return err
}

// makeRoom makes sure that there is some behind what is ahead. Only a line that is
// longer than the buffer needs a larger one, and only for itself.
func (r *replyReader) makeRoom() {
	switch {
	case r.from == r.to:
		if len(r.buf) > r.base {
			r.buf = make([]byte, r.base)
		}
		r.from, r.to = 0, 0
	case r.to < len(r.buf):
	case r.from > 0:
		r.to = copy(r.buf, r.buf[r.from:r.to])
		r.from = 0
	default:
		r.buf = append(r.buf, make([]byte, len(r.buf))...)
	}
}
