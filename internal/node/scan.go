package node

import "fmt"

// Bounds of what a reply may claim. They are generous for any sane use; the
// size of a whole reply is a setting.
const (
	maxDepth = 32       // arrays in arrays
	maxLine  = 64 << 10 // bytes in a line: a status, an error, a length
)

// elementSize is what one element of an array costs to hold before its own
// contents come: an interface value.
const elementSize = 16

// replyError is a reply that breaks the protocol or claims more than it may.
type replyError struct{ what string }

func (e *replyError) Error() string { return "reply refused: " + e.what }

// scanner follows a stream of RESP2 replies, byte by byte as they come in, and
// refuses one that claims more than it may before a reader that trusts its
// claims sees it. It keeps no bytes. The zero value with a limit is ready.
//
// The protocol is RESP2 of https://redis.io/docs/latest/develop/reference/protocol-spec/.
type scanner struct {
	limit   int64  // bytes that one reply may claim
	replies uint64 // whole replies seen

	claimed int64           // by the reply under way
	depth   int             // of arrays that are open
	left    [maxDepth]int64 // elements to come, for each open array
	skip    int64           // bytes of a bulk string to come, with its CRLF

	line   int   // bytes of the line under way
	kind   byte  // its first byte
	number int64 // the length that it spells, if it is one
	null   bool  // the length is negative
	cr     bool  // the last byte was CR
}

// idle reports whether the stream stands between two replies.
func (s *scanner) idle() bool { return s.depth == 0 && s.skip == 0 && s.line == 0 }

// scan takes the next bytes of the stream.
func (s *scanner) scan(p []byte) error {
	for len(p) > 0 {
		if s.skip > 0 {
			n := min(s.skip, int64(len(p)))
			s.skip -= n
			p = p[n:]
			if s.skip == 0 {
				s.element()
			}
			continue
		}
		ended, err := s.lineByte(p[0])
		if err != nil {
			return err
		}
		p = p[1:]
		if ended {
			if err := s.lineEnd(); err != nil {
				return err
			}
		}
	}
	return nil
}

// lineByte takes one byte of a line and reports whether it ended the line.
func (s *scanner) lineByte(b byte) (ended bool, err error) {
	s.line++
	switch {
	case s.line == 1:
		s.kind, s.number, s.null, s.cr = b, 0, false, false
		switch b {
		case '+', '-', ':', '$', '*':
			return false, nil
		}
		return false, &replyError{fmt.Sprintf("it begins with %q", b)}
	case b == '\n':
		if !s.cr {
			return false, &replyError{"a line ends without CR"}
		}
		return true, nil
	case s.line > maxLine:
		return false, &replyError{fmt.Sprintf("a line is longer than %d bytes", maxLine)}
	}
	s.cr = b == '\r'
	if !s.cr && (s.kind == '$' || s.kind == '*') {
		return false, s.digit(b)
	}
	return false, nil
}

// digit takes one byte of a length.
func (s *scanner) digit(b byte) error {
	switch {
	case b == '-' && s.line == 2:
		s.null = true
	case b < '0' || b > '9':
		return &replyError{fmt.Sprintf("a length holds %q", b)}
	case s.number > s.limit: // would overflow soon
		return s.tooLarge()
	default:
		s.number = s.number*10 + int64(b-'0')
	}
	return nil
}

// lineEnd acts on a whole line.
func (s *scanner) lineEnd() error {
	length := s.line - len("$\r\n")
	s.line = 0
	if s.kind != '$' && s.kind != '*' {
		s.element()
		return nil
	}
	if length < 1 || s.null && (length != 2 || s.number != 1) {
		return &replyError{"a length is malformed"}
	}
	if s.null {
		s.element()
		return nil
	}
	if s.kind == '$' {
		return s.bulk()
	}
	return s.array()
}

func (s *scanner) bulk() error {
	s.skip = s.number + int64(len("\r\n"))
	return s.claim(s.number)
}

func (s *scanner) array() error {
	if s.number == 0 {
		s.element()
		return nil
	}
	if s.depth == maxDepth {
		return &replyError{fmt.Sprintf("arrays nest deeper than %d", maxDepth)}
	}
	s.left[s.depth] = s.number
	s.depth++
	if s.number > s.limit/elementSize {
		return s.tooLarge()
	}
	return s.claim(s.number * elementSize)
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
