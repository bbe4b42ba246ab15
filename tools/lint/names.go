package lint

import (
	"bytes"
	"go/format"
	"path"
	"regexp"
	"slices"
	"strings"
)

func checkTopLevel(t *Tree) []Violation {
	fixed := strings.Fields("firmware drivers uplink storage sim tools go.mod go.sum Makefile README.md LICENSE")
	var found []Violation
	for _, name := range t.Top {
		if !strings.HasPrefix(name, ".") && !slices.Contains(fixed, name) {
			found = append(found, Violation{File: name, What: "not a name of the top level"})
		}
	}
	return found
}

func checkPackageNames(t *Tree) []Violation {
	empty := strings.Fields("util utils common helper helpers type types misc")
	var found []Violation
	for _, p := range t.Packages {
		for _, name := range slices.Compact([]string{path.Base(p.Path), p.Name}) {
			if slices.Contains(empty, name) {
				found = append(found, Violation{File: p.Path, What: "the name " + name + " says nothing"})
			}
		}
	}
	return found
}

// checkMachinePaths leaves out the planted violations of this package's own test data.
func checkMachinePaths(t *Tree) []Violation {
	home := regexp.MustCompile(`(^|[^\w.~/-])/(work|root|home/\w+|Users/\w+|tmp/wp)/`)
	var found []Violation
	for _, text := range t.Texts {
		if strings.HasPrefix(text.Path, "tools/lint/testdata/") {
			continue
		}
		number := 0
		for line := range bytes.Lines(text.Content) {
			number++
			if m := home.Find(line); m != nil {
				found = append(found, Violation{File: text.Path, Line: number, What: "names a folder of one machine: " + strings.TrimLeft(string(m), " \t\"'`=(:")})
			}
		}
	}
	return found
}

func checkUnfinished(t *Tree) []Violation {
	note := regexp.MustCompile(`\b(TODO|FIXME)\b`)
	var found []Violation
	for _, f := range t.files() {
		for _, group := range f.Syntax.Comments {
			for _, c := range group.List {
				if word := note.FindString(c.Text); word != "" {
					found = append(found, t.at(f, c, "%s", word))
				}
			}
		}
	}
	return found
}

func checkFormat(t *Tree) []Violation {
	var found []Violation
	for _, f := range t.files() {
		if f.Err != nil {
			found = append(found, Violation{File: f.Path, What: "does not parse: " + f.Err.Error()})
			continue
		}
		want, err := format.Source(f.Source)
		if err == nil && !bytes.Equal(want, f.Source) {
			found = append(found, Violation{File: f.Path, Line: firstDifference(f.Source, want), What: "differs from gofmt from here on"})
		}
	}
	return found
}

func firstDifference(a, b []byte) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return bytes.Count(a[:n], []byte("\n")) + 1
}
