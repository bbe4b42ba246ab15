package lint

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// officialSums are what sum.golang.org says of the modules that only drivers/periph needs. They cannot be fetched where this
// project is built, so that no command there would notice a wrong one.
const officialSums = `periph.io/x/conn/v3 v3.7.2 h1:qt9dE6XGP5ljbFnCKRJ9OOCoiOyBGlw7JZgoi72zZ1s=
periph.io/x/conn/v3 v3.7.2/go.mod h1:Ao0b4sFRo4QOx6c1tROJU1fLJN1hUIYggjOrkIVnpGg=
periph.io/x/host/v3 v3.8.5 h1:g4g5xE1XZtDiGl1UAJaUur1aT7uNiFLMkyMEiZ7IHII=
periph.io/x/host/v3 v3.8.5/go.mod h1:hPq8dISZIc+UNfWoRj+bPH3XEBQqJPdFdx218W92mdc=
periph.io/x/d2xx v0.1.1/go.mod h1:rLM321G11Fc14Pp088khBkmXb70Pxx/kCPaIK7uRUBc=
github.com/jonboulle/clockwork v0.4.0 h1:p4Cf1aMWXnXAUh8lVfewRBx1zaTSYKrKMF2g3ST4RZ4=
github.com/jonboulle/clockwork v0.4.0/go.mod h1:xgRqUGwRcjKCO1vbZUEtSLrqKoPSsUpK7fnezOII0kc=
`

// modules are the files of the root module and of the nested one.
type modules struct {
	rootMod, rootSum, mod, sum string
}

// TestNestedModule holds drivers/periph to the root module: every version the same, every checksum known, no way back.
func TestNestedModule(t *testing.T) {
	real := modules{read(t, "go.mod"), read(t, "go.sum"), read(t, "drivers/periph/go.mod"), read(t, "drivers/periph/go.sum")}
	for _, fault := range real.faults() {
		t.Error(fault)
	}
	for name, c := range map[string]struct {
		spoil func(m *modules)
		want  string
	}{
		"root needs periph":  {func(m *modules) { m.rootMod += "require periph.io/x/conn/v3 v3.7.2\n" }, "the root module names periph.io"},
		"root sums periph":   {func(m *modules) { m.rootSum += officialSums }, "the root module names periph.io"},
		"no replace":         {func(m *modules) { m.mod = strings.ReplaceAll(m.mod, replaceRoot, "") }, "has no line"},
		"replace of periph":  {func(m *modules) { m.mod += "replace periph.io/x/conn/v3 => /somewhere\n" }, "replaces"},
		"another version":    {func(m *modules) { m.mod = strings.Replace(m.mod, "golang.org/x/sys v", "golang.org/x/sys v9", 1) }, "golang.org/x/sys"},
		"another periph":     {func(m *modules) { m.mod = strings.Replace(m.mod, "host/v3 v3.8.5", "host/v3 v3.8.6", 1) }, "periph.io/x/host/v3 v3.8.6"},
		"module of nowhere":  {func(m *modules) { m.mod += "require example.com/x v1.0.0\n" }, "example.com/x v1.0.0"},
		"a sum is missing":   {func(m *modules) { _, m.sum, _ = strings.Cut(m.sum, "\n") }, "go.sum lacks"},
		"a sum is wrong":     {func(m *modules) { m.sum = strings.Replace(m.sum, "qt9dE6XG", "qt9dE6XH", 1) }, "go.sum has besides"},
		"root's sums moved":  {func(m *modules) { m.rootSum += "example.com/x v1.0.0 h1:x=\n" }, "go.sum lacks example.com/x"},
		"periph's sum moved": {func(m *modules) { m.sum = strings.Replace(m.sum, "v3.8.5/go.mod", "v3.8.6/go.mod", 1) }, "go.sum has besides"},
	} {
		m := real
		c.spoil(&m)
		if got := strings.Join(m.faults(), "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s: found %q, want %q", name, got, c.want)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// replaceRoot is how the nested module finds the root one.
const replaceRoot = "replace watchpost => ../.."

func (m modules) faults() []string {
	var found []string
	if strings.Contains(m.rootMod+m.rootSum, "periph.io") {
		found = append(found, "the root module names periph.io: it must stay complete without it")
	}
	if !slices.Contains(strings.Split(m.mod, "\n"), replaceRoot) {
		found = append(found, "drivers/periph/go.mod has no line "+replaceRoot)
	}
	if n := strings.Count(m.mod, "=>"); n > 1 {
		found = append(found, fmt.Sprintf("drivers/periph/go.mod replaces %d modules: of others it takes what is published", n))
	}
	known := requires(m.rootMod)
	for line := range strings.Lines(officialSums) {
		if f := strings.Fields(line); !strings.HasSuffix(f[1], "/go.mod") {
			known = append(known, f[0]+" "+f[1])
		}
	}
	for _, r := range requires(m.mod) {
		if !slices.Contains(known, r) && r != "watchpost v0.0.0" {
			found = append(found, "drivers/periph/go.mod requires "+r+", which is neither the root's nor periph's version")
		}
	}
	want, got := sorted(m.rootSum+officialSums), sorted(m.sum)
	for _, line := range want {
		if !slices.Contains(got, line) {
			found = append(found, "drivers/periph/go.sum lacks "+line)
		}
	}
	for _, line := range got {
		if !slices.Contains(want, line) {
			found = append(found, "drivers/periph/go.sum has besides "+line)
		}
	}
	return found
}

// requires gives "module version" of each requirement.
func requires(mod string) []string {
	var all []string
	for line := range strings.Lines(mod) {
		line, _, _ = strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "require "), "//")
		if f := strings.Fields(line); len(f) == 2 && strings.HasPrefix(f[1], "v") {
			all = append(all, f[0]+" "+f[1])
		}
	}
	return all
}

func sorted(text string) []string {
	return slices.Sorted(slices.Values(strings.Split(strings.TrimSuffix(text, "\n"), "\n")))
}
