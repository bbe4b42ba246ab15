package lint

import (
	"go/ast"
	"strings"
)

func checkPackageDocs(t *Tree) []Violation {
	var found []Violation
	for _, p := range t.Packages {
		if p.Nested {
			continue
		}
		documented := false
		for _, f := range p.Files {
			doc := f.Syntax.Doc.Text()
			documented = documented || doc != ""
			if strings.HasPrefix(doc, "Package ") {
				found = append(found, t.at(f, f.Syntax.Doc, "the comment of %s begins with %q", p.Path, firstWords(doc)))
			}
		}
		if !documented {
			found = append(found, Violation{File: p.Path, What: "no comment above any package clause"})
		}
	}
	return found
}

func firstWords(doc string) string {
	words := strings.Fields(doc)
	return strings.Join(words[:min(3, len(words))], " ")
}

// checkExportedDocs passes over main packages: nobody can import their names.
func checkExportedDocs(t *Tree) []Violation {
	var found []Violation
	for _, f := range t.files() {
		for _, e := range f.exported() {
			if !e.documented {
				found = append(found, t.at(f, e.node, "%s has no comment", e.name))
			}
		}
	}
	return found
}

// export is one exported name of a file that others can import.
type export struct {
	name       string
	node       ast.Node
	documented bool
}

func (f *File) exported() []export {
	var found []export
	if f.Test || f.Syntax.Name.Name == "main" {
		return nil
	}
	for _, decl := range f.Syntax.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if name, ok := exportedFunc(d); ok {
				found = append(found, export{name, d, d.Doc.Text() != ""})
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				found = append(found, exportedSpec(d, spec)...)
			}
		}
	}
	return found
}

// exportedFunc names a function, or a method of an exported type, that others can call.
func exportedFunc(d *ast.FuncDecl) (name string, ok bool) {
	if !d.Name.IsExported() {
		return "", false
	}
	if d.Recv == nil {
		return d.Name.Name, true
	}
	receiver := receiverType(d.Recv.List[0].Type)
	return receiver + "." + d.Name.Name, ast.IsExported(receiver)
}

func receiverType(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.StarExpr:
		return receiverType(e.X)
	case *ast.IndexExpr:
		return receiverType(e.X)
	case *ast.IndexListExpr:
		return receiverType(e.X)
	}
	return ""
}

// exportedSpec lets a group of constants or variables share one comment; each type needs its own.
func exportedSpec(d *ast.GenDecl, spec ast.Spec) []export {
	var found []export
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() {
			own := s.Doc.Text() != "" || s.Comment.Text() != ""
			found = append(found, export{s.Name.Name, s, own || !d.Lparen.IsValid() && d.Doc.Text() != ""})
		}
	case *ast.ValueSpec:
		documented := d.Doc.Text() != "" || s.Doc.Text() != "" || s.Comment.Text() != ""
		for _, name := range s.Names {
			if name.IsExported() {
				found = append(found, export{d.Tok.String() + " " + name.Name, name, documented})
			}
		}
	}
	return found
}
