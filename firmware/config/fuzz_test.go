package config

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
)

// FuzzParse holds that any text is either a configuration or a list of problems, each at a line that the text has, and that
// what is taken once is taken again.
func FuzzParse(f *testing.F) {
	f.Add(Reference)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("s.yaml", []byte(text))
		if (c == nil) == (err == nil) {
			t.Fatalf("config %v with error %v", c, err)
		}
		if err == nil {
			if _, again := Parse("s.yaml", []byte(text)); again != nil {
				t.Errorf("taken, and then not: %v", again)
			}
			return
		}
		p, ok := errors.AsType[*Problems](err)
		if !ok || len(p.List) == 0 {
			t.Fatalf("error = %v, want *Problems", err)
		}
		for _, x := range p.List {
			if x.Message == "" || x.Line < 0 || x.Line > strings.Count(text, "\n")+strings.Count(text, "\r")+2 { // a CR ends a line of YAML, too
				t.Errorf("%+v is no line of the text", x)
			}
		}
	})
}

// The corpus is of both sorts: files that are taken, by their names, and files that are not.
func TestTheCorpusOfConfigurations(t *testing.T) {
	files, err := os.ReadDir("testdata/fuzz/FuzzParse")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text := corpus(t, "testdata/fuzz/FuzzParse/"+f.Name())
		if _, err := Parse("s.yaml", []byte(text)); (err == nil) != strings.HasPrefix(f.Name(), "good-") {
			t.Errorf("%s: %v", f.Name(), err)
		}
	}
}

// corpus is the text of one file of the fuzz corpus.
func corpus(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	quoted, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "go test fuzz v1\nstring(")
	text, err := strconv.Unquote(strings.TrimSuffix(quoted, ")"))
	if !ok || err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return text
}
