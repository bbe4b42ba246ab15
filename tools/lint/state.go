package lint

import (
	"go/ast"
	"go/token"
	"strings"
)

func checkInit(t *Tree) []Violation {
	var found []Violation
	for _, f := range t.files() {
		for _, decl := range f.Syntax.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
				found = append(found, t.at(f, d, "func init"))
			}
		}
	}
	return found
}

// checkVariables allows what cannot change in effect: error sentinels, go:embed, guards named _,
// and the version of a command, which only the linker can set.
func checkVariables(t *Tree) []Violation {
	var found []Violation
	for p, f := range t.files() {
		for _, decl := range f.Syntax.Decls {
			d, ok := decl.(*ast.GenDecl)
			if !ok || d.Tok != token.VAR || f.Test {
				continue
			}
			for _, spec := range d.Specs {
				s := spec.(*ast.ValueSpec)
				for i, name := range s.Names {
					stamp := p.Name == "main" && name.Name == "version"
					if name.Name != "_" && !stamp && !embedded(d, s) && !sentinel(s, i) {
						found = append(found, t.at(f, name, "package variable %s", name.Name))
					}
				}
			}
		}
	}
	return found
}

func embedded(d *ast.GenDecl, s *ast.ValueSpec) bool {
	for _, group := range []*ast.CommentGroup{d.Doc, s.Doc} {
		if group == nil {
			continue
		}
		for _, c := range group.List {
			if strings.HasPrefix(c.Text, "//go:embed ") {
				return true
			}
		}
	}
	return false
}

func sentinel(s *ast.ValueSpec, i int) bool {
	if i >= len(s.Values) {
		return false
	}
	call, ok := s.Values[i].(*ast.CallExpr)
	if !ok {
		return false
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && (pkg.Name == "errors" && sel.Sel.Name == "New" || pkg.Name == "fmt" && sel.Sel.Name == "Errorf")
}
