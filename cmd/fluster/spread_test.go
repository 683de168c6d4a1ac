package main

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestGoldenSpread(t *testing.T) {
	golden(t, "spread.golden", succeed(t, "", "spread", "--nodes", three, "--keys", "20000"))
	golden(t, "spread_down.golden", succeed(t, "", "spread", "--nodes", "testdata/four.json", "--keys", "10000", "--down", "cache4"))
	golden(t, "spread.json.golden", succeed(t, "", "spread", "--nodes", three, "--keys", "1000", "--json"))
}

func TestGoldenPictures(t *testing.T) {
	golden(t, "spread.svg", drawn(t, "spread", "--nodes", three, "--keys", "20000"))
	golden(t, "diff.svg", drawn(t, "diff", "--from", three, "--to", "testdata/four.json", "--keys", "20000"))
}

// drawn returns the picture that a command draws, which must be XML and need
// nothing from elsewhere.
func drawn(t *testing.T, args ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "picture.svg")
	succeed(t, "", append(args, "--svg", file)...)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for d := xml.NewDecoder(strings.NewReader(string(text))); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return string(text)
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok {
			assert.NotContains(t, []string{"script", "image", "use", "link"}, start.Name.Local)
		}
	}
}

// spreadOf runs spread and returns its figures.
func spreadOf(t *testing.T, stdin string, args ...string) evenness {
	t.Helper()
	var e evenness
	require.NoError(t, json.Unmarshal([]byte(succeed(t, stdin, append([]string{"spread", "--json"}, args...)...)), &e))
	return e
}

func TestASpreadCountsWhatWhereTells(t *testing.T) {
	keys := manyKeys(20_000)
	counts := make(map[string]int)
	for _, node := range nodesOfThree(t, keys...) {
		counts[node]++
	}
	made := spreadOf(t, "", "--nodes", three, "--keys", "20000")
	read := spreadOf(t, strings.Join(keys, "\n"), "--nodes", three)
	assert.Equal(t, made, read, "made-up keys and the same ones on standard input")
	for _, n := range made.Nodes {
		assert.Equal(t, counts[n.Name], n.Keys)
	}
	assert.Equal(t, 20_000, made.Keys)
}

func TestAPatternMakesTheKeys(t *testing.T) {
	var keys []string
	for i := range 5000 {
		keys = append(keys, fmt.Sprintf("%08x|100%%", i))
	}
	assert.Equal(t, spreadOf(t, strings.Join(keys, "\n"), "--nodes", three),
		spreadOf(t, "", "--nodes", three, "--keys", "5000", "--pattern", "%08x|100%%"))
}

func TestTheFiguresOfASpread(t *testing.T) {
	_, f := openThree(t) // with the weights 1, 2 and 1
	e := weigh(f, []int{300, 400, 300, 0})
	assert.InDelta(t, 1.2, e.MaxOverMean, 1e-8)
	assert.InDelta(t, 0.8, e.MinOverMean, 1e-8)
	assert.InDelta(t, math.Sqrt(0.04), e.Deviation, 1e-8)
	assert.InDelta(t, math.Sqrt((3.0+1.0+3.0)/3/1000), e.Chance, 1e-8)

	f.live[1] = false
	e = weigh(f, []int{600, 0, 300, 100})
	assert.Equal(t, 100, e.Homeless)
	assert.InDelta(t, 1.2, e.MaxOverMean, 1e-8)
	assert.InDelta(t, 0.6, e.MinOverMean, 1e-8)
	assert.Zero(t, e.Nodes[1].Load)
	assert.Equal(t, 7, weigh(f, []int{10, 7, 10, 0}).Stuck)

	f.live[0], f.live[2] = false, false
	e = weigh(f, []int{0, 0, 0, 100})
	assert.Zero(t, e.MaxOverMean)
	assert.Zero(t, e.MinOverMean)
	assert.Zero(t, e.Deviation)
}
