package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Tree is the repository as the rules see it: read and parsed once, not changed afterwards.
type Tree struct {
	Module   string     // import path of the root module, from go.mod
	Top      []string   // names at the top level, dot-files included
	Packages []*Package // by path
	Texts    []Text     // all text files, Go or not
	fset     *token.FileSet
}

// Package is one folder that holds Go files.
type Package struct {
	Path   string // from the root, "storage/event"
	Name   string // as in its package clauses, without _test
	Nested bool   // lies in a Go module of its own: only the import rules look at it
	Files  []*File
}

// File is one Go file. Syntax holds what could be parsed; Err says why that is not everything.
type File struct {
	Path   string
	Test   bool // its name ends in _test.go
	Source []byte
	Syntax *ast.File
	Err    error
}

// Text is one text file, Go or not.
type Text struct {
	Path    string
	Content []byte
}

// Load reads the repository at the root of fsys. It passes over hidden folders other than .ci,
// over vendored code, and over Go files in testdata.
func Load(fsys fs.FS) (*Tree, error) {
	mod, err := fs.ReadFile(fsys, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("reading the root module: %w", err)
	}
	t := &Tree{Module: modulePath(mod), fset: token.NewFileSet()}
	top, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, fmt.Errorf("reading the top level: %w", err)
	}
	for _, entry := range top {
		t.Top = append(t.Top, entry.Name())
	}
	l := loader{tree: t, fsys: fsys, packages: make(map[string]*Package)}
	if err := fs.WalkDir(fsys, ".", l.visit); err != nil {
		return nil, fmt.Errorf("walking the repository: %w", err)
	}
	for _, dir := range slices.Sorted(maps.Keys(l.packages)) {
		p := l.packages[dir]
		p.Nested = slices.ContainsFunc(l.nested, func(module string) bool { return match(module+"/...", dir) })
		t.Packages = append(t.Packages, p)
	}
	return t, nil
}

func modulePath(mod []byte) string {
	for line := range strings.Lines(string(mod)) {
		if name, ok := strings.CutPrefix(line, "module "); ok {
			return strings.TrimSpace(name)
		}
	}
	return ""
}

type loader struct {
	tree     *Tree
	fsys     fs.FS
	packages map[string]*Package
	nested   []string // folders that hold a go.mod of their own
}

func (l *loader) visit(name string, entry fs.DirEntry, err error) error {
	switch {
	case err != nil:
		return err
	case entry.IsDir() && passedOver(name):
		return fs.SkipDir
	case !entry.Type().IsRegular():
		return nil
	}
	content, err := fs.ReadFile(l.fsys, name)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	if path.Base(name) == "go.mod" && dir != "." {
		l.nested = append(l.nested, dir)
	}
	if bytes.IndexByte(content, 0) < 0 && utf8.Valid(content) {
		l.tree.Texts = append(l.tree.Texts, Text{name, content})
	}
	if path.Ext(name) == ".go" && !slices.Contains(strings.Split(dir, "/"), "testdata") {
		l.addFile(dir, name, content)
	}
	return nil
}

func passedOver(dir string) bool {
	base := path.Base(dir)
	hidden := strings.HasPrefix(base, ".") && dir != "." && dir != ".ci"
	return hidden || base == "node_modules" || base == "vendor"
}

func (l *loader) addFile(dir, name string, content []byte) {
	syntax, err := parser.ParseFile(l.tree.fset, name, content, parser.ParseComments|parser.SkipObjectResolution)
	f := &File{Path: name, Test: strings.HasSuffix(name, "_test.go"), Source: content, Syntax: syntax, Err: err}
	if syntax == nil || syntax.Name == nil {
		f.Syntax = &ast.File{Name: ast.NewIdent("")}
	}
	p := l.packages[dir]
	if p == nil {
		p = &Package{Path: dir}
		l.packages[dir] = p
	}
	if p.Name == "" || !f.Test {
		p.Name = strings.TrimSuffix(f.Syntax.Name.Name, "_test")
	}
	p.Files = append(p.Files, f)
}

// files gives every Go file of the root module with its package.
func (t *Tree) files() iter.Seq2[*Package, *File] {
	return func(yield func(*Package, *File) bool) {
		for _, p := range t.Packages {
			for _, f := range p.Files {
				if !p.Nested && !yield(p, f) {
					return
				}
			}
		}
	}
}

// nodes gives every syntax node of the root module's Go files.
func (t *Tree) nodes() iter.Seq2[*File, ast.Node] {
	return func(yield func(*File, ast.Node) bool) {
		for _, f := range t.files() {
			for n := range ast.Preorder(f.Syntax) {
				if !yield(f, n) {
					return
				}
			}
		}
	}
}

// lines is how many lines the file has.
func (f *File) lines() int { return bytes.Count(f.Source, []byte("\n")) }

// imports gives every import path of the file and the spec that names it.
func (f *File) imports() iter.Seq2[string, *ast.ImportSpec] {
	return func(yield func(string, *ast.ImportSpec) bool) {
		for _, spec := range f.Syntax.Imports {
			if name, err := strconv.Unquote(spec.Path.Value); err == nil && !yield(name, spec) {
				return
			}
		}
	}
}

// local is how the file calls an import path, "" = not at all.
func (f *File) local(importPath string) string {
	for name, spec := range f.imports() {
		switch {
		case name != importPath:
		case spec.Name != nil:
			return spec.Name.Name
		default:
			return path.Base(name)
		}
	}
	return ""
}

// uses gives every X of an expression pkg.X within n, where pkg is how the file calls the import path.
func (f *File) uses(importPath string, n ast.Node) iter.Seq[*ast.Ident] {
	return func(yield func(*ast.Ident) bool) {
		local := f.local(importPath)
		if local == "" {
			return
		}
		for n := range ast.Preorder(n) {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				continue
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == local && !yield(sel.Sel) {
				return
			}
		}
	}
}

func (t *Tree) line(n ast.Node) int { return t.fset.Position(n.Pos()).Line }

// span is how many lines n covers.
func (t *Tree) span(n ast.Node) int { return t.fset.Position(n.End()).Line - t.line(n) + 1 }

// at is a violation at a node of f.
func (t *Tree) at(f *File, n ast.Node, format string, args ...any) Violation {
	return Violation{File: f.Path, Line: t.line(n), What: fmt.Sprintf(format, args...)}
}

// folder turns the import path of one of our packages into its folder, "storage/event".
func (t *Tree) folder(importPath string) (string, bool) {
	return strings.CutPrefix(importPath, t.Module+"/")
}

// match reports whether a path lies in a pattern of whole names:
// "a/b" is that folder alone, and "a/b/..." is the folder with all below it, but never a/bc.
func match(pattern, name string) bool {
	base, below := strings.CutSuffix(pattern, "/...")
	return name == base || below && strings.HasPrefix(name, base+"/")
}

func matchAny(patterns []string, name string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool { return match(p, name) })
}
