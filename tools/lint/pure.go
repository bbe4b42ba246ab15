package lint

import (
	"fmt"
	"go/ast"
	"slices"
	"strings"
)

// pureMarker on a line of its own above the package clause puts one file of an otherwise impure package under the rule.
const pureMarker = "//lint:pure"

// purePackages decide, encode or decode; they are functions of (state, input, now).
func purePackages() []string {
	return []string{
		"storage/event", "storage/incident",
		"uplink/access", "uplink/topic",
		"drivers/contactid", "drivers/rtsp/h264",
		"firmware/arming", "firmware/match", "firmware/record",
	}
}

// pureImports is what a pure file may import of others: nothing that waits, reads or remembers.
func pureImports() []string {
	return []string{
		"bytes", "cmp", "container/...", "crypto/aes", "crypto/cipher", "crypto/ed25519", "crypto/hmac", "crypto/sha256", "crypto/subtle",
		"embed", "encoding/...", "errors", "fmt", "hash/...", "io", "iter", "maps", "math", "math/bits", "path", "regexp",
		"slices", "sort", "strconv", "strings", "time", "unicode/...", "unsafe",
		"github.com/klauspost/compress/zstd", // bytes to bytes: EncodeAll and DecodeAll
		"github.com/pion/rtp",                // packets are the currency of media: values that know how to be marshalled
	}
}

// pureRooms is what a pure file may import of ours: the pure packages, and rooms whose types they speak of.
func pureRooms() []string { return append(purePackages(), "storage/watchorder") }

// impure names what reads a clock, a file or the machine's settings, or writes to a terminal, in allowed packages.
func impure() map[string][]string {
	return map[string][]string{
		"time": {"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTicker", "NewTimer", "LoadLocation", "Local"},
		"fmt":  {"Print", "Printf", "Println", "Scan", "Scanf", "Scanln"},
	}
}

func checkPure(t *Tree) []Violation {
	var found []Violation
	for p, f := range t.files() {
		if !f.Test && (matchAny(purePackages(), p.Path) || f.marked(pureMarker)) {
			found = append(found, t.impureImports(f)...)
			found = append(found, t.impureUses(f)...)
		}
	}
	return found
}

func (t *Tree) impureImports(f *File) []Violation {
	var found []Violation
	for name, spec := range f.imports() {
		folder, ours := t.folder(name)
		if !(ours && matchAny(pureRooms(), folder) || !ours && matchAny(pureImports(), name)) {
			found = append(found, t.at(f, spec, "a pure file must not import %s", name))
		}
	}
	return found
}

func (t *Tree) impureUses(f *File) []Violation {
	var found []Violation
	for pkg, functions := range impure() {
		for name := range f.uses(pkg, f.Syntax) {
			if slices.Contains(functions, name.Name) {
				found = append(found, t.at(f, name, "a pure file must not use %s.%s", pkg, name.Name))
			}
		}
	}
	for n := range ast.Preorder(f.Syntax) {
		switch n.(type) {
		case *ast.GoStmt, *ast.SelectStmt, *ast.SendStmt, *ast.ChanType:
			found = append(found, t.at(f, n, "a pure file must not wait (%s)", strings.TrimPrefix(fmt.Sprintf("%T", n), "*ast.")))
		}
	}
	return found
}

// marked reports whether the marker stands on a line of its own above the package clause.
func (f *File) marked(marker string) bool {
	for _, group := range f.Syntax.Comments {
		for _, c := range group.List {
			if c.Text == marker && c.Pos() < f.Syntax.Package {
				return true
			}
		}
	}
	return false
}
