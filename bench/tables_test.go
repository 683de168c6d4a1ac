package main

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/bench/internal/report"
)

// outcomeOf has two rounds, in which a client with a rate r has r and 2r calls a
// second; all else it spends goes the other way.
func outcomeOf(id string, callers int, rates map[string]float64) outcome {
	o := outcome{step: step{part: commands, op: operationOf(id), callers: callers, nodes: servers, keys: 10, rounds: 2}}
	for _, k := range kinds {
		r, ok := rates[k.id]
		if !ok {
			continue
		}
		var samples []sample
		for _, r := range []float64{r, 2 * r} {
			t := 1e9 / r
			samples = append(samples, sample{time: t, cpu: t, servers: t, allocs: 3, p50: t, p99: 2 * t, p999: 3 * t})
		}
		o.clients, o.samples = append(o.clients, k), append(o.samples, samples)
	}
	return o
}

func markdown(t *testing.T, table *report.Table) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, table.WriteMarkdown(&b))
	return b.String()
}

// cells returns the cells of the row that begins with these.
func cells(t *testing.T, table *report.Table, begin ...string) []string {
	t.Helper()
	for _, row := range table.Rows {
		if assert.ObjectsAreEqual(begin, row[:len(begin)]) {
			return row
		}
	}
	require.Fail(t, "there is no such row", "%v in %v", begin, table.Rows)
	return nil
}

func TestTheCommandTableComparesRoundByRound(t *testing.T) {
	table := commandTable([]outcome{
		outcomeOf("get-64", 8, map[string]float64{plainID: 1000, doerID: 3000}),
		outcomeOf("get-64", 64, map[string]float64{doerID: 3000}),
	})
	assert.Equal(t, []string{
		"fluster Do", "8", "4500.0", "3.00 (3.00–3.00)", "250.0", "500.0", "750.0", "3",
		"250.0", "0.33 (0.33–0.33)", "250.0",
	}, cells(t, table, "fluster Do", "8"))
	assert.Equal(t, none, cells(t, table, "fluster Do", "64")[3], "nothing to compare with")
	assert.NotContains(t, table.Remark, "failed")
}

func TestFailedCallsAreTold(t *testing.T) {
	o := outcomeOf("get-64", 8, map[string]float64{ringID: 1000})
	o.samples[0][0].failed = 2
	o.samples[0][1].failed, o.samples[0][1].fault = 1, errors.New("broken")
	assert.Contains(t, commandTable([]outcome{o}).Remark, "3 calls of go-redis Ring with 8 goroutines failed**, one with: broken")
}

func TestTheSummarySetsTheClusterAgainstEachAndAgainstTheBest(t *testing.T) {
	rates := map[string]float64{plainID: 1000, ringID: 800, rueidisID: 2000, doerID: 4000, routedID: 1}
	table := summaryTable("", []outcome{outcomeOf("get-64", 64, rates)})
	row := cells(t, table, "GET, 64 B", "64", "Do")
	assert.Equal(t, []string{"5.00 (5.00–5.00)", "2.00 (2.00–2.00)", "4.00 (4.00–4.00)", "2.00 (2.00–2.00)"}, row[3:7])
	assert.Equal(t, []string{"0.20 (0.20–0.20)", "0.50 (0.50–0.50)", "0.25 (0.25–0.25)"}, row[7:10], "p99")
	assert.Equal(t, row[7:10], row[10:13], "processor time")
}

func TestTheSummaryTakesGetWhereDoCannot(t *testing.T) {
	table := summaryTable("", []outcome{
		outcomeOf("pipeline-get", 1, map[string]float64{plainID: 1000, routedID: 2000}),
		outcomeOf("pipeline-get", 8, map[string]float64{plainID: 1000}),
		outcomeOf("pipeline-get", 16, map[string]float64{routedID: 1000}),
	})
	require.Len(t, table.Rows, 2)
	assert.Equal(t, "2.00 (2.00–2.00)", cells(t, table, operationOf("pipeline-get").title, "1", "Get")[6])
	assert.Equal(t, none, cells(t, table, operationOf("pipeline-get").title, "16", "Get")[6])
}

func TestTheGrowthTableIsByOperation(t *testing.T) {
	three := outcomeOf("get-64", 64, map[string]float64{plainID: 1})
	many, ten := outcomeOf(mgetID, 64, map[string]float64{plainID: 1}), outcomeOf("get-64", 64, map[string]float64{plainID: 2})
	ten.nodes = 10
	text := markdown(t, nodesTable([]outcome{three, many, ten}))
	assert.Less(t, strings.Index(text, " 10 |"), strings.Index(text, "| MGET"))
}

func TestTheFileHoldsMeasuresAndRatios(t *testing.T) {
	path := filepath.Join(t.TempDir(), "r.json")
	o := outcomeOf("get-1k", 8, map[string]float64{plainID: 1000, doerID: 3000})
	o.samples[0][0].servers = 0 // a ratio to it is no number
	require.NoError(t, writeJSON(path, []outcome{o}, []string{"something"}, "1.0"))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	var doc document
	require.NoError(t, json.Unmarshal(text, &doc))
	assert.Equal(t, []string{"something"}, doc.LeftOut)
	require.Len(t, doc.Results, 2)
	e := doc.Results[1]
	assert.Equal(t, []any{"get-1k", 1024, 1, 8, 3, doerID}, []any{e.Operation, e.ValueBytes, e.KeysInCall, e.Goroutines, e.Nodes, e.Client})
	assert.Len(t, e.Measures, len(measures))
	assert.InDelta(t, 4500, e.Measures["ops_per_second"].Median, 1e-6)
	assert.InDelta(t, 3750, e.Measures["ops_per_second"].Low, 1e-6)
	assert.InDelta(t, 3, e.Ratios[plainID]["ops_per_second"].Median, 1e-6)
	assert.NotContains(t, e.Ratios[plainID], "servers_cpu_us_per_op")
	assert.NotContains(t, e.Ratios, ringID)
}

func TestWhatIsNotMeasuredIsNotTold(t *testing.T) {
	o := outcomeOf("get-64", 8, map[string]float64{plainID: 1000, doerID: 3000})
	o.condition = conditionOf("busy")
	for _, samples := range o.samples {
		for i := range samples {
			samples[i].cpu = math.NaN()
		}
	}
	table := commandTable([]outcome{o})
	assert.Equal(t, "GET, 64 B, while all processors compute", table.Title)
	assert.Contains(t, table.Remark, "hash without a pause")
	row := cells(t, table, "fluster Do", "8")
	assert.Equal(t, []string{none, none}, row[8:10])
	row = cells(t, summaryTable("", []outcome{o}), table.Title, "8", "Do")
	assert.Equal(t, "3.00 (3.00–3.00)", row[5])
	assert.Equal(t, none, row[12])

	e := entries(o)[1]
	assert.Equal(t, "busy", e.Condition)
	assert.Contains(t, e.Measures, "ops_per_second")
	assert.NotContains(t, e.Measures, "client_cpu_us_per_op")
	assert.NotContains(t, e.Ratios[plainID], "client_cpu_us_per_op")
}

func TestChartsAreOfCommandsAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	grown := outcomeOf("set-64", 64, map[string]float64{plainID: 1})
	grown.part = growth
	require.NoError(t, writePlots(dir, []outcome{outcomeOf("get-64", 1, map[string]float64{plainID: 1, doerID: 2}), grown}))
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	require.NoError(t, err)
	assert.Equal(t, []string{filepath.Join(dir, "get-64-p99.svg"), filepath.Join(dir, "get-64-throughput.svg")}, files)
	text, err := os.ReadFile(files[0])
	require.NoError(t, err)
	assert.Contains(t, string(text), "fluster Do")
}

func TestEveryClientHasALookOfItsOwn(t *testing.T) {
	seen := make(map[any]bool)
	for _, k := range kinds {
		look := looks[k.id]
		assert.NotEmpty(t, look.Color, k.id)
		assert.False(t, seen[look], k.id)
		seen[look] = true
	}
}

func TestTimeLeftIsCorrectedByHowItWent(t *testing.T) {
	p := newProgress(nil)
	p.plan(time.Minute)
	p.plan(time.Minute)
	assert.Equal(t, 2*time.Minute, p.left(0), "nothing but the plan is known")
	p.finish(time.Minute)
	assert.Equal(t, 3*time.Minute, p.left(3*time.Minute), "a half took three minutes")
	p.finish(time.Hour)
	assert.Zero(t, p.left(time.Hour))
}

func TestTurnsOfManyCallersAreLonger(t *testing.T) {
	assert.Equal(t, 300*time.Millisecond, step{callers: 4096, slice: 100 * time.Millisecond}.length())
	assert.InDelta(t, 100*time.Millisecond, step{callers: 8, slice: 100 * time.Millisecond}.length(), float64(time.Millisecond))
}

func TestLargeValuesMeanFewKeys(t *testing.T) {
	keys := randomKeys(100_000)
	assert.Len(t, operationOf("get-64").keysFor(keys), 100_000)
	assert.Len(t, operationOf("get-16k").keysFor(keys), 4096)
}

func TestWhoIsComparedCanBeChosen(t *testing.T) {
	s := settings{clients: []string{doerID, plainInTurnID}, operations: []string{"get-64"}, rounds: 7}
	assert.Len(t, s.kindsFor(operationOf("get-64")), 1)
	assert.Len(t, s.kindsFor(operationOf(mgetID)), 2)
	assert.Equal(t, 7, s.roundsOf(operationOf("get-64"), 4096))
	assert.Equal(t, 3, s.roundsOf(operationOf("get-16"), 8))
	assert.Equal(t, 7, s.roundsOf(operationOf(mgetID), 512))
	assert.Equal(t, 2, s.roundsOf(operationOf(mgetID), 4096))
	s.goroutines = []int{2, 4}
	steps := commandSteps(s)
	require.Len(t, steps, 1)
	require.Len(t, steps[0], 2)
	assert.Len(t, steps[0][1].kinds, 1)
	s.clients = []string{plainInTurnID}
	assert.Empty(t, commandSteps(s), "nobody is left who could GET")
}
