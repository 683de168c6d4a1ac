package node

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// manyOf is the reply to an MGET of n keys whose values have so many bytes.
func manyOf(n, size int) string {
	return string(appendHeader(nil, '*', n)) + strings.Repeat(string(appendText(nil, strings.Repeat("v", size))), n)
}

func readOver(text string) *replyReader {
	r := newReplyReader(strings.NewReader(text), 1<<30, 16<<10)
	return &r
}

func TestElementsOfAnArrayAreNobodyElses(t *testing.T) {
	for _, size := range []int{0, 1, 63, 64, 65, 255, 256, 257, 3000} {
		all, err := readOver(manyOf(40, size)).next()
		require.NoError(t, err)
		for i, v := range all.([]any) {
			value := v.([]byte)
			require.Equal(t, strings.Repeat("v", size), string(value), "the %dth of %d bytes", i, size)
			require.Equal(t, len(value), cap(value), "it has room in the next one")
			for b := range value {
				value[b] = '!'
			}
			_ = append(value, '?')
		}
	}
}

func TestElementsOfAnArrayShareObjects(t *testing.T) {
	text := manyOf(96, 64)
	r := readOver("")
	input := strings.NewReader(text)
	r.src = input
	allocs := testing.AllocsPerRun(10, func() {
		input.Reset(text)
		r.bulks.begin(1)
		_, err := r.next()
		require.NoError(t, err)
	})
	assert.LessOrEqual(t, allocs, 2+2*96/16.0, "the array, and for each 16 elements their headers and bytes")
}

// keptBy returns how many bytes stay in use for each value that is kept, where read
// returns one of many.
func keptBy(t *testing.T, values int, read func() any) int {
	kept := make([]any, values)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range kept {
		kept[i] = read()
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Len(t, kept[values/2], 64)
	runtime.KeepAlive(kept)
	runtime.KeepAlive(read)
	return (int(after.HeapAlloc) - int(before.HeapAlloc)) / values
}

func TestAKeptElementKeepsFewOthers(t *testing.T) {
	text := manyOf(200, 64)
	kept := keptBy(t, 1000, func() any {
		all, err := readOver(text).next()
		require.NoError(t, err)
		return all.([]any)[77]
	})
	assert.Less(t, kept, 2<<10, "all of them are 17 KiB")
}

// Of replies to different callers none keeps another, also right after an array.
func TestAReplyKeepsNoReplyToAnotherCaller(t *testing.T) {
	const rounds = 1000
	one := manyOf(1, 64)[len("*1\r\n"):]
	r := readOver(strings.Repeat(manyOf(7, 64)[:len(manyOf(7, 64))-len(one)]+"$-1\r\n"+one+one, rounds))
	next := func() any {
		r.bulks.begin(1)
		reply, err := r.next()
		require.NoError(t, err)
		return reply
	}
	kept := keptBy(t, rounds, func() any {
		next()
		kept := next()
		next()
		return kept
	})
	assert.Less(t, kept, 150)
}
