package lint

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

// TestRepository holds the repository to its rules: one subtest for each, with a reason for each violation.
func TestRepository(t *testing.T) {
	tree := loadRepository(t)
	for _, rule := range Rules() {
		t.Run(rule.Name, func(t *testing.T) {
			for _, v := range rule.Check(tree) {
				t.Error(rule.Explain(v))
			}
		})
	}
}

// TestNumbers prints the house's figures; go test -v shows them.
func TestNumbers(t *testing.T) {
	n := Measure(loadRepository(t))
	if n.Packages == 0 || len(n.Functions) == 0 {
		t.Fatal("nothing was counted: is the root of the repository where this test expects it?")
	}
	t.Logf("the house in numbers\n%s", n)
}

func loadRepository(t *testing.T) *Tree {
	t.Helper()
	tree, err := Load(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

// TestTidy asks the go command whether every go.mod names what is imported, and nothing else.
func TestTidy(t *testing.T) {
	if os.Getenv("GOPROXY") == "off" || testing.Short() {
		t.Skip("go mod tidy reads the modules of our modules' tests, and the network is off (GOPROXY=off or -short)")
	}
	for _, text := range loadRepository(t).Texts {
		if filepath.Base(text.Path) != "go.mod" || strings.Contains(text.Path, "testdata/") {
			continue
		}
		t.Run(text.Path, func(t *testing.T) {
			if text.Path == "drivers/periph/go.mod" {
				t.Skip("periph cannot be fetched everywhere, and go.sum carries the root's lines: TestNestedModule checks both files")
			}
			cmd := exec.CommandContext(t.Context(), "go", "mod", "tidy", "-diff")
			cmd.Dir = filepath.Join(root, filepath.Dir(text.Path))
			out, err := cmd.CombinedOutput()
			mod, _, differs := strings.Cut(string(out), "diff current/go.sum")
			switch {
			case err == nil:
			case differs || strings.Contains(mod, "\n+++ "):
				t.Errorf("%s or its go.sum is not tidy\n\twhy    a module that nobody imports is still fetched, and still has to be trusted\n\tremedy go mod tidy\n%s", text.Path, mod)
			default:
				t.Errorf("%s could not be checked (is the network there? GOPROXY=off skips this): %v\n%s", text.Path, err, out)
			}
		})
	}
}
