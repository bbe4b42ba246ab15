// A rule that nobody checks is a wish: what this repository promises about itself (who may import whom,
// what is documented, how long a function may be) is checked here over the parsed sources, as ordinary tests.
//
// A [Rule] is a value with a name, a reason, a remedy and a check; [Rules] is the table of all of them.
// testdata holds one archive per rule: a planted violation that must be found, and a clean twin that must pass.
package lint

import (
	"cmp"
	"fmt"
	"slices"
)

// Rule is one promise of the repository about itself.
type Rule struct {
	Name   string // as shown in the report; testdata/<Name>.txtar proves the rule
	Reason string // why the rule exists; a violation may carry a closer one
	Remedy string // what to do about a violation
	check  func(*Tree) []Violation
}

// Violation is one place that breaks a rule.
type Violation struct {
	File string // slash-separated, from the root of the repository
	Line int    // from 1; 0 stands for the file or folder as a whole
	What string // what is wrong there
	Why  string // a closer reason than the rule's, or ""
}

// String gives the place in the form that editors jump to, and what is wrong there.
func (v Violation) String() string {
	if v.Line == 0 {
		return v.File + ": " + v.What
	}
	return fmt.Sprintf("%s:%d: %s", v.File, v.Line, v.What)
}

// Check returns the violations of the rule in tree, ordered by file and line.
func (r Rule) Check(tree *Tree) []Violation {
	found := r.check(tree)
	slices.SortStableFunc(found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	return found
}

// Explain is what the report prints for one violation: place, rule, reason and remedy.
func (r Rule) Explain(v Violation) string {
	return fmt.Sprintf("%s\n\trule   %s\n\twhy    %s\n\tremedy %s", v, r.Name, cmp.Or(v.Why, r.Reason), r.Remedy)
}

// Rules returns every rule of the repository in the order of the report.
func Rules() []Rule {
	return slices.Concat(houseRules(), textRules(), codeRules(), testRules())
}

// houseRules are about rooms, and who may lean on whom.
func houseRules() []Rule {
	return []Rule{
		{"imports", "the rooms stay apart only while somebody checks", "move the code, pass the value in, or change importTable together with the decision in README.md", checkImports},
		{"commands", "what two commands share belongs to a room; a command is a leaf that can be deleted", "move the shared part into the room that owns the word", checkCommands},
		{"modules", "a dependency is paid for once, in the room that needs it", "use the room that wraps the module, or change modules.go together with the decision in README.md", checkModules},
		{"pure", "a decision that reads a clock, a file or a socket cannot be tested by a table, nor replayed", "take the value as a parameter and return the effect; the caller at the rim acts", checkPure},
		{"top-level", "a newcomer reads the top level first: it is fixed", "put the file into the room that owns it; builds go to .build/", checkTopLevel},
		{"package-name", "a name that says nothing collects everything", "name the package after what it holds", checkPackageNames},
	}
}

// textRules are about what a reader sees.
func textRules() []Rule {
	return []Rule{
		{"package-doc", "the first thing a reader asks of a package is which fact of the world it holds", "begin the comment above the package clause with a sentence about a station, a panel, a clip: not with \"Package x\"", checkPackageDocs},
		{"exported-doc", "an exported name is a promise; its comment says shape, unit, range, errors and source", "write the comment, or unexport the name", checkExportedDocs},
		{"gofmt", "formatting is not a matter of taste here", "gofmt -w FILE", checkFormat},
		{"machine-path", "a path of one machine works on one machine", "use a relative path, a flag or a temporary directory", checkMachinePaths},
		{"unfinished", "a note to oneself is an issue that nobody can find", "finish it, or open an issue and delete the note", checkUnfinished},
	}
}

// codeRules are about the shape of the code.
func codeRules() []Rule {
	return []Rule{
		{"init", "what runs before main cannot be ordered, tested or done twice in one process", "make it a function and call it from the wiring", checkInit},
		{"variables", "two stations must run in one process, so no package may remember anything", "make it a constant, a function that returns the value, or a field", checkVariables},
		{"file-size", "a long file holds more than one idea", fmt.Sprintf("split by idea; at most %d lines", maxFileLines), checkFileSize},
		{"function-size", "a function that cannot be seen at once is not read", fmt.Sprintf("name the steps; at most %d lines, most at most 40", maxFunctionLines), checkFunctionSize},
		{"main-size", "main is a page: flags, options, Run(ctx), exit code", fmt.Sprintf("move the work to a package that tests can call; the file with func main has at most %d lines", maxMainLines), checkMainSize},
		{"interface-size", "a wide interface has one implementation and no fake", fmt.Sprintf("let the consumer declare the methods that it calls, at most %d; grow by optional interfaces", maxInterfaceMethods), checkInterfaceSize},
		{"go-statement", "a goroutine without an owner outlives its station, and its error is lost", "errgroup.Group.Go or sync.WaitGroup.Go, joined before the function returns", checkGoStatements},
		{"context", "a stored context hides which call it ends; a late one is forgotten", "take ctx as the first parameter of whatever waits (testing values may precede it)", checkContexts},
		{"dot-import", "a name without its package hides where it comes from, and from the other rules", "import the package under its own name", checkDotImports},
		{"logging", "two stations in one process must not share one log", "take a *slog.Logger from the caller", checkLogging},
	}
}

// testRules are about tests that mean something.
func testRules() []Rule {
	return []Rule{
		{"sleep", "in a test a sleep guesses how fast the machine is; elsewhere nobody can cancel it", "wait for the condition: a channel, testing/synctest with a timer, or a ticker with a deadline; select on ctx.Done()", checkSleeps},
		{"skip", "a test that vanishes without a word is believed to pass", "t.Skip(\"why, in one line\")", checkSkips},
		{"corpus", "a fuzz target without seeds spends its minutes on refused bytes", "f.Add real messages, or commit testdata/fuzz/<FuzzName>/", checkCorpora},
	}
}
