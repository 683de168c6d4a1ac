package node

import (
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
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

// What a reply claims bounds what it keeps, whatever the sizes of its strings.
func TestStringsOfManySizesWasteLittle(t *testing.T) {
	for _, sizes := range [][]int{{0, 1, 16, 241, 0, 0, 0}, {64, 0, 0, 0, 0, 0, 0, 0, 0, 65}, {1, 2}, {1, 256}, {50, 70, 90}} {
		text, n := "", 3000
		for i := range n {
			text += string(appendText(nil, strings.Repeat("v", sizes[i%len(sizes)])))
		}
		text = string(appendHeader(nil, '*', n)) + text
		claimed := int64(0)
		kept := keptBy(t, 10, func() any {
			r := readOver(text)
			all, err := r.next()
			require.NoError(t, err)
			claimed = r.claimed
			return all
		})
		assert.LessOrEqual(t, float64(kept)/float64(claimed), 2.5, "%d", sizes)
	}
}

// near counts the values that lie right behind others.
func near(values [][]byte) (n int) {
	begins := func(v []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(v))) }
	ends := make(map[uintptr]bool)
	for _, v := range values {
		ends[begins(v)+uintptr(len(v))] = true
	}
	for _, v := range values {
		if ends[begins(v)] {
			n++
		}
	}
	return n
}

func TestRepliesOfOneBatchShareAndThoseOfTwoCallersDoNot(t *testing.T) {
	redistest.NoLeaks(t)
	f := redistest.NewFake(t)
	n := nodeOf(t, f, "")
	value := redistest.Bulk(strings.Repeat("v", 64))
	f.Handle(func(cmd []string) []byte {
		switch cmd[0] {
		case "GET":
			return value
		case "MGET": // leaves a place on its shelf
			return redistest.Array(value, value, value, value, value, redistest.Bulk(strings.Repeat("v", 300)))
		}
		return nil
	})
	b := NewBatch()
	const each = 40
	for range each {
		b.Add("GET", []any{"k"})
	}
	require.True(t, n.Enlist(b, nil))
	Launch([]*Batch{b})
	var values [][]byte
	for i := range each {
		require.NoError(t, b.Wait(t.Context(), i))
		reply, err := b.Reply(t.Context(), i, "GET")
		require.NoError(t, err)
		values = append(values, reply.([]byte))
	}
	assert.GreaterOrEqual(t, near(values), each/2, "of one batch")

	for range 2 { // over what callers share, and over what one has for himself
		values = nil
		for range each {
			array, _, err := n.Do(t.Context(), "MGET", []any{"k"})
			require.NoError(t, err)
			values = append(values, array.([]any)[4].([]byte))
			reply, _, err := n.Do(t.Context(), "GET", []any{"k"})
			require.NoError(t, err)
			values = append(values, reply.([]byte))
		}
		assert.Zero(t, near(values), "of a call and the next")
		n.shared.warmth.Store(0)
	}
	assert.Positive(t, n.shared.lanes.open.Load())
	n.Close()
	f.Close()
}
