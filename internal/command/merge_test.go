package command_test

import (
	"errors"
	"io"
	"testing"

	"github.com/gomodule/redigo/redis"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/command"
)

// from makes the replies of nodes a, b, c...: an error is one.
func from(values ...any) []command.Reply {
	replies := make([]command.Reply, len(values))
	for i, v := range values {
		replies[i].Node = string(rune('a' + i))
		if err, failed := v.(error); failed {
			replies[i].Err = err
			continue
		}
		replies[i].Value = v
	}
	return replies
}

func bulk(s string) []byte { return []byte(s) }

func list(values ...any) []any { return append([]any{}, values...) }

const wrongType = redis.Error("WRONGTYPE Operation against a key holding the wrong kind of value")

func TestRepliesOfSeveralNodesBecomeOne(t *testing.T) {
	for name, tc := range map[string]struct {
		merge   command.Merge
		replies []command.Reply
		want    any
	}{
		"OK of all":             {command.AllOK, from("OK", "OK"), "OK"},
		"OK as bulk":            {command.AllOK, from(bulk("OK")), "OK"},
		"the same":              {command.Agreed, from("PONG", "PONG"), "PONG"},
		"the same bytes":        {command.Agreed, from(bulk("x"), bulk("x")), bulk("x")},
		"the same nothing":      {command.Agreed, from(nil, nil), nil},
		"not the same":          {command.Agreed, from(bulk("x"), bulk("y")), list(bulk("a"), bulk("x"), bulk("b"), bulk("y"))},
		"not the same kind":     {command.Agreed, from("x", bulk("x")), list(bulk("a"), "x", bulk("b"), bulk("x"))},
		"a sum":                 {command.Sum, from(int64(1), int64(2), int64(3)), int64(6)},
		"the earliest":          {command.Earliest, from(int64(30), int64(10), int64(20)), int64(10)},
		"a union":               {command.Union, from(list(bulk("x"), bulk("y")), list(), list(bulk("y"), bulk("z"))), list(bulk("x"), bulk("y"), bulk("z"))},
		"an empty union":        {command.Union, from(list(), list()), list()},
		"exists everywhere":     {command.And, from(list(int64(1), int64(1), int64(0)), list(int64(0), int64(1), int64(0))), list(int64(0), int64(1), int64(0))},
		"sums by name":          {command.SumByName, from(list(bulk("x"), int64(1), bulk("y"), int64(2)), list(bulk("y"), int64(3), bulk("x"), int64(0))), list(bulk("x"), int64(1), bulk("y"), int64(5))},
		"settings that agree":   {command.Settings, from(list(bulk("dir"), bulk("/")), list(bulk("dir"), bulk("/"))), list(bulk("dir"), bulk("/"))},
		"settings that do not":  {command.Settings, from(list(bulk("dir"), bulk("/"), bulk("save"), bulk("")), list(bulk("dir"), bulk("/x"), bulk("save"), bulk(""))), list(bulk("dir"), list(bulk("a"), bulk("/"), bulk("b"), bulk("/x")), bulk("save"), bulk(""))},
		"settings that one has": {command.Settings, from(list(), list(bulk("new"), bulk("1"))), list(bulk("new"), bulk("1"))},
		"per node":              {command.PerNode, from(bulk("1"), nil), list(bulk("a"), bulk("1"), bulk("b"), nil)},
		"any of one":            {command.Any, from(nil, bulk("k"), nil), bulk("k")},
		"any of none":           {command.Any, from(nil, nil), nil},
		"a single node":         {command.Agreed, from("PONG"), "PONG"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.merge.Replies(tc.replies)
			require.NoError(t, err)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestAnyTakesFromAllNodesThatHaveSomething(t *testing.T) {
	seen := make(map[string]bool)
	for i := 0; len(seen) < 2; i++ {
		require.Less(t, i, 10_000)
		key, err := redis.String(command.Any.Replies(from(bulk("x"), nil, bulk("y"))))
		require.NoError(t, err)
		seen[key] = true
	}
	assert.Equal(t, map[string]bool{"x": true, "y": true}, seen)
}

func TestRedigosHelpersReadPerNode(t *testing.T) {
	info, err := redis.StringMap(command.PerNode.Replies(from(bulk("run_id:1"), bulk("run_id:2"))))
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"a": "run_id:1", "b": "run_id:2"}, info)
}

func TestANodeThatFailsDoesNotTakeTheOthersRepliesAway(t *testing.T) {
	for name, tc := range map[string]struct {
		merge   command.Merge
		replies []command.Reply
		want    any
		text    string
	}{
		"OK is all or nothing":      {command.AllOK, from("OK", io.EOF), nil, "fluster: 1 of 2 nodes failed: node b: EOF"},
		"not OK":                    {command.AllOK, from("OK", "QUEUED"), nil, `fluster: 1 of 2 nodes failed: node b: unexpected reply: "QUEUED"`},
		"a sum":                     {command.Sum, from(int64(1), io.EOF, int64(3)), int64(4), "fluster: 1 of 3 nodes failed: node b: EOF"},
		"a sum of something else":   {command.Sum, from(int64(1), "x"), int64(1), "fluster: 1 of 2 nodes failed: node b: redigo: unexpected type for Int64, got type string"},
		"the earliest of nothing":   {command.Earliest, from(list()), nil, "fluster: 1 of 1 nodes failed: node a: redigo: unexpected type for Int64, got type []interface {}"},
		"a union":                   {command.Union, from(wrongType, list(bulk("x"))), list(bulk("x")), "fluster: 1 of 2 nodes failed: node a: " + string(wrongType)},
		"an error as a reply":       {command.PerNode, []command.Reply{{Node: "a", Value: wrongType}, {Node: "b"}}, list(bulk("b"), nil), "fluster: 1 of 2 nodes failed: node a: " + string(wrongType)},
		"settings":                  {command.Settings, from(list(bulk("x"), bulk("1")), list(bulk("x"))), list(bulk("x"), bulk("1")), "fluster: 1 of 2 nodes failed: node b: a map of 1 elements"},
		"sums by name":              {command.SumByName, from(io.EOF, list(bulk("x"), int64(1))), list(bulk("x"), int64(1)), "fluster: 1 of 2 nodes failed: node a: EOF"},
		"exists everywhere":         {command.And, from(list(int64(1)), io.EOF), list(int64(1)), "fluster: 1 of 2 nodes failed: node b: EOF"},
		"any":                       {command.Any, from(io.EOF, nil), nil, "fluster: 1 of 2 nodes failed: node a: EOF"},
		"all, of their own":         {command.Sum, from(io.EOF, wrongType), nil, "fluster: 2 of 2 nodes failed: node a: EOF; node b: " + string(wrongType)},
		"error replies that differ": {command.Sum, from(redis.Error("ERR x"), wrongType), nil, "fluster: 2 of 2 nodes failed: node a: ERR x; node b: " + string(wrongType)},
		"an error that names it":    {command.Sum, from(int64(0), errors.New("fluster: node b: dial: refused")), int64(0), "fluster: 1 of 2 nodes failed: fluster: node b: dial: refused"},
		"what all the others agree": {command.Agreed, from("PONG", io.EOF, "PONG"), "PONG", "fluster: 1 of 3 nodes failed: node b: EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.merge.Replies(tc.replies)
			assert.EqualError(t, err, tc.text)
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestTheErrorTellsEachNodesCause(t *testing.T) {
	_, err := command.Sum.Replies(from(io.ErrUnexpectedEOF, int64(1), wrongType))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.ErrorIs(t, err, wrongType)
	var nodes *command.NodesError
	require.ErrorAs(t, err, &nodes)
	assert.Equal(t, 3, nodes.Total)
	require.Len(t, nodes.Failed, 2)
	assert.Equal(t, "a", nodes.Failed[0].Node)
	assert.Equal(t, "c", nodes.Failed[1].Node)
	assert.Equal(t, wrongType, nodes.Failed[1].Err)
}

func TestAnErrorReplyOfAllNodesIsTheError(t *testing.T) {
	got, err := command.AllOK.Replies(from(wrongType, wrongType))
	assert.Equal(t, wrongType, err)
	assert.Nil(t, got)
}

func TestASplitCallIsPutTogetherAgain(t *testing.T) {
	args := []any{"x", 1, "y", 2, "z", 3}
	assert.Equal(t, []any{"z", 3, "x", 1}, command.Pairs.Args(args, []int{4, 0}))
	assert.Equal(t, []any{1, 2}, command.Values.Args(args, []int{1, 3}))

	parts := func(values ...any) []command.Part {
		replies := from(values...)
		return []command.Part{{Keys: []int{2, 0}, Reply: replies[0]}, {Keys: []int{1}, Reply: replies[1]}}
	}
	for name, tc := range map[string]struct {
		split command.Split
		parts []command.Part
		want  any
		text  string
	}{
		"values in order":     {command.Values, parts(list(bulk("z"), nil), list(bulk("y"))), list(nil, bulk("y"), bulk("z")), ""},
		"a part failed":       {command.Values, parts(io.EOF, list(bulk("y"))), list(io.EOF, bulk("y"), io.EOF), "fluster: 1 of 2 nodes failed: node a: EOF"},
		"a part is too short": {command.Values, parts(list(bulk("z"), nil), list()), list(nil, errLength, bulk("z")), "fluster: 1 of 2 nodes failed: node b: unexpected number of elements"},
		"pairs":               {command.Pairs, parts("OK", "OK"), "OK", ""},
		"some pairs":          {command.Pairs, parts("OK", io.EOF), nil, "fluster: 1 of 2 nodes failed: node b: EOF"},
		"a count":             {command.Count, parts(int64(2), int64(1)), int64(3), ""},
		"a count of some":     {command.Count, parts(int64(2), io.EOF), int64(2), "fluster: 1 of 2 nodes failed: node b: EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := tc.split.Join(3, tc.parts)
			if tc.text == "" {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, tc.text)
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

var errLength = errors.New("unexpected number of elements")
