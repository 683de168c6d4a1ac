package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/ring"
)

// patience bounds waits that end at once unless something is broken.
const patience = 30 * time.Second

// nodesOfThree returns the nodes of keys as the library has them on the nodes of
// three.yml.
func nodesOfThree(t *testing.T, keys ...string) []string {
	t.Helper()
	built, err := ring.Balanced{}.Build([]ring.Node{{Name: "cache1"}, {Name: "cache2", Weight: 2}, {Name: "cache3"}})
	require.NoError(t, err)
	view := built.View(nil)
	var names []string
	for _, key := range keys {
		names = append(names, fmt.Sprint("cache", view.Locate(key)+1))
	}
	return names
}

func manyKeys(n int) []string {
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprintf("user:%d", i)
	}
	return keys
}

func TestKeysAreWhereTheLibraryPutsThem(t *testing.T) {
	keys := manyKeys(10_000)
	var want strings.Builder
	for i, node := range nodesOfThree(t, keys...) {
		want.WriteString(keys[i] + "\t" + node + "\n")
	}
	assert.Equal(t, want.String(), succeed(t, strings.Join(keys, "\n"), "where", "--nodes", three), "from standard input")
	assert.Equal(t, want.String(), succeed(t, "", append([]string{"where", "--nodes", three, "--"}, keys...)...), "as arguments")
}

func TestArgumentsMayBeAnyBytes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "\xff.json")
	require.NoError(t, os.WriteFile(file, []byte(`["a"]`), 0o600))
	keys := []string{"\xff\xfe", "\x80", "é", "a,b", "", "a\tb", "="}
	var want strings.Builder
	for i, node := range nodesOfThree(t, keys...) {
		want.WriteString(keys[i] + "\t" + node + "\n")
	}
	assert.Equal(t, want.String(), succeed(t, "", append([]string{"where", "--nodes", three}, keys...)...))
	assert.Equal(t, "\xff\ta\n", succeed(t, "", "where", "\xff", "--nodes="+file))
	assert.JSONEq(t, `{"key_hex": "ff", "node": "a"}`, succeed(t, "", "where", "\xff", "--json", "--nodes", file))
}

func TestKeysMayBeAnyBytes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var keys []string
	for range 1000 {
		key := make([]byte, r.IntN(70))
		for i := range key {
			key[i] = byte(r.Uint32())
		}
		keys = append(keys, string(key))
	}
	keys = append(keys, "", "\t", "\n", "a\nb\tc", "{\n}", "\x00", "é", "\xff")
	nodes := nodesOfThree(t, keys...)
	var hexIn, hexOut, nullIn, nullOut strings.Builder
	for i, key := range keys {
		digits := hex.EncodeToString([]byte(key))
		hexIn.WriteString(digits + "\n")
		hexOut.WriteString(digits + "\t" + nodes[i] + "\n")
		if !strings.Contains(key, "\x00") {
			nullIn.WriteString(key + "\x00")
			nullOut.WriteString(key + "\t" + nodes[i] + "\x00")
		}
	}
	assert.Equal(t, hexOut.String(), succeed(t, hexIn.String(), "where", "--nodes", three, "--hex"))
	assert.Equal(t, nullOut.String(), succeed(t, nullIn.String(), "where", "--nodes", three, "-0"))
	assert.Equal(t, nullOut.String(), succeed(t, nullIn.String(), "where", "--nodes", three, "--null"))
}

func TestJSONHoldsKeysOfAnyBytes(t *testing.T) {
	keys := []string{"plain", `<"é">`, "\xff\x00", ""}
	nodes := nodesOfThree(t, keys...)
	out := json.NewDecoder(strings.NewReader(succeed(t, strings.Join(keys, "\n")+"\n", "where", "--nodes", three, "--json")))
	out.DisallowUnknownFields()
	for i, key := range keys {
		var got located
		require.NoError(t, out.Decode(&got))
		require.NotNil(t, got.Node)
		assert.Equal(t, nodes[i], *got.Node)
		if key == "\xff\x00" {
			assert.Nil(t, got.Key)
			assert.Equal(t, "ff00", *got.KeyHex)
			continue
		}
		assert.Nil(t, got.KeyHex)
		assert.Equal(t, key, *got.Key)
	}
	assert.ErrorIs(t, out.Decode(new(located)), io.EOF)
	assert.JSONEq(t, `{"key_hex":"61","node":"cache2"}`, succeed(t, "61", "where", "--nodes", three, "--json", "--hex"))
}

func TestANodeThatIsDownGetsNoKeys(t *testing.T) {
	stdin := strings.Join(manyKeys(1000), "\n")
	before := strings.Split(succeed(t, stdin, "where", "--nodes", three), "\n")
	after := strings.Split(succeed(t, stdin, "where", "--nodes", three, "--down", "cache3"), "\n")
	require.Len(t, after, len(before))
	moved := 0
	for i := range before {
		assert.NotContains(t, after[i], "cache3")
		if strings.HasSuffix(before[i], "cache3") {
			moved++
		} else {
			assert.Equal(t, before[i], after[i])
		}
	}
	assert.Positive(t, moved)
}

func TestAKeyWithoutANodeHasALineToo(t *testing.T) {
	args := []string{"where", "--nodes", three, "--down", "cache1,cache2,cache3", "a", "b"}
	says := "fluster: no live node: 2 keys without any\n"
	assert.Equal(t, outcome{1, "a\t\nb\t\n", says}, fluster(t, "", args...))
	assert.Equal(t, outcome{1, `{"key":"a","node":null}` + "\n" + `{"key":"b","node":null}` + "\n", says},
		fluster(t, "", append(args, "--json")...))
}

func TestAnAnswerComesBeforeTheNextKey(t *testing.T) {
	in, keys := io.Pipe()
	answers, out := io.Pipe()
	status := background(t.Context(), in, out, io.Discard, "where", "--nodes", three)
	lines := bufio.NewReader(answers)
	for i, node := range nodesOfThree(t, "a", "b", "c") {
		key := string(rune('a' + i))
		_, err := io.WriteString(keys, key+"\n")
		require.NoError(t, err)
		line, err := lines.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, key+"\t"+node+"\n", line)
	}
	require.NoError(t, keys.Close())
	assert.Equal(t, 0, waitStatus(t, status))
}

func waitStatus(t *testing.T, status <-chan int) int {
	t.Helper()
	select {
	case s := <-status:
		return s
	case <-time.After(patience):
		require.Fail(t, "the program did not end")
		return -1
	}
}

func TestAnInterruptEndsAReadThatBlocks(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	in, keys := io.Pipe()
	defer func() { assert.NoError(t, keys.Close()) }()
	answers, out := io.Pipe()
	var stderr bytes.Buffer
	status := background(ctx, in, out, &stderr, "where", "--nodes", three)
	_, err := io.WriteString(keys, "a\nb")
	require.NoError(t, err)
	line, err := bufio.NewReader(answers).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "a\tcache2\n", line)
	interrupt()
	assert.Equal(t, 130, waitStatus(t, status))
	assert.Equal(t, "fluster: interrupted\n", stderr.String())
}

func TestAnInterruptEndsTheMakingOfKeys(t *testing.T) {
	ctx, interrupt := context.WithCancel(t.Context())
	interrupt()
	for _, command := range []string{"spread", "diff"} {
		status := background(ctx, strings.NewReader(""), io.Discard, io.Discard, command, "--nodes", three, "--keys", "1000000000")
		assert.Equal(t, 130, waitStatus(t, status))
	}
}

// brokenPipe is an output that nobody reads.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) {
	return 0, &os.PathError{Op: "write", Err: syscall.EPIPE}
}

func TestABrokenPipeEndsTheProgramWithoutAWord(t *testing.T) {
	var stderr bytes.Buffer
	in, keys := io.Pipe()
	defer func() { assert.NoError(t, keys.Close()) }()
	status := background(t.Context(), in, brokenPipe{}, &stderr, "where", "--nodes", three)
	_, err := io.WriteString(keys, "a\n")
	require.NoError(t, err)
	assert.Equal(t, 141, waitStatus(t, status))
	assert.Empty(t, stderr.String())
}

// openThree opens three.yml for tests of what runs for each key.
func openThree(tb testing.TB) (*session, *fleet) {
	tb.Helper()
	s := &session{ctx: tb.Context(), stdout: bufio.NewWriterSize(io.Discard, 64<<10), stderr: io.Discard, hidden: hide(nil)}
	f, err := s.open(fleetFlags{Nodes: three})
	require.NoError(tb, err)
	return s, f
}

func TestAKeyCostsNoAllocation(t *testing.T) {
	keys := manyKeys(1000)
	for name, command := range map[string]whereCmd{"text": {}, "hex": {streamFlags: streamFlags{Hex: true}}} {
		t.Run(name, func(t *testing.T) {
			s, f := openThree(t)
			tell := &teller{fleet: f, write: command.writer(s.stdout, f)}
			assert.Zero(t, testing.AllocsPerRun(10, func() { assert.NoError(t, tell.tell(keys)) }))
		})
	}
}

// BenchmarkWhere measures the whole way from standard input to output.
func BenchmarkWhere(b *testing.B) {
	const keys = 1_000_000
	stdin := strings.Join(manyKeys(keys), "\n")
	for name, flags := range map[string][]string{"live=all": nil, "live=all-but-one": {"--down", "cache1"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				args := append([]string{"where", "--nodes", three}, flags...)
				status := run(b.Context(), args, strings.NewReader(stdin), io.Discard, io.Discard, func(string) string { return "" })
				require.Zero(b, status)
			}
			b.ReportMetric(float64(keys)*float64(b.N)/b.Elapsed().Seconds(), "keys/s")
		})
	}
}
