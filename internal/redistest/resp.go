package redistest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Nil is the reply for what is not there.
var Nil = []byte("$-1\r\n")

// Simple returns a simple string as a reply, such as OK.
func Simple(s string) []byte { return []byte("+" + s + "\r\n") }

// Error returns an error reply. Its text starts with its code, such as
// "LOADING Redis is loading the dataset in memory".
func Error(text string) []byte { return []byte("-" + text + "\r\n") }

// Int returns an integer reply.
func Int(n int) []byte { return fmt.Appendf(nil, ":%d\r\n", n) }

// Bulk returns a bulk string reply.
func Bulk(s string) []byte { return fmt.Appendf(nil, "$%d\r\n%s\r\n", len(s), s) }

// Array returns an array of the given replies.
func Array(replies ...[]byte) []byte {
	array := fmt.Appendf(nil, "*%d\r\n", len(replies))
	for _, r := range replies {
		array = append(array, r...)
	}
	return array
}

// errMalformed is a request that is no array of bulk strings. Inline commands,
// which no client library sends, are not understood.
var errMalformed = errors.New("redistest: malformed request")

// readCommand reads one command whole: its name and its arguments.
func readCommand(r *bufio.Reader) ([]string, error) {
	n, err := readHeader(r, '*')
	if err != nil {
		return nil, err
	}
	if n == 0 {
		return nil, errMalformed
	}
	var cmd []string
	for range n {
		arg, err := readBulk(r)
		if err != nil {
			return nil, err
		}
		cmd = append(cmd, arg)
	}
	return cmd, nil
}

func readBulk(r *bufio.Reader) (string, error) {
	n, err := readHeader(r, '$')
	if err != nil {
		return "", err
	}
	var b strings.Builder
	if _, err := io.CopyN(&b, r, int64(n)); err != nil {
		return "", err
	}
	end := make([]byte, 2)
	if _, err := io.ReadFull(r, end); err != nil {
		return "", err
	}
	if string(end) != "\r\n" {
		return "", errMalformed
	}
	return b.String(), nil
}

// readHeader reads a line of the given kind that holds a length.
func readHeader(r *bufio.Reader, kind byte) (int, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return 0, err
	}
	digits, ok := strings.CutSuffix(line[1:], "\r\n")
	n, err := strconv.Atoi(digits)
	if line[0] != kind || !ok || err != nil || n < 0 {
		return 0, errMalformed
	}
	return n, nil
}
