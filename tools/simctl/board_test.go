package main

import (
	"strings"
	"testing"

	"watchpost/sim/board/box"
)

// The box that the help shows is one that can be built.
func TestHelpShowsABox(t *testing.T) {
	_, text, found := strings.Cut(boardCommand{}.Help(), "as --box reads it:\n\n")
	if !found {
		t.Fatal("no box in the help")
	}
	text = strings.ReplaceAll("\n"+text, "\n  ", "\n")
	p, err := box.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := box.Build(p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(b.I2C) != 1 || len(b.OneWire) != 1 || len(b.Loops) != 1 || len(b.Slaves) != 2 || b.Chip("clock") == nil {
		t.Errorf("%+v", b)
	}
}

// Each word that the help explains is known, and each that is known is explained.
func TestHelpKnowsTheWords(t *testing.T) {
	b, err := box.Build(box.Plan{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, known, _ := strings.Cut(b.Do(t.Context(), nil, []string{"?"}).Error(), "use ")
	explained := map[string]bool{}
	words, _, _ := strings.Cut(boardCommand{}.Help(), "For example:")
	for line := range strings.Lines(words) {
		if f := strings.Fields(line); strings.HasPrefix(line, "  ") && len(f) > 0 {
			explained[f[0]] = true
		}
	}
	for word := range strings.SplitSeq(known, ", ") {
		if !explained[word] {
			t.Errorf("the help does not explain %s", word)
		}
		delete(explained, word)
	}
	if len(explained) > 0 {
		t.Errorf("the help explains %v, which is unknown", explained)
	}
}

func TestPlanOfFlags(t *testing.T) {
	c := boardCommand{Lines: []string{"in"}, Outputs: []string{"out"}, Wire: map[string]string{"out": "in"}}
	p, err := c.plan()
	if err != nil || len(p.Lines) != 1 || len(p.Outputs) != 1 || p.Wires["out"] != "in" {
		t.Errorf("%+v, %v", p, err)
	}
}
