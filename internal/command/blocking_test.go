package command_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestHowLongACallMayWait(t *testing.T) {
	const never = -1
	for name, tc := range map[string]struct {
		cmd  string
		args []any
		want time.Duration
	}{
		"not at all":               {"LPOP", []any{"a", 5}, never},
		"no arguments":             {"BLPOP", nil, never},
		"seconds at the end":       {"BLPOP", []any{"a", "b", 5}, 5 * time.Second},
		"a part of one":            {"BRPOP", []any{"a", "0.25"}, 250 * time.Millisecond},
		"as bytes":                 {"BZPOPMIN", []any{"a", []byte("1.5")}, 1500 * time.Millisecond},
		"the least":                {"BZPOPMAX", []any{"a", 1e-30}, 1},
		"without end":              {"BLMOVE", []any{"a", "b", "LEFT", "LEFT", 0}, 0},
		"longer than time":         {"BRPOPLPUSH", []any{"a", "b", 1e300}, 0},
		"no number":                {"BLPOP", []any{"a", "x"}, 0},
		"seconds at the beginning": {"BLMPOP", []any{0.5, 1, "a", "LEFT"}, 500 * time.Millisecond},
		"of sorted sets":           {"BZMPOP", []any{2, 1, "a", "MIN"}, 2 * time.Second},
		"streams without BLOCK":    {"XREAD", []any{"COUNT", 1, "STREAMS", "BLOCK", "0"}, never},
		"streams, milliseconds":    {"XREAD", []any{"count", "BLOCK", "block", 20, "STREAMS", "a", "0"}, 20 * time.Millisecond},
		"groups":                   {"XREADGROUP", []any{"GROUP", "BLOCK", "7", "BLOCK", 0, "STREAMS", "a", ">"}, 0},
		"groups that do not":       {"XREADGROUP", []any{"GROUP", "BLOCK", "7", "CLAIM", "BLOCK", "STREAMS", "a", ">"}, never},
		"a consumer named BLOCK":   {"XREADGROUP", []any{"GROUP", "g", "BLOCK", "7", "STREAMS", "a", ">"}, never},
		"BLOCK without a number":   {"XREAD", []any{"BLOCK"}, never},
	} {
		t.Run(name, func(t *testing.T) {
			limit, blocks := lookup(t, tc.cmd).Blocks(tc.args)
			assert.Equal(t, tc.want != never, blocks)
			assert.Equal(t, max(tc.want, 0), limit)
		})
	}
}
