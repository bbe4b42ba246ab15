package lint

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// Numbers are the house's figures about itself. They are smoke alarms, not goals: the rules fail, the numbers are read.
type Numbers struct {
	Packages, Undocumented         int   // packages, and those without a comment
	Exports, UndocumentedExports   int   // exported names of packages that can be imported
	Functions                      []int // lines of each function outside tests, ascending
	LongestFile, WidestInterface   int
	CodeLines, TestLines           int
	Variables, Inits, Goes, Sleeps int // mutable package variables, init functions, bare go statements, sleeps
	FuzzTargets, Benchmarks, Tests int
	Modules                        int // modules of others that code outside tests imports
	Rooms                          []Room
}

// Room is the size of one room at the top level, in lines.
type Room struct {
	Name       string
	Code, Test int
}

// Measure counts the numbers of a tree.
func Measure(t *Tree) Numbers {
	n := Numbers{
		Undocumented: len(checkPackageDocs(t)),
		Variables:    len(checkVariables(t)),
		Inits:        len(checkInit(t)),
		Goes:         len(checkGoStatements(t)),
		Sleeps:       len(checkSleeps(t)),
	}
	for _, p := range t.Packages {
		if !p.Nested {
			n.Packages++
		}
	}
	modules := make(map[string]bool)
	for p, f := range t.files() {
		n.addLines(p, f)
		n.addDecls(t, p, f)
		for _, e := range f.exported() {
			n.Exports++
			if !e.documented {
				n.UndocumentedExports++
			}
		}
		for name := range f.imports() {
			if _, ours := t.folder(name); !ours && !f.Test && !standard(name) {
				modules[moduleOf(name)] = true
			}
		}
	}
	n.Modules = len(modules)
	slices.Sort(n.Functions)
	return n
}

func (n *Numbers) addLines(p *Package, f *File) {
	room, _, _ := strings.Cut(p.Path, "/")
	i := slices.IndexFunc(n.Rooms, func(r Room) bool { return r.Name == room })
	if i < 0 {
		i = len(n.Rooms)
		n.Rooms = append(n.Rooms, Room{Name: room})
	}
	lines := f.lines()
	n.LongestFile = max(n.LongestFile, lines)
	if f.Test {
		n.Rooms[i].Test += lines
		n.TestLines += lines
		return
	}
	n.Rooms[i].Code += lines
	n.CodeLines += lines
}

func (n *Numbers) addDecls(t *Tree, p *Package, f *File) {
	local := p.interfaces()
	for node := range ast.Preorder(f.Syntax) {
		switch d := node.(type) {
		case *ast.FuncDecl:
			n.addFunction(t, f, d)
		case *ast.InterfaceType:
			n.WidestInterface = max(n.WidestInterface, methods(local, d))
		}
	}
}

func (n *Numbers) addFunction(t *Tree, f *File, d *ast.FuncDecl) {
	name := d.Name.Name
	switch {
	case !f.Test:
		n.Functions = append(n.Functions, t.span(d))
	case d.Recv != nil:
	case strings.HasPrefix(name, "Fuzz"):
		n.FuzzTargets++
	case strings.HasPrefix(name, "Benchmark"):
		n.Benchmarks++
	case strings.HasPrefix(name, "Test"):
		n.Tests++
	}
}

// moduleOf is near enough for counting: host, owner and name where the host has owners, else host and name.
func moduleOf(importPath string) string {
	parts := strings.Split(importPath, "/")
	n := 2
	if slices.Contains([]string{"github.com", "golang.org"}, parts[0]) {
		n = 3
	}
	return strings.Join(parts[:min(n, len(parts))], "/")
}

// percentile takes ascending values and p in percent.
func percentile(values []int, p int) int {
	if len(values) == 0 {
		return 0
	}
	return values[min(len(values)*p/100, len(values)-1)]
}

func ratio(test, code int) float64 {
	if code == 0 {
		return 0
	}
	return float64(test) / float64(code)
}

// String is the report: one line for each number, with what the house holds itself to.
func (n Numbers) String() string {
	var b strings.Builder
	row := func(name, value, goal string) { fmt.Fprintf(&b, "%-34s %10s   %s\n", name, value, goal) }
	count := func(name string, value int, goal string) { row(name, fmt.Sprint(value), goal) }
	count("packages", n.Packages, "")
	count("  undocumented", n.Undocumented, "0")
	count("exported names", n.Exports, "")
	count("  undocumented", n.UndocumentedExports, "0")
	count("functions outside tests", len(n.Functions), "")
	count("  lines, p50", percentile(n.Functions, 50), "")
	count("  lines, p90", percentile(n.Functions, 90), "at most 40")
	count("  lines, longest", percentile(n.Functions, 100), "at most 100")
	count("longest file, lines", n.LongestFile, "at most 600")
	count("widest interface, methods", n.WidestInterface, "at most 5")
	count("mutable package variables", n.Variables, "0")
	count("init functions", n.Inits, "0")
	count("bare go statements", n.Goes, "0")
	count("sleeps", n.Sleeps, "0")
	count("tests", n.Tests, "")
	count("fuzz targets", n.FuzzTargets, "one for each foreign parser")
	count("benchmarks", n.Benchmarks, "one for each hot path")
	count("modules of others, tests aside", n.Modules, "at most 30")
	row("test lines / code lines", fmt.Sprintf("%.2f", ratio(n.TestLines, n.CodeLines)), "at least 1.2")
	for _, r := range n.Rooms {
		row("  "+r.Name, fmt.Sprintf("%.2f", ratio(r.Test, r.Code)), fmt.Sprintf("%d test, %d code", r.Test, r.Code))
	}
	return b.String()
}
