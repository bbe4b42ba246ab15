package lint

import (
	"fmt"
	"go/ast"
)

// The limits of style; beyond them a reader loses the thread.
const (
	maxFileLines        = 600
	maxFunctionLines    = 100
	maxMainLines        = 100
	maxInterfaceMethods = 5
)

func checkFileSize(t *Tree) []Violation {
	var found []Violation
	for _, f := range t.files() {
		if n := f.lines(); n > maxFileLines {
			found = append(found, Violation{File: f.Path, What: fmt.Sprintf("%d lines", n)})
		}
	}
	return found
}

func checkFunctionSize(t *Tree) []Violation {
	var found []Violation
	for _, f := range t.files() {
		for _, decl := range f.Syntax.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && t.span(d) > maxFunctionLines {
				found = append(found, t.at(f, d, "func %s has %d lines", d.Name.Name, t.span(d)))
			}
		}
	}
	return found
}

func checkMainSize(t *Tree) []Violation {
	var found []Violation
	for p, f := range t.files() {
		for _, decl := range f.Syntax.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if ok && p.Name == "main" && d.Recv == nil && d.Name.Name == "main" && f.lines() > maxMainLines {
				found = append(found, t.at(f, d, "the file with func main has %d lines", f.lines()))
			}
		}
	}
	return found
}

func checkInterfaceSize(t *Tree) []Violation {
	var found []Violation
	for p, f := range t.files() {
		local := p.interfaces()
		for n := range ast.Preorder(f.Syntax) {
			if i, ok := n.(*ast.InterfaceType); ok && methods(local, i) > maxInterfaceMethods {
				found = append(found, t.at(f, i, "an interface of %d methods", methods(local, i)))
			}
		}
	}
	return found
}

// interfaces are the interfaces that the package names.
func (p *Package) interfaces() map[string]*ast.InterfaceType {
	named := make(map[string]*ast.InterfaceType)
	for _, f := range p.Files {
		for n := range ast.Preorder(f.Syntax) {
			if s, ok := n.(*ast.TypeSpec); ok {
				if i, ok := s.Type.(*ast.InterfaceType); ok {
					named[s.Name.Name] = i
				}
			}
		}
	}
	return named
}

// methods counts an interface with the local ones that it embeds; an embedded one of another package counts as one.
// An interface that only joins named others has as many as it joins: each part can be asked for, and faked, alone.
func methods(local map[string]*ast.InterfaceType, i *ast.InterfaceType) int {
	own, joined, embedded := 0, 0, 0
	for _, field := range i.Methods.List {
		switch e := field.Type.(type) {
		case *ast.FuncType:
			own += len(field.Names)
		case *ast.Ident:
			if inner := local[e.Name]; inner != nil && inner != i {
				joined++
				embedded += methods(local, inner)
			}
		case *ast.SelectorExpr:
			joined++
			embedded++
		}
	}
	if own == 0 {
		return joined
	}
	return own + embedded
}
