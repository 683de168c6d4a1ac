package node

import (
	"bytes"
	"errors"
	"io"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fuzzLimit is what a reply may claim in these tests.
const fuzzLimit = 4096

func TestAScannerCountsWholeReplies(t *testing.T) {
	for stream, want := range map[string]struct {
		replies uint64
		idle    bool
	}{
		"":                                  {0, true},
		"+OK\r\n":                           {1, true},
		"+\r\n":                             {1, true},
		"+a\rb\r\n":                         {1, true},
		"-ERR no\r\n:1\r\n":                 {2, true},
		":-9223372036854775808\r\n":         {1, true},
		":9223372036854775807\r\n":          {1, true},
		"$5\r\nhello\r\n":                   {1, true},
		"$2\r\n\r\n\r\n":                    {1, true},
		"$0\r\n\r\n$-1\r\n*-1\r\n*0\r\n":    {4, true},
		"$00002\r\nab\r\n":                  {1, true},
		"*2\r\n$1\r\na\r\n*1\r\n:1\r\n":     {1, true},
		"*2\r\n*0\r\n*2\r\n+a\r\n$-1\r\n+b": {1, false},
		"$5\r\nhello\r":                     {0, false},
		"$5\r\nhello":                       {0, false},
		"$5\r\nhell":                        {0, false},
		"*2\r\n+a\r\n":                      {0, false},
		"+":                                 {0, false},
		":1\r":                              {0, false},
	} {
		s := scanner{limit: fuzzLimit}
		require.NoError(t, s.scan([]byte(stream)), "%q", stream)
		assert.Equal(t, want.replies, s.replies, "%q", stream)
		assert.Equal(t, want.idle, s.idle(), "%q", stream)
	}
}

// readAll reads replies with redigo until it fails.
func readAll(stream []byte) (replies int, err error) {
	rc := redis.NewConn(&replay{Reader: bytes.NewReader(stream)}, 0, 0)
	for {
		if _, err := rc.Receive(); !isReply(err) {
			return replies, err
		}
		replies++
	}
}

// replay is a connection of which a stream is read.
type replay struct {
	net.Conn
	*bytes.Reader
}

func (r *replay) Read(p []byte) (int, error)     { return r.Reader.Read(p) }
func (*replay) Close() error                     { return nil }
func (*replay) SetReadDeadline(time.Time) error  { return nil }
func (*replay) SetWriteDeadline(time.Time) error { return nil }

// What redigo would take, and what comes of it.
func TestAScannerRefusesWhatRedigoTrusts(t *testing.T) {
	for stream, want := range map[string]string{
		"$9223372036854775807\r\n": "claims more", // redigo panics
		"$4097\r\n":                "claims more", // redigo allocates
		"*103\r\n":                 "claims more", // redigo allocates
		"*2\r\n$2000\r\n" + text(2000) + "$2017\r": "",                           //
		"*1\r\n$4090\r\n":                          "claims more",                // redigo allocates
		"*1\r\n+" + text(4090):                     "claims more",                // redigo allocates
		"$18446744073709551616\r\n\r\n":            "a number is too large",      // redigo reads an empty string
		":9223372036854775808\r\n":                 "a number is too large",      // redigo reads another number
		":-9223372036854775809\r\n":                "a number is too large",      // redigo reads another number
		"+" + text(1<<16):                          "a line is longer",           // redigo allocates
		strings.Repeat("x", 1<<20):                 "begins with",                // redigo reads on for ever
		"+" + strings.Repeat("x", 1<<20):           "a line is longer",           // redigo reads on for ever
		strings.Repeat("*1\r\n", 1<<20):            "arrays nest deeper than 32", // redigo overflows its stack
	} {
		s := scanner{limit: fuzzLimit}
		err := s.scan([]byte(stream))
		if want == "" {
			assert.NoError(t, err, "%.40q", stream)
			continue
		}
		assert.ErrorContains(t, err, want, "%.40q", stream)
		assert.Zero(t, s.replies, "%.40q", stream)
	}
}

// text is n bytes of a line or of a bulk string, with their CRLF.
func text(n int) string { return strings.Repeat("x", n) + "\r\n" }

func TestAScannerRefusesWhatRedigoRefuses(t *testing.T) {
	for _, stream := range []string{
		"\r\n", "\n", "x\r\n", "OK\r\n", "+OK\n", ":\r\n", ":-\r\n", ":1a\r\n", ":--1\r\n", ":1-\r\n", ":+1\r\n",
		"$\r\n", "$abc\r\n", "$-2\r\n", "$-\r\n", "$-01\r\n", "$-11\r\n", "$1\n", "$5\r6\r\n", "*-2\r\n", "*a\r\n", "* 1\r\n",
		"$1\r\nab\r\n", "$1\r\na\n", "$1\r\na\r\r\n", "$2\r\na\r\n+OK\r\n", ">1\r\n+a\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "%1\r\n",
		"HTTP/1.1 400 Bad Request\r\n",
	} {
		s := scanner{limit: fuzzLimit}
		err := s.scan([]byte("+OK\r\n" + stream))
		var refused *replyError
		require.ErrorAs(t, err, &refused, "%q", stream)
		assert.EqualValues(t, 1, s.replies, "%q", stream)
		n, err := readAll([]byte("+OK\r\n" + stream))
		assert.Equal(t, 1, n, "redigo takes %q", stream)
		assert.False(t, endOfStream(err), "redigo waits for more than %q", stream)
	}
}

// endOfStream reports that redigo would have read on.
func endOfStream(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// TestAReplyAtItsLimitTakesNoMoreMemoryThanThat holds the scanner's reckoning
// against what redigo really allocates.
func TestAReplyAtItsLimitTakesNoMoreMemoryThanThat(t *testing.T) {
	const limit, slack = 1 << 20, 1 << 20
	for name, element := range map[string]string{
		"empty strings":    "$0\r\n\r\n",
		"bytes":            "$1\r\na\r\n",
		"strings":          "$100\r\n" + text(100),
		"nulls":            "$-1\r\n",
		"integers":         ":1234567\r\n",
		"empty statuses":   "+\r\n",
		"statuses":         "+" + text(1000),
		"errors":           "-" + text(1000),
		"long errors":      "-" + text(4000), // longer ones are copied about by the reader
		"empty arrays":     "*0\r\n",
		"arrays of arrays": "*1\r\n*1\r\n+a\r\n",
		"long strings":     "$1000000\r\n" + text(1000000),
	} {
		t.Run(name, func(t *testing.T) {
			stream := fullArray(element, limit)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			n, err := readAll(stream)
			runtime.ReadMemStats(&after)
			require.ErrorIs(t, err, io.EOF)
			require.Equal(t, 1, n)
			allocated := after.TotalAlloc - before.TotalAlloc
			assert.Less(t, allocated, uint64(limit+slack))
		})
	}
}

// fullArray returns an array of as many elements as a scanner lets pass.
func fullArray(element string, limit int64) []byte {
	low, high := 1, int(min(limit/elementSize, 2*limit/int64(len(element))))
	for low < high {
		n := (low + high + 1) / 2
		s := scanner{limit: limit}
		if s.scan(arrayOf(element, n)) == nil {
			low = n
		} else {
			high = n - 1
		}
	}
	return arrayOf(element, low)
}

func arrayOf(element string, n int) []byte {
	return []byte("*" + strconv.Itoa(n) + "\r\n" + strings.Repeat(element, n))
}

// FuzzScannerAgreesWithRedigo holds the scanner against the reader that it
// protects. Whatever bytes come, and however they are cut: what the scanner
// takes for n whole replies redigo reads as n replies, and then waits for more;
// where the scanner refuses a reply redigo fails too or would still wait, or
// the scanner has found it too large, which redigo never does.
func FuzzScannerAgreesWithRedigo(f *testing.F) {
	for _, seed := range []string{
		"+OK\r\n:1\r\n", "$5\r\nhello\r\n*2\r\n$-1\r\n*0\r\n", "*2\r\n*1\r\n-E\r\n:5\r\n", "$5\r6\r\n", "$1\r\nab\r\n", ":-1\r\n",
		"$9223372036854775807\r\n", "$18446744073709551616\r\n\r\n", "*100000000\r\n", "$-2\r\n", ">2\r\n", "+a\n", "\r\n",
	} {
		f.Add([]byte(seed), uint8(1))
		f.Add([]byte(seed), uint8(7))
	}
	f.Fuzz(func(t *testing.T, stream []byte, chunk uint8) {
		if len(stream) > 1<<14 {
			return
		}
		s, whole, err := scanChunks(stream, 1)
		cut, _, errCut := scanChunks(stream, int(chunk)+1)
		require.Equal(t, err, errCut, "cut otherwise, the verdict is another")
		require.Equal(t, s.replies, cut.replies)
		require.LessOrEqual(t, s.claimed, s.limit)

		n, redigoErr := readAll(stream[:whole])
		require.EqualValues(t, s.replies, n, "replies in the part that the scanner took")
		require.ErrorIs(t, redigoErr, io.EOF)
		if isLimit(err) {
			return
		}
		n, redigoErr = readAll(stream)
		require.EqualValues(t, s.replies, n, "replies in all")
		if err == nil {
			require.True(t, endOfStream(redigoErr), "redigo refuses what the scanner takes: %v", redigoErr)
			require.Equal(t, whole == len(stream), s.idle())
		}
	})
}

// scanChunks scans a stream cut into chunks. It returns the scanner, the end of
// the last chunk behind which no reply was open, and what was refused.
func scanChunks(stream []byte, size int) (s *scanner, whole int, err error) {
	s = &scanner{limit: fuzzLimit}
	at := 0
	for chunk := range slices.Chunk(stream, size) {
		if err := s.scan(chunk); err != nil {
			return s, whole, err
		}
		if at += len(chunk); s.idle() {
			whole = at
		}
	}
	return s, whole, nil
}

// isLimit reports that a scanner refused what redigo, which has no limits, might
// take: a length or a number too large, a line too long, arrays nested too deep.
func isLimit(err error) bool {
	return err != nil && slices.ContainsFunc([]string{"too large", "claims more", "longer than", "deeper than"},
		func(limit string) bool { return strings.Contains(err.Error(), limit) })
}

func BenchmarkScanner(b *testing.B) {
	for name, reply := range map[string]string{
		"status":          "+OK\r\n",
		"integer":         ":1234567\r\n",
		"small bulk":      "$5\r\nhello\r\n",
		"large bulk":      "$1048576\r\n" + text(1<<20),
		"array of 100":    "*100\r\n" + strings.Repeat("$10\r\n"+text(10), 100),
		"array of 100 KB": "*100\r\n" + strings.Repeat("$1000\r\n"+text(1000), 100),
	} {
		b.Run(name, func(b *testing.B) {
			s := scanner{limit: 64 << 20}
			stream := []byte(reply)
			b.SetBytes(int64(len(stream)))
			b.ReportAllocs()
			for b.Loop() {
				if err := s.scan(stream); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
