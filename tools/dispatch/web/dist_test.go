package web

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	esbuild "github.com/evanw/esbuild/pkg/api"
)

// update writes dist instead of comparing it.
func update(t *testing.T) bool {
	t.Helper()
	f := flag.Lookup("update")
	return f != nil && f.Value.String() == "true"
}

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write dist from the sources")
	flag.Parse()
	os.Exit(m.Run())
}

// build bundles the sources: name in dist → content.
func build(t *testing.T) map[string][]byte {
	t.Helper()
	r := esbuild.Build(esbuild.BuildOptions{
		EntryPoints: []string{"src/main.ts", "src/app.css"}, EntryNames: "app", Outdir: "dist",
		Bundle: true, Format: esbuild.FormatESModule, Target: esbuild.ES2022, Charset: esbuild.CharsetUTF8,
		MinifyWhitespace: true, MinifyIdentifiers: true, MinifySyntax: true, LogLevel: esbuild.LogLevelSilent,
	})
	for _, m := range slices.Concat(r.Errors, r.Warnings) {
		t.Errorf("%+v: %s", m.Location, m.Text)
	}
	out := make(map[string][]byte)
	for _, f := range r.OutputFiles {
		out[filepath.Base(f.Path)] = f.Contents
	}
	for _, name := range []string{"index.html", "icon.svg"} {
		b, err := os.ReadFile(filepath.Join("src", name))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = b
	}
	return out
}

func TestDistIsCurrent(t *testing.T) {
	want := build(t)
	if update(t) {
		for name, b := range want {
			if err := os.WriteFile(filepath.Join("dist", name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	entries, err := os.ReadDir("dist")
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(want) {
		t.Errorf("dist holds %d files, the sources give %d", len(entries), len(want))
	}
	for name, b := range want {
		have, err := os.ReadFile(filepath.Join("dist", name))
		if err != nil || !bytes.Equal(have, b) {
			t.Errorf("dist/%s is not what the sources give: run go test ./tools/dispatch/web -run TestDistIsCurrent -update", name)
		}
	}
}

// The page must stay small enough that nobody ever waits for it.
func TestBundleIsSmall(t *testing.T) {
	const limit = 60 << 10
	for name, b := range build(t) {
		if len(b) > limit {
			t.Errorf("%s has %d bytes, at most %d", name, len(b), limit)
		}
	}
}

// Both languages have the same keys, each with words in it, and nothing that people read stands anywhere else.
func TestWordsAreWhole(t *testing.T) {
	src, err := os.ReadFile("src/words.ts")
	if err != nil {
		t.Fatal(err)
	}
	en, zh, ok := strings.Cut(string(src), "const zh:")
	if !ok {
		t.Fatal("words.ts has no table zh")
	}
	entry := regexp.MustCompile(`(?m)^  (\w+): "(.*)",$`)
	words := func(table string) map[string]string {
		m := make(map[string]string)
		for _, e := range entry.FindAllStringSubmatch(table, -1) {
			m[e[1]] = e[2]
		}
		return m
	}
	e, z := words(en), words(zh)
	if len(e) < 50 {
		t.Fatalf("only %d keys found", len(e))
	}
	hole := regexp.MustCompile(`\{\d\}`)
	for key, word := range e {
		other, ok := z[key]
		if !ok || other == "" || word == "" {
			t.Errorf("key %s: en %q, zh %q", key, word, other)
		}
		a, b := hole.FindAllString(word, -1), hole.FindAllString(other, -1)
		slices.Sort(a)
		slices.Sort(b)
		if !slices.Equal(a, b) {
			t.Errorf("key %s: the places to fill differ: %q and %q", key, word, other)
		}
	}
	for key := range z {
		if _, ok := e[key]; !ok {
			t.Errorf("key %s is Chinese only", key)
		}
	}
}

func TestEveryWordIsUsedAndNoneIsElsewhere(t *testing.T) {
	files, err := filepath.Glob("src/*.ts")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Base(f) == "words.ts" {
			continue
		}
		if cjk := regexp.MustCompile(`\p{Han}+`).Find(b); cjk != nil {
			t.Errorf("%s says %s: words belong in words.ts", f, cjk)
		}
		code.Write(b)
	}
	words, err := os.ReadFile("src/words.ts")
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(words), "const zh:")
	used := code.String()
	made := regexp.MustCompile("`(\\w+_)\\$\\{")
	var prefixes []string
	for _, m := range made.FindAllStringSubmatch(used, -1) {
		prefixes = append(prefixes, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^  (\w+): "`).FindAllStringSubmatch(table, -1) {
		quoted := strings.Contains(used, `"`+m[1]+`"`) || strings.Contains(used, "say(verb)") && (m[1] == "claim" || m[1] == "release" || m[1] == "acknowledge")
		if !quoted && !slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(m[1], p) }) {
			t.Errorf("nobody says %s", m[1])
		}
	}
}
