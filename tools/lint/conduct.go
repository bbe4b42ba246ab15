package lint

import (
	"go/ast"
	"go/token"
	"path"
	"strings"
)

func checkGoStatements(t *Tree) []Violation {
	var found []Violation
	for f, n := range t.nodes() {
		if _, ok := n.(*ast.GoStmt); ok {
			found = append(found, t.at(f, n, "a bare go statement"))
		}
	}
	return found
}

func checkContexts(t *Tree) []Violation {
	var found []Violation
	for f, n := range t.nodes() {
		pkg := f.local("context")
		switch n := n.(type) {
		case *ast.StructType:
			for _, field := range n.Fields.List {
				if isSelector(field.Type, pkg, "Context") {
					found = append(found, t.at(f, field, "a context in a struct"))
				}
			}
		case *ast.FuncType:
			late := false
			for _, param := range n.Params.List {
				if late && isSelector(param.Type, pkg, "Context") {
					found = append(found, t.at(f, param, "a context that is not the first parameter"))
				}
				late = late || !isTesting(param.Type)
			}
		}
	}
	return found
}

func isSelector(e ast.Expr, pkg, name string) bool {
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && sel.Sel.Name == name
}

// isTesting recognises *testing.T, testing.TB and *rapid.T, which by custom stand first.
func isTesting(e ast.Expr) bool {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := sel.X.(*ast.Ident)
	return ok && (x.Name == "testing" || x.Name == "rapid")
}

func checkLogging(t *Tree) []Violation {
	global := map[string]bool{"Default": true, "SetDefault": true, "Debug": true, "Info": true, "Warn": true, "Error": true, "Log": true,
		"DebugContext": true, "InfoContext": true, "WarnContext": true, "ErrorContext": true}
	var found []Violation
	for _, f := range t.files() {
		if f.Test {
			continue
		}
		for name, spec := range f.imports() {
			if name == "log" {
				found = append(found, t.at(f, spec, "the log package has one logger for the whole process"))
			}
		}
		for name := range f.uses("log/slog", f.Syntax) {
			if global[name.Name] {
				found = append(found, t.at(f, name, "slog.%s uses the logger of the whole process", name.Name))
			}
		}
	}
	return found
}

func checkSleeps(t *Tree) []Violation {
	var found []Violation
	for _, f := range t.files() {
		for name := range f.uses("time", f.Syntax) {
			if name.Name == "Sleep" {
				found = append(found, t.at(f, name, "time.Sleep"))
			}
		}
		if f.local("testing/synctest") != "" {
			continue // there time is not waited for
		}
		cases := make(map[ast.Stmt]bool) // of selects: those wait for something else as well
		for n := range ast.Preorder(f.Syntax) {
			switch n := n.(type) {
			case *ast.CommClause:
				cases[n.Comm] = true
			case *ast.ExprStmt:
				if !cases[n] && isBareWait(n.X, f.local("time")) {
					found = append(found, t.at(f, n, "a sleep by time.After"))
				}
			}
		}
	}
	return found
}

// isBareWait recognises <-time.After(d) outside of a select.
func isBareWait(e ast.Expr, pkg string) bool {
	receive, ok := e.(*ast.UnaryExpr)
	if !ok || receive.Op != token.ARROW {
		return false
	}
	call, ok := receive.X.(*ast.CallExpr)
	return ok && (isSelector(call.Fun, pkg, "After") || isSelector(call.Fun, pkg, "Tick"))
}

// checkDotImports keeps names with their packages, by which every other rule knows them.
func checkDotImports(t *Tree) []Violation {
	var found []Violation
	for _, f := range t.files() {
		for name, spec := range f.imports() {
			if spec.Name != nil && spec.Name.Name == "." {
				found = append(found, t.at(f, spec, "a dot import of %s", name))
			}
		}
	}
	return found
}

func checkSkips(t *Tree) []Violation {
	var found []Violation
	for _, f := range t.files() {
		names := make(map[string]bool) // of the parameters that tests are told by
		draws := make(map[ast.Node]bool)
		for n := range ast.Preorder(f.Syntax) {
			switch n := n.(type) {
			case *ast.Field:
				for _, name := range n.Names {
					names[name.Name] = names[name.Name] || isTesting(n.Type)
				}
			case *ast.FuncLit:
				if takesRapid(n.Type) { // there a skip draws another case and skips no test
					for inner := range ast.Preorder(n.Body) {
						draws[inner] = true
					}
				}
			case *ast.CallExpr:
				if verb, ok := wordless(n, names); ok && !draws[n] {
					found = append(found, t.at(f, n, "%s without a reason", verb))
				}
			}
		}
	}
	return found
}

// wordless reports whether a call is t.Skip() or t.SkipNow(), for a t of the given names.
func wordless(call *ast.CallExpr, names map[string]bool) (verb string, ok bool) {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) > 0 {
		return "", false
	}
	x, ok := sel.X.(*ast.Ident)
	verb = sel.Sel.Name
	return verb, ok && names[x.Name] && (verb == "Skip" || verb == "SkipNow")
}

func takesRapid(f *ast.FuncType) bool {
	for _, param := range f.Params.List {
		if star, ok := param.Type.(*ast.StarExpr); ok && isSelector(star.X, "rapid", "T") {
			return true
		}
	}
	return false
}

func checkCorpora(t *Tree) []Violation {
	var found []Violation
	for p, f := range t.files() {
		for _, d := range f.fuzzTargets() {
			if !seeded(d) && !t.hasBelow(path.Join(p.Path, "testdata/fuzz", d.Name.Name)) {
				found = append(found, t.at(f, d, "%s has no seed", d.Name.Name))
			}
		}
	}
	return found
}

func (f *File) fuzzTargets() []*ast.FuncDecl {
	var targets []*ast.FuncDecl
	for _, decl := range f.Syntax.Decls {
		if d, ok := decl.(*ast.FuncDecl); ok && f.Test && d.Recv == nil && strings.HasPrefix(d.Name.Name, "Fuzz") && len(d.Type.Params.List) == 1 {
			targets = append(targets, d)
		}
	}
	return targets
}

// seeded reports whether a fuzz target adds seeds, or hands its *testing.F to a function that can.
func seeded(d *ast.FuncDecl) bool {
	names := d.Type.Params.List[0].Names
	if len(names) == 0 || d.Body == nil {
		return false
	}
	f := names[0].Name
	for n := range ast.Preorder(d.Body) {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			continue
		}
		if isSelector(call.Fun, f, "Add") {
			return true
		}
		for _, arg := range call.Args {
			if x, ok := arg.(*ast.Ident); ok && x.Name == f {
				return true
			}
		}
	}
	return false
}

func (t *Tree) hasBelow(dir string) bool {
	for _, text := range t.Texts {
		if strings.HasPrefix(text.Path, dir+"/") {
			return true
		}
	}
	return false
}
