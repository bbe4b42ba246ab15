package config

import (
	"bytes"
	"encoding"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxFile bounds the configuration file, in bytes.
const maxFile = 1 << 20

// Problem is one thing that is wrong with a configuration file.
type Problem struct {
	Line    int    // from 1; 0 = the file as a whole
	Key     string // path of the key, such as zones[1].camera
	Message string // what is wrong, and the remedy
}

// Problems is everything that is wrong with one file, in the order of its lines.
type Problems struct {
	File string
	List []Problem
}

// Error lists all problems, one a line.
func (p *Problems) Error() string {
	lines := make([]string, 0, len(p.List))
	for _, x := range p.List {
		where := p.File
		if x.Line > 0 {
			where = fmt.Sprintf("%s:%d", p.File, x.Line)
		}
		if x.Key != "" {
			where += ": " + x.Key
		}
		lines = append(lines, where+": "+x.Message)
	}
	return strings.Join(lines, "\n")
}

// Load reads and validates the file at path, and reads the files that it names. The error is a *Problems where the
// file could be read at all.
func Load(path string) (*Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	c, s, err := parse(path, b)
	if err != nil {
		return nil, err
	}
	if c.readFiles(s); len(s.problems) > 0 {
		return nil, &Problems{path, s.problems}
	}
	return c, nil
}

// Parse validates the text of a configuration file; path names it in problems and anchors relative paths.
func Parse(path string, text []byte) (*Config, error) {
	c, _, err := parse(path, text)
	return c, err
}

func parse(path string, text []byte) (*Config, *sheet, error) {
	if len(text) > maxFile {
		return nil, nil, &Problems{path, []Problem{{0, "", fmt.Sprintf("%d bytes, at most %d", len(text), maxFile)}}}
	}
	file, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil, nil, &Problems{path, []Problem{syntaxProblem(err)}}
	}
	c := defaults()
	s := &sheet{lines: map[string]int{}}
	if len(file.Docs) != 1 || file.Docs[0].Body == nil {
		return nil, nil, &Problems{path, []Problem{{0, "", "empty, or more than one document: start from watchpostd -reference"}}}
	}
	s.walk(file.Docs[0].Body, reflect.TypeFor[Config](), "")
	if len(s.problems) == 0 {
		if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(c); err != nil {
			s.problems = append(s.problems, syntaxProblem(err))
		}
	}
	if len(s.problems) == 0 {
		c.fill(s)
		c.validate(s)
		c.anchor(filepath.Dir(path))
		c.validateSockets(s)
	}
	if len(s.problems) > 0 {
		s.sort()
		return nil, nil, &Problems{path, s.problems}
	}
	return c, s, nil
}

func syntaxProblem(err error) Problem {
	if ye, ok := errors.AsType[yaml.Error](err); ok && ye.GetToken() != nil {
		return Problem{Line: ye.GetToken().Position.Line, Message: ye.GetMessage()}
	}
	return Problem{Message: err.Error()}
}

// sheet is what is known about the text: where each key stands, and what is wrong.
type sheet struct {
	lines    map[string]int
	problems []Problem
}

func (s *sheet) add(key, format string, args ...any) {
	line, k := 0, key
	for line == 0 && k != "" { // a key that is not there is reported at the nearest one above it
		line = s.lines[k]
		k = k[:max(0, strings.LastIndexAny(k, ".["))]
	}
	s.problems = append(s.problems, Problem{line, key, fmt.Sprintf(format, args...)})
}

// walk compares the keys of the text with the fields of t, and notes the line of each.
func (s *sheet) walk(n ast.Node, t reflect.Type, key string) {
	if tok := n.GetToken(); key != "" && s.lines[key] == 0 && tok != nil {
		s.lines[key] = tok.Position.Line
	}
	seq, isList := n.(*ast.SequenceNode)
	switch {
	case n.Type() == ast.NullType:
	case t.Kind() == reflect.Struct && !reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		s.walkMapping(n, t, key)
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 && isList:
		for i, v := range seq.Values {
			s.walk(v, t.Elem(), fmt.Sprintf("%s[%d]", key, i))
		}
	case t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8:
		s.add(key, "want a list: put - before each entry, or write [a, b]")
	default: // one value: read it here, where its line is known
		err := yaml.NodeToValue(n, reflect.New(t).Interface())
		if _, isFloat := n.(*ast.FloatNode); err == nil && isFloat && wholeNumber(t) {
			err = errors.New("the parser would drop its fraction")
		}
		switch words := wanted(t); {
		case err == nil:
		case words == "":
			s.add(key, "%s", syntaxProblem(err).Message)
		case t.Kind() == reflect.String: // which may be a password
			s.add(key, "want %s", words)
		default:
			s.add(key, "%.32q: want %s", n.String(), words)
		}
	}
}

// wanted is what a value of a type looks like, "" for types that say so themselves.
func wanted(t reflect.Type) string {
	switch {
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return ""
	case t == reflect.TypeFor[time.Duration]():
		return "a duration such as 250ms, 90s or 10m"
	case wholeNumber(t):
		return "a whole number"
	}
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.Float64:
		return "a number"
	case reflect.String:
		return "one text"
	case reflect.Map:
		return "a value for each name, such as {temperature: 40}"
	}
	return ""
}

func wholeNumber(t reflect.Type) bool {
	return t.Kind() >= reflect.Int && t.Kind() <= reflect.Uint64 && t != reflect.TypeFor[time.Duration]()
}

func (s *sheet) walkMapping(n ast.Node, t reflect.Type, key string) {
	var values []*ast.MappingValueNode
	switch m := n.(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		s.add(key, "want keys and values here, such as %s: …", fieldNames(t)[0])
		return
	}
	for _, v := range values {
		name := v.Key.String()
		child := strings.TrimPrefix(key+"."+name, ".")
		s.lines[child] = v.Key.GetToken().Position.Line
		field, ok := fieldByKey(t, name)
		if !ok {
			s.add(child, "unknown key%s", nearest(name, fieldNames(t)))
			continue
		}
		s.walk(v.Value, field.Type, child)
	}
}

// notWritten is the tag of fields that no file may set.
const notWritten = "-"

func fieldByKey(t reflect.Type, key string) (reflect.StructField, bool) {
	for f := range t.Fields() {
		if key != notWritten && f.Tag.Get("yaml") == key {
			return f, true
		}
	}
	return reflect.StructField{}, false
}

func fieldNames(t reflect.Type) []string {
	var names []string
	for f := range t.Fields() {
		if name := f.Tag.Get("yaml"); name != notWritten {
			names = append(names, name)
		}
	}
	return names
}

// nearest is the hint that a mistyped word deserves: the nearest word, or all of them.
func nearest(word string, words []string) string {
	best, bestDistance := "", len(word)/2+2
	for _, w := range words {
		if d := distance(word, w); d < bestDistance {
			best, bestDistance = w, d
		}
	}
	if best != "" {
		return fmt.Sprintf("; did you mean %s?", best)
	}
	return "; known here: " + strings.Join(words, ", ")
}

// distance is the Levenshtein distance of two words.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
