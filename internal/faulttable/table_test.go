package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/redistest"
)

func TestRowsThatTestsWroteAreReadInOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rows")
	t.Setenv(redistest.RowsFile, file)
	t.Run("kill", func(t *testing.T) {
		row := redistest.Faults(t, 2, "a node dies", "kill -9")
		row.Calls, row.Lost = 100, 3
		row.Longest, row.Recovered = 1234567*time.Nanosecond, 50*time.Millisecond
	})
	t.Run("namespace", func(t *testing.T) {
		redistest.Faults(t, 1, "a link is down", "ip link").NotHere(t, "there is no ip command")
	})
	rows, err := read(file)
	require.NoError(t, err)
	require.Len(t, rows, 2)
	assert.Equal(t, `| row | fault | by | calls lost | longest call | back after | verdict |
| ---: | --- | --- | ---: | ---: | ---: | --- |
| 1 | a link is down | ip link |  |  |  | not run: there is no ip command |
| 2 | a node dies | kill -9 | 3 of 100 | 1.2ms | 50ms | holds |
`, table(rows))
	require.ErrorContains(t, missing(rows), "no test for rows 3, 4, 5")
	assert.NotContains(t, missing(rows).Error(), "50", "nodes do not change at run time")
}

func TestATableOfAllRowsLacksNone(t *testing.T) {
	var rows []redistest.RowReport
	for n := 1; n <= lastRow; n++ {
		rows = append(rows, redistest.RowReport{Row: redistest.Row{Number: n}})
	}
	assert.NoError(t, missing(rows))
}

func TestAFileThatNobodyWroteOrThatIsBrokenIsSaidSo(t *testing.T) {
	file := filepath.Join(t.TempDir(), "rows")
	_, err := read(file)
	require.ErrorContains(t, err, "no test wrote a row")
	require.NoError(t, os.WriteFile(file, []byte("{\n"), 0o600))
	_, err = read(file)
	assert.ErrorContains(t, err, "row 1")
}
