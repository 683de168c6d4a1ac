package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestTheShippedSetsAreToldOneByOneAndInTotal(t *testing.T) {
	var out strings.Builder
	require.NoError(t, run("../../"+shipped, &out))
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	require.Len(t, lines, 19)
	for _, line := range lines[:18] {
		assert.Regexp(t, `^\S+ +1695 rows +\d+ columns +\d+ cells +0 mismatches$`, line)
	}
	assert.Equal(t, "18 sets, 537004 cells, 0 mismatches", lines[18])
}

func TestAMismatchAndAnUnreadableSetFailAfterAllAreTold(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"slots.json": `{"peer": "CLUSTER KEYSLOT", "columns": [{"name": "slot"}]}`,
		"slots.csv":  "key_hex,slot\n666f6f,12182\n666f6f,1\n",
		"half.json":  "{",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	var out strings.Builder
	require.EqualError(t, run(dir, &out), "2 of 2 sets failed")
	assert.Contains(t, out.String(), "NOT CHECKED: half.json: unexpected end of JSON input")
	assert.Contains(t, out.String(), `key 666f6f ("foo"), column slot: 12182, but the set has "1"`)
	assert.Contains(t, out.String(), "2 sets, 2 cells, 1 mismatches")
}

func TestADirectoryWithoutSetsFails(t *testing.T) {
	var out strings.Builder
	require.ErrorContains(t, run(t.TempDir(), &out), "no sets of vectors")
}
