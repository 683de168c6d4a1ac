package fluster_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	module = "github.com/redisfluster/fluster"
	redigo = "github.com/gomodule/redigo/redis"
	xxhash = "github.com/cespare/xxhash/v2"
	murmur = "github.com/twmb/murmur3"
)

// onlyRule is what the non-test code of a package may import besides the
// standard library and nothing else. A name that ends in "/..." means all
// packages below too.
type onlyRule struct {
	who  string
	only []string
	why  string
}

// Do not edit a rule just to turn a build green: the layers are the design.
var onlyRules = []onlyRule{
	{"./ring", []string{xxhash}, "placement is pure, so that it can be tested, fuzzed and used without Redis"},
	{"./ring/compat", []string{"./ring", xxhash, murmur}, "placement is pure, other clients' as well"},
	{"./health", nil, "the health core knows neither Redis nor placement, so that it runs under fake time and can judge anything that is probed"},
	{"./internal/redistest", []string{redigo, "go.uber.org/goleak"}, "the test rig must not depend on what it tests"},
}

// neverRule is what the non-test code of a package must not import, not even
// through other packages of the module.
type neverRule struct {
	who   string
	never []string
	why   string
}

var neverRules = []neverRule{
	{"./internal/node", []string{"./fluster", "./ring/..."}, "one node knows neither the cluster nor its place in it"},
	{"./internal/command", []string{"./fluster", "./ring/...", "./health", "./internal/node"}, "what commands mean is plain data, the same for every cluster"},
	{"./ring/...", []string{"./health", "./internal/...", "./fluster"}, "placement must not depend on how nodes are reached or judged"},
	{"./fluster", []string{"./fanin"}, "reads from all nodes stand on top of the cluster"},
	{"./internal/...", []string{"./fanin"}, "reads from all nodes stand on top of the cluster"},
	{"./...", []string{"./internal/redistest"}, "the test rig is for tests"},
}

// leaves are directories that import anything and that nobody imports, not even
// a test.
var leaves = []string{"./examples/...", "./bench/...", "./cmd/...", "./faults/...", "./internal/faulttable", "./internal/vectorcheck"}

// dependencies are the modules that users of the library get with it. Another
// one has to be worth it to every one of them, and needs its reason in writing.
var dependencies = []string{redigo, xxhash}

// ownDependencies are modules that one package alone may import, so that only who
// uses that package gets them. The reason of each:
//   - murmur: redis-fluster hashes with MurmurHash3, which is a standard function, so
//     it is a module's matter to get it right; nobody else needs it.
var ownDependencies = map[string][]string{"./ring/compat": {murmur}}

func TestPackagesImportOnlyWhatTheirLayerMay(t *testing.T) {
	got := readImports(t, os.DirFS("."))
	for _, who := range []string{"./ring", "./health", "./internal/redistest"} {
		require.NotEmpty(t, got.code[who], "no imports of %s found: is this the module's root?", who)
	}
	assert.Empty(t, violations(got))
}

func TestEveryLayerRuleIsEnforced(t *testing.T) {
	type imports = map[string][]string
	for name, tc := range map[string]struct {
		code, tests imports
		want        string
	}{
		"ring is pure":                        {code: imports{"./ring": {"strings", xxhash, redigo}}, want: "./ring imports " + redigo},
		"ring does not know health":           {code: imports{"./ring": {"./health"}}, want: "./ring imports ./health"},
		"health does not know hashing":        {code: imports{"./health": {"time", xxhash}}, want: "./health imports " + xxhash},
		"node does not know the cluster":      {code: imports{"./internal/node": {"./fluster"}}, want: "./internal/node imports ./fluster"},
		"node does not know placements":       {code: imports{"./internal/node": {"./ring/compat"}}, want: "./internal/node imports ./ring/compat"},
		"not even through another package":    {code: imports{"./internal/node": {"./internal/glue"}, "./internal/glue": {"./ring"}}, want: "./internal/node imports ./ring"},
		"commands do not know health":         {code: imports{"./internal/command": {"./health"}}, want: "./internal/command imports ./health"},
		"a compat placement does not either":  {code: imports{"./ring/compat": {"./health"}}, want: "./ring/compat imports ./health"},
		"a leaf may use the rig":              {code: imports{"./internal/faulttable": {"./internal/redistest"}}},
		"the cluster does not know fan-in":    {code: imports{"./fluster": {"./fanin"}}, want: "./fluster imports ./fanin"},
		"nor does what it is made of":         {code: imports{"./internal/router": {"./fanin"}}, want: "./internal/router imports ./fanin"},
		"the rig is for tests":                {code: imports{"./fluster": {"./internal/redistest"}}, want: "./fluster imports ./internal/redistest"},
		"the rig depends on nothing tested":   {code: imports{"./internal/redistest": {"./health"}}, want: "./internal/redistest imports ./health"},
		"nobody imports examples":             {code: imports{"./fluster": {"./examples/queue"}}, want: "./fluster imports ./examples/queue"},
		"tests do not import bench":           {tests: imports{"./fluster": {"./bench"}}, want: "./fluster imports ./bench"},
		"the library brings few dependencies": {code: imports{"./fluster": {"gopkg.in/yaml.v3"}}, want: "./fluster imports gopkg.in/yaml.v3"},
		"one package has its own":             {code: imports{"./ring/compat": {murmur}}},
		"nobody else has it":                  {code: imports{"./fluster": {murmur}}, want: "./fluster imports " + murmur},
		"compat is pure":                      {code: imports{"./ring/compat": {redigo}}, want: "./ring/compat imports " + redigo},
		"tests may bring others":              {tests: imports{"./ring": {"pgregory.net/rapid", "./internal/redistest"}}},
		"the layers as they are meant": {code: imports{
			"./fluster":       {"context", redigo, "./ring", "./health", "./internal/node", "./internal/command"},
			"./ring":          {"math/bits", xxhash},
			"./ring/compat":   {"crypto/md5", "./ring"},
			"./internal/node": {redigo, "./health", "net"},
			"./fanin":         {"context", redigo, "./fluster", "./internal/node"},
			"./cmd/fluster":   {"./fluster", "./fanin", "example.com/flags"},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got := violations(importGraph{code: tc.code, tests: tc.tests})
			if tc.want == "" {
				assert.Empty(t, got)
				return
			}
			assert.Contains(t, strings.Join(got, "\n"), tc.want+":")
		})
	}
}

// importGraph is who imports whom directly. Here and in the rules, packages of
// the module are named by their directory: "./ring".
type importGraph struct {
	code, tests map[string][]string
}

// violations returns one sentence for each import that a rule forbids.
func violations(g importGraph) []string {
	var found []string
	report := func(who, whom, why string) {
		found = append(found, fmt.Sprintf("%s imports %s: %s", who, whom, why))
	}
	for who, imports := range g.code {
		for _, whom := range imports {
			checkOnly(who, whom, report)
		}
		for whom := range reach(g.code, who) {
			checkNever(who, whom, report)
		}
	}
	for _, graph := range []map[string][]string{g.code, g.tests} {
		for who, imports := range graph {
			for _, whom := range imports {
				if matchesAny(leaves, whom) && !matchesAny(leaves, who) {
					report(who, whom, "nobody imports that")
				}
			}
		}
	}
	slices.Sort(found)
	return found
}

func checkOnly(who, whom string, report func(who, whom, why string)) {
	if isStd(whom) {
		return
	}
	for _, r := range onlyRules {
		if matches(r.who, who) && !matchesAny(r.only, whom) {
			report(who, whom, r.why)
		}
	}
	if isLibrary(who) && !isOurs(whom) && !matchesAny(dependencies, whom) && !matchesAny(ownDependencies[who], whom) {
		report(who, whom, "users of the library would get that dependency too")
	}
}

func checkNever(who, whom string, report func(who, whom, why string)) {
	if matchesAny(leaves, who) {
		return
	}
	for _, r := range neverRules {
		if matches(r.who, who) && matchesAny(r.never, whom) {
			report(who, whom, r.why)
		}
	}
}

// reach returns the packages that who imports, directly or through others.
func reach(code map[string][]string, who string) map[string]bool {
	seen := make(map[string]bool)
	var visit func(string)
	visit = func(p string) {
		for _, next := range code[p] {
			if !seen[next] {
				seen[next] = true
				visit(next)
			}
		}
	}
	visit(who)
	return seen
}

// matches is how the go command understands patterns such as "./ring/...".
func matches(pattern, pkg string) bool {
	parent, below := strings.CutSuffix(pattern, "/...")
	return pkg == parent || below && strings.HasPrefix(pkg, parent+"/")
}

func matchesAny(patterns []string, pkg string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, pkg) })
}

func isOurs(pkg string) bool { return pkg == "." || strings.HasPrefix(pkg, "./") }

// isStd tells a package of the standard library: the paths of all others begin
// with a host name.
func isStd(pkg string) bool {
	host, _, _ := strings.Cut(pkg, "/")
	return !strings.Contains(host, ".")
}

// isLibrary tells what users import, directly or not.
func isLibrary(pkg string) bool {
	return !matchesAny(leaves, pkg) && pkg != "./internal/redistest"
}

// readImports reads the imports of every package of the module, for all systems
// and build tags. Modules nested in it are not of it.
func readImports(t *testing.T, root fs.FS) importGraph {
	t.Helper()
	code, tests := make(map[string]map[string]bool), make(map[string]map[string]bool)
	err := fs.WalkDir(root, ".", func(file string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return skipForeign(root, file)
		case strings.HasSuffix(file, "_test.go"):
			return addImports(tests, root, file)
		case strings.HasSuffix(file, ".go"):
			return addImports(code, root, file)
		}
		return nil
	})
	require.NoError(t, err)
	return importGraph{sorted(code), sorted(tests)}
}

// skipForeign skips a directory in which the go command sees no packages of
// this module.
func skipForeign(root fs.FS, dir string) error {
	if dir == "." {
		return nil
	}
	_, err := fs.Stat(root, path.Join(dir, "go.mod"))
	if base := path.Base(dir); err == nil || base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	return nil
}

// addImports adds the imports of one file to those of its package.
func addImports(imports map[string]map[string]bool, root fs.FS, file string) error {
	src, err := fs.ReadFile(root, file)
	if err != nil {
		return err
	}
	parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
	if err != nil {
		return err
	}
	who := packageName(path.Join(module, path.Dir(file)))
	if imports[who] == nil {
		imports[who] = make(map[string]bool)
	}
	for _, spec := range parsed.Imports {
		whom, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return err
		}
		imports[who][packageName(whom)] = true
	}
	return nil
}

// packageName names a package of the module by its directory.
func packageName(importPath string) string {
	if importPath == module {
		return "."
	}
	if dir, ours := strings.CutPrefix(importPath, module+"/"); ours {
		return "./" + dir
	}
	return importPath
}

func sorted(sets map[string]map[string]bool) map[string][]string {
	lists := make(map[string][]string, len(sets))
	for name, set := range sets {
		lists[name] = slices.Sorted(maps.Keys(set))
	}
	return lists
}
