package faults_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/fluster"
)

// deed is one operation on what stands at one node under one key.
type deed struct {
	node, key string
	cmd       string // INCR, GET, RPUSH, LPOP or LRANGE
	arg       string // of RPUSH
	called    int64
	returned  int64 // math.MaxInt64 if nobody knows whether it happened, or when
	result    string
	unknown   bool
}

// history is what clients did, by node and key.
type history struct {
	*arena
	begun time.Time

	mu    sync.Mutex
	deeds []deed
}

func newHistory(a *arena) *history { return &history{arena: a, begun: time.Now()} }

// do runs a command at the home that its shard key has now, and takes down what can be
// said of it. What did not run has no place in a history.
func (h *history) do(shard, key, cmd, arg string) {
	node, err := h.Locate(shard)
	if err != nil {
		time.Sleep(time.Millisecond)
		return
	}
	args := []any{key}
	if arg != "" {
		args = append(args, arg)
	}
	d := deed{node: node.Name, key: key, cmd: cmd, arg: arg, called: int64(time.Since(h.begun))}
	reply, err := at(node, cmd, args...)
	d.returned = int64(time.Since(h.begun))
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Calls++
	h.Longest = max(h.Longest, time.Duration(d.returned-d.called))
	switch {
	case err == nil:
		d.result = text(reply)
	case fluster.MaybeExecuted(err):
		h.secretless(err)
		h.Lost++
		d.unknown, d.returned = true, math.MaxInt64
	default:
		h.secretless(err)
		h.Lost++
		return
	}
	h.deeds = append(h.deeds, d)
}

// text returns a reply as text; nothing is "nil".
func text(reply any) string {
	switch v := reply.(type) {
	case nil:
		return "nil"
	case []byte:
		return string(v)
	case []any:
		items, _ := redis.Strings(v, nil)
		return strings.Join(items, " ")
	}
	return fmt.Sprint(reply)
}

// ending adds what stands at every node in the end.
func (h *history) ending(cmd string, keys []string, args ...any) {
	h.t.Helper()
	for i, s := range h.servers {
		for _, key := range keys {
			called := int64(time.Since(h.begun))
			reply := s.Do(cmd, append([]any{key}, args...)...)
			h.deeds = append(h.deeds, deed{
				node: string(rune('a' + i)), key: key, cmd: cmd, called: called,
				returned: int64(time.Since(h.begun)), result: text(reply),
			})
		}
	}
}

// check holds the deeds at each node and key against a model.
func (h *history) check(model porcupine.Model) {
	h.t.Helper()
	byKey := make(map[string][]porcupine.Operation)
	for i, d := range h.deeds {
		at := d.node + "/" + d.key
		byKey[at] = append(byKey[at], porcupine.Operation{ClientId: i, Input: d, Output: d.result, Call: d.called, Return: d.returned})
	}
	for at, ops := range byKey {
		switch porcupine.CheckOperationsTimeout(model, ops, patient) {
		case porcupine.Illegal:
			assert.Fail(h.t, "no order explains what clients saw", "%s, %d operations", at, len(ops))
		case porcupine.Unknown:
			h.t.Logf("%s: %d operations are too many to judge in %v", at, len(ops), patient)
		case porcupine.Ok:
		}
	}
}

// counter is a number that INCR adds one to. An INCR of which nobody knows may come at
// any time after it was sent, or be the last of all, which is as good as never.
var counter = porcupine.Model{
	Init: func() any { return 0 },
	Step: func(state, input, output any) (bool, any) {
		n, d := state.(int), input.(deed)
		switch {
		case d.cmd == "GET":
			return output == fmt.Sprint(n) || n == 0 && output == "nil", n
		case d.unknown:
			return true, n + 1
		}
		return output == fmt.Sprint(n+1), n + 1
	},
}

func TestRow58CountersHaveAHistoryThatOneServerCouldHave(t *testing.T) {
	h := newHistory(newArena(t, 3, 58, "counters under faults, their history checked"))
	const keys = 24
	var crew crew
	crew.work(8, func(int) {
		key := fmt.Sprintf("counter:%d", rand.IntN(keys))
		h.do(key, key, "INCR", "")
		time.Sleep(time.Millisecond) // so that histories stay short
	})
	h.rage()
	crew.stop()
	acked, maybe := 0, 0
	for _, d := range h.deeds {
		if d.unknown {
			maybe++
		} else {
			acked++
		}
	}
	var names []string
	for i := range keys {
		names = append(names, fmt.Sprintf("counter:%d", i))
	}
	h.ending("GET", names)
	total := 0
	for _, d := range h.deeds {
		if d.cmd == "GET" && d.result != "nil" {
			n, err := strconv.Atoi(d.result)
			require.NoError(t, err)
			total += n
		}
	}
	assert.GreaterOrEqual(t, total, acked)
	assert.LessOrEqual(t, total, acked+maybe)
	h.check(counter)
	h.sum("%d acknowledged, %d may have run, %d counted", acked, maybe, total)
}

// queue is a list whose items are all different. lost are those that were pushed and
// never seen again: only they can have been taken by a pop whose answer was lost.
func queue(lost map[string]bool) porcupine.Model {
	return porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			items, d := state.(string), input.(deed)
			first, rest, _ := strings.Cut(items, " ")
			switch {
			case d.cmd == "LRANGE":
				return output == items, items
			case d.cmd == "RPUSH":
				return true, strings.TrimPrefix(items+" "+d.arg, " ")
			case d.unknown && lost[first]:
				return true, rest
			case d.unknown:
				return true, items
			case first == "":
				return output == "nil", items
			}
			return output == first, rest
		},
	}
}

// settle takes what was seen of an item as news of a push whose answer was lost: it had
// happened before the item was popped, or is in the list in the end. If it never was
// seen, it need not have happened. It returns the items that are gone.
func (h *history) settle() (lost map[string]bool) {
	seen := make(map[string]int64) // by what time
	for _, d := range h.deeds {
		for item := range strings.FieldsSeq(d.result) {
			if d.cmd != "RPUSH" && !d.unknown {
				seen[item] = d.returned
			}
		}
	}
	lost = make(map[string]bool)
	var kept []deed
	for _, d := range h.deeds {
		if d.cmd == "RPUSH" {
			by, ok := seen[d.arg]
			switch {
			case d.unknown && !ok:
				continue
			case d.unknown:
				d.returned = by
			case !ok:
				lost[d.arg] = true
			}
		}
		kept = append(kept, d)
	}
	h.deeds = kept
	return lost
}

func TestRow57QueuesHaveAHistoryThatOneServerCouldHave(t *testing.T) {
	h := newHistory(newArena(t, 3, 57, "queues under faults, their history checked"))
	const queues = 8
	var next sync.Map
	var crew crew
	crew.work(8, func(worker int) {
		key := fmt.Sprintf("queue:%d", rand.IntN(queues))
		if rand.IntN(2) == 0 {
			n, _ := next.LoadOrStore(worker, new(int))
			*n.(*int)++
			h.do(key, key, "RPUSH", fmt.Sprintf("%d.%d", worker, *n.(*int)))
		} else {
			h.do(key, key, "LPOP", "")
		}
		time.Sleep(time.Millisecond) // so that histories stay short
	})
	h.rage()
	crew.stop()
	var names []string
	for i := range queues {
		names = append(names, fmt.Sprintf("queue:%d", i))
	}
	h.ending("LRANGE", names, 0, -1)
	lost := h.settle()
	h.check(queue(lost))
	h.sum("%d items were taken and not received", len(lost))
}
