package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProgramsOfAFolder(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"watchpostd", "dispatch", "simctl"} {
		if _, err := programsIn(dir); err == nil || !strings.Contains(err.Error(), filepath.Join(dir, name)) {
			t.Errorf("without %s: %v", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	p, err := findPrograms(t.Context(), io.Discard, dir)
	if err != nil || p.simctl != filepath.Join(dir, "simctl") {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestProgramsOutsideOfTheSources(t *testing.T) {
	t.Chdir(t.TempDir())
	if root, ok := sources(); ok {
		t.Errorf("sources found in %s", root)
	}
	_, err := findPrograms(t.Context(), io.Discard, "")
	if err == nil || !strings.Contains(err.Error(), "or run it inside the sources") {
		t.Errorf("error %v", err)
	}
}

func TestSourcesThatDoNotBuild(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	if err := os.WriteFile("go.mod", []byte("module watchpost\n\ngo 1.26\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("a/b", 0o755); err != nil {
		t.Fatal(err)
	}
	t.Chdir("a/b")
	if root, ok := sources(); !ok || root != dir {
		t.Errorf("sources in %q, %v", root, ok)
	}
	var told strings.Builder
	_, err := findPrograms(t.Context(), &told, "")
	if err == nil || !strings.Contains(err.Error(), "building ./firmware/watchpostd") || !strings.Contains(told.String(), "failed") {
		t.Errorf("told %q, error %v", told.String(), err)
	}
	t.Setenv("PATH", dir)
	if _, err = findPrograms(t.Context(), io.Discard, ""); err == nil || !strings.Contains(err.Error(), "install Go") {
		t.Errorf("without Go: %v", err)
	}
}

// Two villages never share an id, every station has its camera called gate, and one has a panel.
func TestVillages(t *testing.T) {
	ids, views, panels, counties := map[string]bool{}, 0, 0, map[string]bool{}
	for _, v := range villages() {
		ids[v.id], counties[v.jurisdiction] = true, true
		views += len(v.views)
		if v.panel {
			panels++
		}
		if v.views[0].id != "gate" {
			t.Errorf("the first camera of %s is %s", v.id, v.views[0].id)
		}
	}
	if len(ids) != 3 || len(counties) != 2 || views != 4 || panels != 1 {
		t.Errorf("%d stations of %d counties, %d cameras, %d panels", len(ids), len(counties), views, panels)
	}
}

func TestSocketPathThatIsTooLong(t *testing.T) {
	v := &village{id: "x", dir: "/" + strings.Repeat("d", maxSocketPath-len("/board.sock")-1)}
	err := v.startDevices(t.Context(), newFamily(t.TempDir()), programs{})
	if err == nil || !strings.Contains(err.Error(), "choose a shorter --dir") || !strings.Contains(err.Error(), "door.sock") {
		t.Errorf("error %v", err)
	}
}
