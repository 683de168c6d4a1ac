package node

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// replyStreams are streams to begin with: right, cut, and wrong in every way that the
// scanner knows.
func replyStreams() []string {
	long := strings.Repeat("x", maxLine)
	return []string{
		"+OK\r\n", "+PONG\r\n", "+\r\n", "+a\rb\r\n", "-ERR no\r\n", "-\r\n", ":12\r\n", ":0\r\n", ":-1\r\n",
		":9223372036854775807\r\n", ":9223372036854775808\r\n", ":-9223372036854775808\r\n", ":-9223372036854775809\r\n",
		":-0\r\n", ":007\r\n", ":00000000000000000000000000007\r\n", "$-1\r\n", "*-1\r\n", "$-2\r\n", "$-01\r\n", "*-0\r\n",
		"$0\r\n\r\n", "$5\r\nhello\r\n", "$005\r\nhello\r\n", "*0\r\n", "*2\r\n*0\r\n*0\r\n",
		"*3\r\n$1\r\na\r\n-ERR x\r\n*2\r\n:1\r\n$-1\r\n+OK\r\n", "$3\r\nab", "$3\r\nabcd\r\n", "$3\r\nabc\n\r", "$3\r\nabc\r",
		"", "\r\n", "\n", "+OK\n", "+OK", "!3\r\nabc\r\n", "_\r\n", ":\r\n", ":-\r\n", ":--1\r\n", ":1-\r\n", ":1\r\r\n", ":1 \r\n", "$\r\n", "*\r\n",
		"$65537\r\n", "$99999999999999999999\r\n", "*1639\r\n", "*1638\r\n", "*2\r\n*1000\r\n", "*2\r\n$60000\r\n",
		strings.Repeat("*1\r\n", maxDepth) + ":1\r\n", strings.Repeat("*1\r\n", maxDepth+1) + ":1\r\n",
		strings.Repeat("*1\r\n", maxDepth) + "*0\r\n", strings.Repeat("$1\r\na\r\n:1\r\n", 50),
		"+" + long[:maxLine-3] + "\r\n:1\r\n", "+" + long[:maxLine-2] + "\r\n:1\r\n", "+" + long + "\r\n",
		"$2000\r\n" + long[:2000] + "\r\n$4096\r\n" + long[:4096] + "\r\n+OK\r\n",
	}
}

// outcome is what is read of a stream: replies, and whether it ends in an error that
// refuses a reply.
func outcome(next func() (any, error)) (replies []any, refused bool) {
	for {
		reply, err := next()
		if err != nil {
			var wrong *replyError
			return replies, errors.As(err, &wrong)
		}
		replies = append(replies, reply)
	}
}

const fuzzedClaim = 1 << 16

// throughRedigo reads a stream byte by byte with redigo's reader behind the guard.
func throughRedigo(raw []byte) ([]any, bool) {
	c := &tape{in: iotest.OneByteReader(bytes.NewReader(raw))}
	rc := redis.NewConn(newGuard(c, c, fuzzedClaim), 0, 0)
	return outcome(func() (any, error) {
		reply, err := rc.Receive()
		var text redis.Error
		if errors.As(err, &text) {
			return text, nil
		}
		return reply, err
	})
}

func throughOwn(in io.Reader, buffer int) ([]any, bool) {
	r := newReplyReader(in, fuzzedClaim, buffer)
	return outcome(r.next)
}

// requireAlike reads a stream in all ways.
func requireAlike(t *testing.T, raw []byte) {
	t.Helper()
	want, refused := throughRedigo(raw)
	for _, buffer := range []int{1, 7, laneAhead, readAhead} {
		for name, in := range map[string]io.Reader{
			"whole":       bytes.NewReader(raw),
			"bytes":       iotest.OneByteReader(bytes.NewReader(raw)),
			"halves":      iotest.HalfReader(bytes.NewReader(raw)),
			"with an end": iotest.DataErrReader(bytes.NewReader(raw)),
		} {
			got, wrong := throughOwn(in, buffer)
			require.Equal(t, want, got, "%s, %d at once", name, buffer)
			require.Equal(t, refused, wrong, "%s, %d at once", name, buffer)
		}
	}
}

func TestRepliesAreReadAsRedigoBehindTheGuardReadsThem(t *testing.T) {
	for _, raw := range replyStreams() {
		t.Run(fmt.Sprintf("%.20q", raw), func(t *testing.T) { requireAlike(t, []byte(raw)) })
	}
}

// FuzzReplies reads streams with redigo's reader behind the guard and with this
// package's own.
func FuzzReplies(f *testing.F) {
	for _, raw := range replyStreams() {
		if len(raw) < 1<<10 {
			f.Add([]byte(raw))
		}
	}
	f.Fuzz(requireAlike)
}

func TestStringsOfEverySizeAreSlicesLikeAnyOther(t *testing.T) {
	var all []any
	var want [][]byte
	for n := range 2100 {
		room, boxed := newBulk(n)
		require.Equal(t, n, cap(room), "appending would write what is somebody else's")
		for i := range room {
			room[i] = byte(n + i)
		}
		all, want = append(all, boxed), append(want, bytes.Clone(room))
	}
	runtime.GC()
	runtime.GC()
	for n, boxed := range all {
		require.Equal(t, reflect.TypeFor[[]byte](), reflect.TypeOf(boxed))
		require.True(t, bytes.Equal(want[n], boxed.([]byte)), "%d bytes", n)
	}
}

func TestReadingAStringTakesOneAllocation(t *testing.T) {
	for _, n := range []int{0, 5, 64, 300, 1000, 2000} {
		raw := fmt.Appendf(nil, "$%d\r\n%s\r\n", n, strings.Repeat("x", n))
		in := bytes.NewReader(raw)
		r := newReplyReader(in, 1<<20, readAhead)
		took := testing.AllocsPerRun(1000, func() {
			in.Reset(raw)
			if _, err := r.next(); err != nil {
				t.Fatal(err)
			}
		})
		assert.LessOrEqual(t, took, 1.0, "%d bytes", n)
	}
}
