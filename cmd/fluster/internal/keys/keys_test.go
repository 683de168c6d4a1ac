package keys_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/cmd/fluster/internal/keys"
)

// gather returns all keys, and the error that ends them.
func gather(batches keys.Batches) ([]string, error) {
	var all []string
	for batch, err := range batches {
		if err != nil {
			return all, err
		}
		all = append(all, batch...)
	}
	return all, nil
}

func TestAStreamIsCutAtEverySeparator(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, tc := range []struct {
		stream string
		want   []string
	}{
		{"", nil},
		{"\n", []string{""}},
		{"a", []string{"a"}},
		{"a\n", []string{"a"}},
		{"a\nb", []string{"a", "b"}},
		{"\n\na\n", []string{"", "", "a"}},
		{"a\r\n\x00\xff\n", []string{"a\r", "\x00\xff"}},
		{"a\n" + long + "\n" + long, []string{"a", long, long}},
	} {
		for name, r := range map[string]io.Reader{
			"at once":      strings.NewReader(tc.stream),
			"in halves":    iotest.HalfReader(strings.NewReader(tc.stream)),
			"with the end": iotest.DataErrReader(strings.NewReader(tc.stream)),
		} {
			got, err := gather(keys.Split(t.Context(), r, '\n'))
			require.NoError(t, err)
			assert.True(t, slices.Equal(tc.want, got), "%.20q %s: %.50q", tc.stream, name, got)
		}
	}
}

// chunks gives a stream in pieces.
type chunks struct {
	text []byte
	size int
}

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.size)], c.text)
	c.text = c.text[n:]
	return n, nil
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("a\nb\n\nc"), 2, byte('\n'))
	f.Add([]byte("a\x00b\n\x00"), 1, byte(0))
	f.Fuzz(func(t *testing.T, text []byte, size int, sep byte) {
		if size < 1 {
			return
		}
		want := strings.Split(string(text), string([]byte{sep}))
		if want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		got, err := gather(keys.Split(t.Context(), &chunks{slices.Clone(text), size}, sep))
		require.NoError(t, err)
		assert.True(t, slices.Equal(want, got), "%q, not %q", got, want)
	})
}

func TestKeysThatCameBeforeAnErrorAreGiven(t *testing.T) {
	torn := errors.New("torn")
	got, err := gather(keys.Split(t.Context(), io.MultiReader(strings.NewReader("a\nb\nc"), iotest.ErrReader(torn)), '\n'))
	assert.ErrorIs(t, err, torn)
	assert.Equal(t, []string{"a", "b"}, got)
}

func TestAStreamThatPausesIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		pauses := make(chan []string, 8)
		go func() {
			var got []string
			for batch, err := range keys.Split(t.Context(), r, '\n') {
				assert.NoError(t, err)
				if len(batch) == 0 {
					pauses <- slices.Clone(got)
				}
				got = append(got, batch...)
			}
			close(pauses)
		}()
		synctest.Wait()
		assert.Empty(t, <-pauses)
		_, err := io.WriteString(w, "a\nb")
		require.NoError(t, err)
		synctest.Wait()
		assert.Equal(t, []string{"a"}, <-pauses)
		require.NoError(t, w.Close())
		synctest.Wait()
		assert.Equal(t, 0, len(pauses))
	})
}

func TestAContextEndsAReadThatBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		ended := make(chan error, 1)
		go func() {
			_, err := gather(keys.Split(ctx, r, '\n'))
			ended <- err
		}()
		synctest.Wait()
		cancel()
		assert.ErrorIs(t, <-ended, context.Canceled)
		require.NoError(t, w.Close()) // ends the read
	})
}

func TestWhoHasEnoughKeysGetsNoMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		go func() {
			_, _ = io.WriteString(w, "a\n")
			_ = w.Close()
		}()
		for batch, err := range keys.Split(t.Context(), r, '\n') {
			require.NoError(t, err)
			if len(batch) > 0 {
				break
			}
		}
		for _, err := range keys.Split(t.Context(), strings.NewReader(""), '\n') {
			require.NoError(t, err)
			break
		}
	})
}

func TestMadeUpKeysFollowThePattern(t *testing.T) {
	for _, pattern := range []string{"user:%d", "%08x", "{%d}:100%%", "%[1]d-%[1]x"} {
		batches, err := keys.Generate(t.Context(), pattern, 10_000)
		require.NoError(t, err)
		got, err := gather(batches)
		require.NoError(t, err)
		require.Len(t, got, 10_000)
		for i, key := range got {
			require.Equal(t, fmt.Sprintf(pattern, i), key)
		}
	}
}

func TestAPatternWithoutOneNumberIsRefused(t *testing.T) {
	for _, pattern := range []string{"", "user", "%s", "%d:%d", "%", "%!", "%z", "100%%", "%c%", "%9999d"} {
		_, err := keys.Generate(t.Context(), pattern, 1)
		assert.Error(t, err, "%q", pattern)
	}
}

func TestAContextEndsTheMakingOfKeys(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	batches, err := keys.Generate(ctx, "%d", 1<<40)
	require.NoError(t, err)
	count := 0
	for batch, err := range batches {
		if count += len(batch); count > 10_000 {
			cancel()
		}
		if err != nil {
			assert.ErrorIs(t, err, context.Canceled)
		}
	}
	assert.Less(t, count, 1<<20)
}

func TestKeysInHexAreDecoded(t *testing.T) {
	want := []string{"", "a", "\x00\xff", strings.Repeat("é", 100)}
	var written []string
	for _, key := range want {
		written = append(written, hex.EncodeToString([]byte(key)), strings.ToUpper(hex.EncodeToString([]byte(key))))
	}
	got, err := gather(keys.FromHex(keys.Given(written)))
	require.NoError(t, err)
	for i, key := range got {
		assert.Equal(t, want[i/2], key)
	}
	for _, bad := range []string{"6", "6g", " 61", "61\r", "é"} {
		_, err := gather(keys.FromHex(keys.Split(t.Context(), bytes.NewReader([]byte("61\n"+bad+"\n61")), '\n')))
		assert.EqualError(t, err, "key 2 is not in hexadecimal digits")
	}
}
