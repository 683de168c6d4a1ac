package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// threeClients returns the results of a fault whose figures are these for the Ring,
// GetClient and Do.
func threeClients(lost, longest [3]int) (results []result) {
	for i, k := range kinds {
		o := outcome{Calls: 100, Lost: lost[i], Longest: time.Duration(longest[i]) * time.Millisecond}
		results = append(results, result{Fault: "a fault", Setting: byDefault.Name, Client: k.Name, Rounds: []outcome{o, o, o}})
	}
	return results
}

func TestACellComparesTheRingWithTheWorseOfTheTwo(t *testing.T) {
	results := threeClients([3]int{300, 10, 5}, [3]int{970, 2, 4})
	assert.Equal(t, "300 : 10 : 5 (30 ×)", columns[0].cell(results))
	assert.Equal(t, "970 ms : 2.0 ms : 4.0 ms (242 ×)", columns[2].cell(results))
}

func TestWhatIsNoneHasNoRatio(t *testing.T) {
	for _, lost := range [][3]int{{71, 0, 0}, {0, 22, 1}, {0, 0, 0}} {
		assert.NotContains(t, columns[0].cell(threeClients(lost, [3]int{})), "×")
	}
	assert.Equal(t, "– : – : –", columns[3].cell(threeClients([3]int{}, [3]int{})))
}

func TestARatioHasTwoDigitsAtLeast(t *testing.T) {
	for want, r := range map[string][2]float64{" (3.2 ×)": {32, 10}, " (0.38 ×)": {38, 100}, " (10 ×)": {99.7, 10}, " (1.0 ×)": {10, 10}, " (1200 ×)": {1200, 1}} {
		assert.Equal(t, want, ratio(r[0], r[1]))
	}
}

func TestTimesAreShort(t *testing.T) {
	for want, d := range map[string]time.Duration{
		"–":      0,
		"never":  -1,
		"3.8 ms": 3840 * time.Microsecond,
		"225 ms": 225 * time.Millisecond,
		"2.1 s":  2100 * time.Millisecond,
		"22 s":   22 * time.Second,
	} {
		assert.Equal(t, want, span(float64(d)))
	}
}

func TestTheReportHasATableForEachSettingAndTheRanges(t *testing.T) {
	r := run{rounds: 3, Faults: threeClients([3]int{300, 10, 5}, [3]int{970, 2, 4})}
	r.Faults[1].Rounds[2].Lost = 12
	var b strings.Builder
	require.NoError(t, r.report(&b))
	assert.Contains(t, b.String(), "| a fault                       | 300 : 10 : 5 (30 ×) |")
	assert.Contains(t, b.String(), "10 (10–12)")
	assert.NotContains(t, b.String(), alike.Name, "nothing was measured")
}

func TestSinglesStandInColumnsByClient(t *testing.T) {
	var r run
	for _, x := range [][]float64{{4}, {1}, {1}} {
		r.Singles = append(r.Singles, finding{What: "an INCR whose reply is lost runs", Rounds: x})
	}
	assert.Equal(t, [][]string{{"an INCR whose reply is lost runs", "4 times", "once", "once"}}, r.calls().Rows)
}
