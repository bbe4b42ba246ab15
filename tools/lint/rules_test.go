package lint

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"pgregory.net/rapid"
)

// TestRulesFire proves each rule: the planted violations of its archive are found, no others, and the clean twin passes.
func TestRulesFire(t *testing.T) {
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			archive, err := txtar.ParseFile(filepath.Join("testdata", rule.Name+".txtar"))
			if err != nil {
				t.Fatal(err)
			}
			want := wanted(archive)
			if len(want) == 0 {
				t.Fatal("the archive plants no violation")
			}
			if diff := cmp.Diff(want, report(rule, half(t, archive, "bad"))); diff != "" {
				t.Errorf("planted violations (-want +got):\n%s", diff)
			}
			if got := report(rule, half(t, archive, "clean")); len(got) > 0 {
				t.Errorf("the clean twin violates the rule:\n%s", strings.Join(got, "\n"))
			}
		})
	}
}

// wanted are the lines "want …" above the files of an archive.
func wanted(archive *txtar.Archive) []string {
	var want []string
	for line := range strings.Lines(string(archive.Comment)) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), "want "); ok {
			want = append(want, v)
		}
	}
	return want
}

// half loads the files below dir as a repository of their own. A line "(7 lines)" stands for seven lines of comment.
func half(t *testing.T, archive *txtar.Archive, dir string) *Tree {
	t.Helper()
	long := regexp.MustCompile(`(?m)^\((\d+) lines\)\n`)
	files := fstest.MapFS{"go.mod": {Data: []byte("module watchpost\n")}}
	for _, f := range archive.Files {
		if name, ok := strings.CutPrefix(f.Name, dir+"/"); ok {
			data := long.ReplaceAllFunc(f.Data, func(line []byte) []byte {
				n, _ := strconv.Atoi(string(long.FindSubmatch(line)[1]))
				return bytes.Repeat([]byte("//\n"), n)
			})
			files[name] = &fstest.MapFile{Data: data}
		}
	}
	if len(files) == 1 {
		t.Fatalf("the archive has no files below %s/", dir)
	}
	tree, err := Load(fs.FS(files))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func report(rule Rule, tree *Tree) []string {
	var lines []string
	for _, v := range rule.Check(tree) {
		lines = append(lines, v.String())
	}
	return lines
}

// TestRulesExplain: a violation that does not say why and what to do only annoys.
func TestRulesExplain(t *testing.T) {
	seen := make(map[string]bool)
	for _, rule := range Rules() {
		if rule.Name == "" || rule.Reason == "" || rule.Remedy == "" || rule.check == nil || seen[rule.Name] {
			t.Errorf("rule %+v is incomplete or named twice", rule)
		}
		seen[rule.Name] = true
	}
	archives, err := filepath.Glob("testdata/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	for _, archive := range archives {
		if name := strings.TrimSuffix(filepath.Base(archive), ".txtar"); !seen[name] {
			t.Errorf("%s proves no rule", archive)
		}
	}
}

func TestExplainPrefersTheCloserReason(t *testing.T) {
	rule := Rule{Name: "imports", Reason: "far", Remedy: "move it"}
	v := Violation{File: "a/b.go", Line: 7, What: "broken"}
	if got, want := rule.Explain(v), "a/b.go:7: broken\n\trule   imports\n\twhy    far\n\tremedy move it"; got != want {
		t.Errorf("Explain = %q, want %q", got, want)
	}
	v.Why = "near"
	if got := rule.Explain(v); !strings.Contains(got, "why    near") {
		t.Errorf("Explain = %q, want the reason of the violation", got)
	}
}

// TestImportTableIsReachable: a row behind a wider one would never count.
func TestImportTableIsReachable(t *testing.T) {
	table := importTable()
	for _, row := range table {
		if row.why == "" {
			t.Errorf("the row of %v gives no reason", row.from)
		}
		for _, pattern := range row.from {
			pkg := strings.TrimSuffix(pattern, "/...")
			first, _, _ := rowFor(table, pkg)
			if !slices.Equal(first.from, row.from) {
				t.Errorf("the row of %s stands behind the row of %v", pkg, first.from)
			}
		}
	}
}

func TestMatch(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"storage/event", "storage/event", true},
		{"storage/event", "storage/eventlog", false},
		{"storage/event", "storage/event/golden", false},
		{"storage/event/...", "storage/event", true},
		{"storage/event/...", "storage/event/golden", true},
		{"storage/event/...", "storage/eventlog", false},
		{"drivers/...", "drivers", true},
		{"drivers/...", "driversold/bus", false},
	} {
		if got := match(c.pattern, c.name); got != c.want {
			t.Errorf("match(%q, %q) = %v", c.pattern, c.name, got)
		}
	}
}

// TestMatchIsByWholeNames: a longer last name never slips under a pattern, whatever the names are.
func TestMatchIsByWholeNames(t *testing.T) {
	name := rapid.StringMatching(`[a-z]{1,6}(/[a-z]{1,6}){0,3}`)
	rapid.Check(t, func(t *rapid.T) {
		dir := name.Draw(t, "dir")
		longer := dir + rapid.StringMatching(`[a-z]{1,4}`).Draw(t, "tail")
		below := dir + "/" + name.Draw(t, "below")
		if match(dir, longer) || match(dir+"/...", longer) {
			t.Fatalf("%s swallows %s", dir, longer)
		}
		if match(dir, below) || !match(dir+"/...", below) {
			t.Fatalf("%s: only the pattern with /... holds %s", dir, below)
		}
	})
}

func TestMeasure(t *testing.T) {
	tree := half(t, txtar.Parse([]byte(numbersArchive)), "tree")
	n := Measure(tree)
	want := Numbers{
		Packages: 2, Undocumented: 1, Exports: 2, UndocumentedExports: 1, Functions: []int{1, 3},
		LongestFile: 11, WidestInterface: 2, CodeLines: 14, TestLines: 5, Variables: 1,
		FuzzTargets: 1, Benchmarks: 0, Tests: 1, Modules: 1,
		Rooms: []Room{{"drivers", 11, 5}, {"storage", 3, 0}},
	}
	if diff := cmp.Diff(want, n); diff != "" {
		t.Errorf("numbers (-want +got):\n%s", diff)
	}
	if report := n.String(); !strings.Contains(report, "0.36") {
		t.Errorf("the report lacks the ratio of test to code:\n%s", report)
	}
}

const numbersArchive = `
-- tree/drivers/bell/bell.go --
// A bell rings.
package bell

import _ "github.com/pion/rtp/codecs"

// Bell rings.
type Bell interface{ Ring(); Stop() }

func ring() {
	count++
}
-- tree/drivers/bell/bell_test.go --
package bell

func TestRing(t *testing.T) {}

func FuzzRing(f *testing.F) {}
-- tree/storage/drum/drum.go --
package drum
var count int
func Beat() {}
`

func TestPercentile(t *testing.T) {
	if got := percentile(nil, 90); got != 0 {
		t.Errorf("percentile of nothing = %d", got)
	}
	rapid.Check(t, func(t *rapid.T) {
		values := rapid.SliceOfN(rapid.IntRange(0, 1000), 1, 50).Draw(t, "values")
		slices.Sort(values)
		p := rapid.IntRange(0, 100).Draw(t, "p")
		got := percentile(values, p)
		atMost := 0
		for _, v := range values {
			if v <= got {
				atMost++
			}
		}
		if atMost*100 < p*len(values) {
			t.Fatalf("percentile(%v, %d) = %d: only %d values are at most that", values, p, got, atMost)
		}
	})
}
