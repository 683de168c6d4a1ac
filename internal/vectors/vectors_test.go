package vectors_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/redisfluster/fluster/internal/vectors"
)

const shipped = "../../ring/compat/testdata/vectors"

// files writes files into a new directory.
func files(t *testing.T, contents map[string]string) string {
	dir := t.TempDir()
	for name, content := range contents {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600))
	}
	return dir
}

func packed(t *testing.T, text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// A set of two columns whose values are redis-fluster's own: hi, redis and test.
const (
	flusterJSON = `{"name": "x", "peer": "redis-fluster 0.1.1", "columns": [
		{"name": "n3", "nodes": "p3"}, {"name": "n3_d0", "nodes": "p3", "down": [0]}],
		"node_sets": {"p3": [{"label": "0", "weight": 1}, {"label": "1", "weight": 1}, {"label": "2", "weight": 1}]}}`
	flusterCSV = "key_hex,n3,n3_d0\n6869,0,1\n7265646973,1,1\n74657374,2,2\n"
)

func checkOne(t *testing.T, contents map[string]string) vectors.Result {
	t.Helper()
	results, err := vectors.CheckAll(files(t, contents))
	require.NoError(t, err)
	require.Len(t, results, 1)
	return results[0]
}

func TestATableMayBePlainOrCompressed(t *testing.T) {
	want := vectors.Result{Name: "a set", Rows: 3, Columns: 2, Cells: 6}
	assert.Equal(t, want, checkOne(t, map[string]string{"a set.json": flusterJSON, "a set.csv": flusterCSV}))
	assert.Equal(t, want, checkOne(t, map[string]string{"a set.json": flusterJSON, "a set.csv.gz": packed(t, flusterCSV)}))
}

func TestAWrongCellIsFoundAndTold(t *testing.T) {
	res := checkOne(t, map[string]string{"x.json": flusterJSON, "x.csv": strings.Replace(flusterCSV, "6869,0", "6869,2", 1)})
	assert.True(t, res.Failed())
	assert.Equal(t, 1, res.Mismatches)
	assert.Equal(t, []string{`key 6869 ("hi"), column n3: 0, but the set has "2"`}, res.First)

	res = checkOne(t, map[string]string{"x.json": flusterJSON, "x.csv": "key_hex,n3,n3_d0\n" + strings.Repeat("6869,7,-1\n", 5)})
	assert.Equal(t, 10, res.Mismatches)
	assert.Len(t, res.First, 3)

	res = checkOne(t, map[string]string{"x.json": flusterJSON, "x.csv": strings.Replace(flusterCSV, "6869,0", "6869,zero", 1)})
	assert.Equal(t, 1, res.Mismatches)
}

// One cell of each shipped set is changed, in a place that differs from set to set.
func TestAWrongCellOfAnyShippedSetIsFound(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(shipped, "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, names)
	for i, file := range names {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		description, err := os.ReadFile(file)
		require.NoError(t, err)
		lines := strings.Split(unpacked(t, filepath.Join(shipped, name+".csv.gz")), "\n")
		cells := strings.Split(lines[1+i*31], ",")
		cells[len(cells)-1] += "9"
		lines[1+i*31] = strings.Join(cells, ",")
		res := checkOne(t, map[string]string{name + ".json": string(description), name + ".csv": strings.Join(lines, "\n")})
		require.NoError(t, res.Err)
		assert.Equal(t, 1, res.Mismatches, name)
	}
}

func unpacked(t *testing.T, file string) string {
	content, err := os.ReadFile(file)
	require.NoError(t, err)
	r, err := gzip.NewReader(bytes.NewReader(content))
	require.NoError(t, err)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(text)
}

func TestAnEmptyCellSaysNothingIfTheSetExplainsIt(t *testing.T) {
	table := strings.Replace(flusterCSV, "6869,0", "6869,", 1)
	res := checkOne(t, map[string]string{"x.json": flusterJSON, "x.csv": table})
	assert.Equal(t, 1, res.Mismatches)
	explained := strings.Replace(flusterJSON, `"name": "x",`, `"name": "x", "blank": "it crashes",`, 1)
	res = checkOne(t, map[string]string{"x.json": explained, "x.csv": table})
	assert.Equal(t, vectors.Result{Name: "x", Rows: 3, Columns: 2, Cells: 5}, res)
}

func TestADirectoryWithoutSetsIsAnError(t *testing.T) {
	_, err := vectors.CheckAll(t.TempDir())
	require.ErrorContains(t, err, "no sets of vectors")
	_, err = vectors.CheckAll(files(t, map[string]string{"README.md": "nothing"}))
	require.ErrorContains(t, err, "no sets of vectors")
	_, err = vectors.CheckAll(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestASetThatCannotBeCheckedSaysWhy(t *testing.T) {
	with := func(old, put string) map[string]string {
		return map[string]string{"x.json": strings.Replace(flusterJSON, old, put, 1), "x.csv": flusterCSV}
	}
	table := func(csv string) map[string]string { return map[string]string{"x.json": flusterJSON, "x.csv": csv} }
	for want, contents := range map[string]map[string]string{
		"x.json: no such file":                     {"x.csv": flusterCSV},
		"x.csv.gz: no such file":                   {"x.json": flusterJSON},
		"both x.csv and x.csv.gz":                  {"x.json": flusterJSON, "x.csv": flusterCSV, "x.csv.gz": packed(t, flusterCSV)},
		"gzip":                                     {"x.json": flusterJSON, "x.csv.gz": flusterCSV},
		"unexpected end of JSON":                   {"x.json": "{", "x.csv": flusterCSV},
		"it has no columns":                        {"x.json": "{}", "x.csv": flusterCSV},
		"there is no placement for":                with("redis-fluster 0.1.1", "memcached"),
		`there is no node set "p4"`:                with(`"nodes": "p3"`, `"nodes": "p4"`),
		"no node 3 that could be down":             with("[0]", "[3]"),
		`the option "replicas" is not known`:       with(`"nodes": "p3"`, `"nodes": "p3", "options": {"replicas": 7}`),
		"the table has no head":                    table(""),
		"the table has no rows":                    table("key_hex,n3,n3_d0\n"),
		"no column key_hex":                        table("key,n3,n3_d0\n6869,0,1\n"),
		`does not have the column "n3_d0" once`:    table("key_hex,n3\n6869,0\n"),
		`a column "n4" that the set does not know`: table("key_hex,n3,n3_d0,n4\n6869,0,1,1\n"),
		"row 1: \"686\" is no key":                 table("key_hex,n3,n3_d0\n686,0,1\n"),
		"wrong number of fields":                   table("key_hex,n3,n3_d0\n6869,0\n"),
	} {
		res := checkOne(t, contents)
		assert.True(t, res.Failed(), want)
		assert.ErrorContains(t, res.Err, want)
	}
}

// The sets of a directory are told apart by what they say, not by their files' names.
func TestSetsOfOtherNamesAndSettingsAreUnderstood(t *testing.T) {
	const key = "key_hex,c\n6869,"
	for name, tt := range map[string]struct{ json, cell string }{
		"the slots of a server": {
			`{"name": "s", "peer": "redis-server 8, CLUSTER KEYSLOT", "columns": [{"name": "c"}]}`, "16140",
		},
		"a proxy's lines, with its defaults": {
			`{"peer": "nutcracker 0.4.1", "columns": [{"name": "c", "nodes": "a"}],
			"node_sets": {"a": [{"server": "10.0.0.1:11211:1", "label": "10.0.0.1"}, {"server": "10.0.0.2:6379:2 b"}]}}`, "1",
		},
		"an old Jedis, with and without names": {
			`{"peer": "Jedis 2.9.3 ShardedJedis", "columns": [{"name": "c", "nodes": "a", "options": {"hash": "MURMUR", "tag": true}}],
			"node_sets": {"a": [{"host": "h", "port": 1, "name": null, "weight": 2}, {"host": "h", "port": 2, "name": "two", "weight": 3}]}}`, "1",
		},
		"an old Jedis by its version in another spelling, and by labels": {
			`{"peer": "redis.clients:jedis:2.9.0", "columns": [{"name": "c", "nodes": "a"}],
			"node_sets": {"a": [{"label": "one", "weight": 2}, {"label": "two", "weight": 3}]}}`, "1",
		},
		"an old redis-rb in brackets": {
			`{"peer": "Redis::Distributed (redis-rb, version 4.8.0)", "columns": [{"name": "c", "nodes": "a"}],
			"node_sets": {"a": [{"url": "redis://10.0.0.1"}, {"url": "redis://10.0.0.2"}]}}`, "1",
		},
		"redis-rb by its URLs": {
			`{"peer": "redis-rb 5.4.0 + redis-client 0.22.1", "columns": [{"name": "c", "nodes": "a", "down": [0]}],
			"node_sets": {"a": [{"url": "redis://10.0.0.1:6379", "label": "redis://10.0.0.1:6379"}, {"url": "redis://10.0.0.2:6379", "id": "two"}]}}`, "1",
		},
		"a name alone": {
			`{"name": "predis_ketama_more", "columns": [{"name": "c", "nodes": "a"}],
			"node_sets": {"a": [{"host": "10.0.0.1", "port": 6379}]}}`, "0",
		},
	} {
		t.Run(name, func(t *testing.T) {
			res := checkOne(t, map[string]string{"any.json": tt.json, "any.csv": key + tt.cell + "\n"})
			require.NoError(t, res.Err)
			assert.Zero(t, res.Mismatches, res.First)
		})
	}
}

func TestTheNameOfASetsFilesIsThatOfASetWithoutOne(t *testing.T) {
	const text = `{"columns": [{"name": "c", "nodes": "a"}], "node_sets": {"a": [{"label": "0"}, {"label": "1"}]}}`
	res := checkOne(t, map[string]string{"libketama.json": text, "libketama.csv": "key_hex,c\n6869,1\n"})
	require.NoError(t, res.Err)
	assert.Zero(t, res.Mismatches, res.First)
}

func TestALabelThatIsNotTheNodesIsAnError(t *testing.T) {
	for name, text := range map[string]string{
		"twemproxy": `{"peer": "twemproxy 0.5.0", "columns": [{"name": "c", "nodes": "a"}],
			"node_sets": {"a": [{"server": "10.0.0.1:11211:1", "label": "10.0.0.1:11211"}]}}`,
		"redis-rb": `{"peer": "redis-rb 4.8.0", "columns": [{"name": "c", "nodes": "a"}],
			"node_sets": {"a": [{"url": "redis://10.0.0.1:6379", "label": "redis://10.0.0.1:6379"}]}}`,
	} {
		res := checkOne(t, map[string]string{"any.json": text, "any.csv": "key_hex,c\n6869,0\n"})
		assert.ErrorContains(t, res.Err, "but", name)
	}
}
