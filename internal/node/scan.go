package node

import (
	"bytes"
	"fmt"
	"math"
)

// Bounds of what a reply may claim. They are generous for any sane use; the
// size of a whole reply is a setting.
const (
	maxDepth = 32       // arrays in arrays
	maxLine  = 64 << 10 // bytes in a line: a status, an error, a length
)

// elementSize is what one element of an array costs to hold before its own
// contents come: an interface value, and the header that it points to.
const elementSize = 16 + 24

// replyError is a reply that breaks the protocol or claims more than it may.
type replyError struct{ what string }

func (e *replyError) Error() string { return "reply refused: " + e.what }

// scanner follows a stream of RESP2 replies as they come in, cut anywhere, and
// refuses one that breaks the protocol or claims more than it may, before a
// reader that trusts its claims sees it. It keeps no bytes. The zero value with
// a limit is ready; after an error it is of no more use.
//
// The protocol is RESP2 of https://redis.io/docs/latest/develop/reference/protocol-spec/.
type scanner struct {
	limit   int64  // bytes that one reply may claim
	replies uint64 // whole replies seen

	claimed int64           // by the reply under way
	depth   int             // of arrays that are open
	left    [maxDepth]int64 // elements to come, for each open array
	skip    int64           // bytes of a bulk string to come
	tail    int             // bytes of the CRLF behind it to come

	line   int    // bytes of the line under way
	kind   byte   // its first byte
	cr     bool   // its last byte was CR
	minus  bool   // its number is negative
	digits int    // how many digits its number has so far
	number uint64 // and what they spell
}

// idle reports whether the stream stands between two replies.
func (s *scanner) idle() bool { return s.depth == 0 && s.skip == 0 && s.tail == 0 && s.line == 0 }

// scan takes the next bytes of the stream.
func (s *scanner) scan(p []byte) error {
	for len(p) > 0 {
		n, err := s.step(p)
		if err != nil {
			return err
		}
		p = p[n:]
	}
	return nil
}

// step takes some of the bytes and returns how many.
func (s *scanner) step(p []byte) (int, error) {
	switch {
	case s.skip > 0:
		n := min(s.skip, int64(len(p)))
		s.skip -= n
		return int(n), nil
	case s.tail > 0:
		return 1, s.tailByte(p[0])
	case s.line == 0 && p[0] == '$':
		if n := s.wholeBulk(p); n > 0 {
			return n, nil
		}
	}
	return s.linePart(p)
}

// wholeBulk takes a short bulk string that is all there, as nearly all are, and
// returns how long it is. It returns 0 and takes nothing if it is anything else.
func (s *scanner) wholeBulk(p []byte) int {
	n, i := 0, 1
	for ; i < len(p) && i < 6 && '0' <= p[i] && p[i] <= '9'; i++ {
		n = n*10 + int(p[i]-'0')
	}
	end := i + len("\r\n") + n // of the string
	if i == 1 || len(p) < end+len("\r\n") || int64(n) > s.limit-s.claimed ||
		p[i] != '\r' || p[i+1] != '\n' || p[end] != '\r' || p[end+1] != '\n' {
		return 0
	}
	s.claimed += int64(n)
	s.element()
	return end + len("\r\n")
}

// tailByte takes one byte of the CRLF behind a bulk string.
func (s *scanner) tailByte(b byte) error {
	if b != "\n\r"[s.tail-1] {
		return &replyError{"a bulk string is not as long as it claims"}
	}
	s.tail--
	if s.tail == 0 {
		s.element()
	}
	return nil
}

// linePart takes bytes up to the end of the line, or as many as there are.
func (s *scanner) linePart(p []byte) (int, error) {
	n := bytes.IndexByte(p, '\n') + 1
	ended := n > 0
	if !ended {
		n = len(p)
	}
	part := p[:n]
	if s.line == 0 {
		if err := s.lineStart(p[0]); err != nil {
			return 0, err
		}
		part = part[1:]
	}
	if s.line += n; s.line > maxLine {
		return 0, &replyError{fmt.Sprintf("a line is longer than %d bytes", maxLine)}
	}
	if err := s.lineText(part); err != nil {
		return 0, err
	}
	if !ended {
		return n, nil
	}
	return n, s.lineEnd()
}

func (s *scanner) lineStart(kind byte) error {
	switch kind {
	case '+', '-', ':', '$', '*':
		s.kind, s.cr, s.minus, s.digits, s.number = kind, false, false, 0, 0
		return nil
	}
	return &replyError{fmt.Sprintf("it begins with %q", kind)}
}

// lineText takes what follows the first byte of a line, or a part of it: any
// text, or digits between an optional minus and CRLF.
func (s *scanner) lineText(part []byte) error {
	if s.kind == '+' || s.kind == '-' {
		if text := bytes.TrimSuffix(part, []byte{'\n'}); len(text) > 0 {
			s.cr = text[len(text)-1] == '\r'
		}
		return nil
	}
	for _, b := range part {
		if err := s.numberByte(b); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) numberByte(b byte) error {
	switch {
	case b == '\n':
		return nil
	case s.cr, b != '\r' && b != '-' && (b < '0' || b > '9'), b == '-' && (s.minus || s.digits > 0):
		return &replyError{fmt.Sprintf("a number holds %q", b)}
	case b == '\r':
		s.cr = true
	case b == '-':
		s.minus = true
	case s.number >= 1e18: // one more digit might not fit
		return &replyError{"a number is too large"}
	default:
		s.digits++
		s.number = s.number*10 + uint64(b-'0')
	}
	return nil
}

// lineEnd acts on a whole line.
func (s *scanner) lineEnd() error {
	length := s.line - len("+\r\n")
	s.line = 0
	switch {
	case !s.cr:
		return &replyError{"a line ends without CR"}
	case s.kind == '+' || s.kind == '-':
		return s.text(int64(length))
	case s.digits == 0:
		return &replyError{"a number is malformed"}
	case s.kind == ':':
		return s.integer()
	case s.minus:
		return s.null()
	case s.number > uint64(s.limit):
		return s.tooLarge()
	case s.kind == '$':
		return s.bulk(int64(s.number))
	default:
		return s.array(int64(s.number))
	}
}

func (s *scanner) text(n int64) error {
	if err := s.claim(n); err != nil {
		return err
	}
	s.element()
	return nil
}

func (s *scanner) integer() error {
	most := uint64(math.MaxInt64)
	if s.minus {
		most++
	}
	if s.number > most {
		return &replyError{"a number is too large"}
	}
	s.element()
	return nil
}

// null is a length of -1, which no other spelling and no other negative is.
func (s *scanner) null() error {
	if s.digits != 1 || s.number != 1 {
		return &replyError{"a length is negative"}
	}
	s.element()
	return nil
}

func (s *scanner) bulk(n int64) error {
	s.skip, s.tail = n, len("\r\n")
	return s.claim(n)
}

func (s *scanner) array(n int64) error {
	switch {
	case n == 0:
		s.element()
		return nil
	case s.depth == maxDepth:
		return &replyError{fmt.Sprintf("arrays nest deeper than %d", maxDepth)}
	case n > s.limit/elementSize:
		return s.tooLarge()
	}
	s.left[s.depth] = n
	s.depth++
	return s.claim(n * elementSize)
}

// claim adds n bytes to what the reply under way claims.
func (s *scanner) claim(n int64) error {
	if n > s.limit-s.claimed {
		return s.tooLarge()
	}
	s.claimed += n
	return nil
}

func (s *scanner) tooLarge() error {
	return &replyError{fmt.Sprintf("it claims more than %d bytes", s.limit)}
}

// element counts one whole element, and with it every array that it completes.
func (s *scanner) element() {
	for s.depth > 0 {
		s.left[s.depth-1]--
		if s.left[s.depth-1] > 0 {
			return
		}
		s.depth--
	}
	s.claimed = 0
	s.replies++
}
