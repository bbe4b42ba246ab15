package arming_test

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mutation is one mistake, planted in a copy of one file.
type mutation struct{ file, name, right, wrong string }

// Each planted mistake is noticed. All of them are built into one program, which makes the one that it is told to make.
func TestPlantedMistakesAreNoticed(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program and runs it for each mistake")
	}
	mutations := readMutations(t)
	program := buildMutants(t, mutations)
	run := func(n int, tests string) ([]byte, error) {
		cmd := exec.Command(program, "-test.short", "-test.failfast", "-test.run", tests)
		cmd.Env = append(os.Environ(), fmt.Sprintf("MISTAKE=%d", n))
		return cmd.CombinedOutput()
	}
	for _, tests := range []string{"World", "Table"} {
		if out, err := run(0, tests); err != nil {
			t.Fatalf("without a mistake %s fails: %v\n%s", tests, err, out)
		}
	}
	for i, mu := range mutations {
		t.Run(mu.name, func(t *testing.T) {
			for _, tests := range []string{"World", "Table"} {
				if out, err := run(i+1, tests); err != nil {
					if !strings.Contains(string(out), "--- FAIL") {
						t.Fatalf("%s did not run: %v\n%s", tests, err, out)
					}
					return
				}
			}
			t.Errorf("%s: nobody has noticed", mu.file)
		})
	}
}

func readMutations(t *testing.T) []mutation {
	t.Helper()
	b, err := os.ReadFile("testdata/mutations.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []mutation
	for _, block := range strings.Split(string(b), "\n\n")[1:] {
		lines := strings.Split(strings.TrimSpace(block), "\n")
		file, name, ok := strings.Cut(lines[0], ": ")
		if !ok || len(lines) != 3 || !strings.HasPrefix(lines[1], "- ") || !strings.HasPrefix(lines[2], "+ ") {
			t.Fatalf("not a mistake of three lines: %q", block)
		}
		all = append(all, mutation{file, name, lines[1][2:], lines[2][2:]})
	}
	return all
}

// buildMutants builds this package's tests over copies of its files with all mistakes in them.
func buildMutants(t *testing.T, mutations []mutation) string {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("no go command to build with")
	}
	dir := t.TempDir()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]string{"mistakes.go": `package arming

import "os"

var mistake = os.Getenv("MISTAKE")

func wrong(n string) bool { return mistake == n }

func kept[T any](n string, v T) T {
	if wrong(n) {
		var nothing T
		return nothing
	}
	return v
}
`}
	for i, mu := range mutations {
		text, ok := sources[mu.file]
		if !ok {
			b, err := os.ReadFile(mu.file)
			if err != nil {
				t.Fatal(err)
			}
			text = string(b)
		}
		if n := strings.Count(text, mu.right); n != 1 {
			t.Fatalf("%s: %q stands there %d times, want once", mu.file, mu.right, n)
		}
		number := fmt.Sprintf("%q", fmt.Sprint(i+1))
		planted := strings.NewReplacer("wrong()", "wrong("+number+")", "kept(", "kept("+number+", ").Replace(mu.wrong)
		sources[mu.file] = strings.Replace(text, mu.right, planted, 1)
	}
	overlay := map[string]map[string]string{"Replace": {}}
	for name, text := range sources {
		copied := filepath.Join(dir, name)
		overlay["Replace"][filepath.Join(here, name)] = copied
		writeFile(t, copied, []byte(text))
	}
	b, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "overlay.json"), b)
	program := filepath.Join(dir, "mutants.test")
	if out, err := exec.Command("go", "test", "-c", "-overlay", filepath.Join(dir, "overlay.json"), "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("building the mistakes: %v\n%s", err, out)
	}
	return program
}

func writeFile(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}
