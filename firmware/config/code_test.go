package config

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
	"pgregory.net/rapid"
)

// RFC 9106 has no vector without secret and data; this is the RFC's algorithm by its second implementation, the reference
// program: echo -n password | argon2 somesalt -id -t 2 -m 16 -p 1 -l 32 (its README's example with one lane).
const referenceProgram = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"

func TestACodeIsTheReferenceProgramsHash(t *testing.T) {
	var c Code
	if err := c.UnmarshalText([]byte(referenceProgram)); err != nil {
		t.Fatal(err)
	}
	if !c.Matches("password") || c.Matches("Password") || c.Matches("") {
		t.Error("the hash of the reference program is not that of its password alone")
	}
}

func TestNoCodeMatchesNothing(t *testing.T) {
	if (Code{}).Matches("") || !(Code{}).IsZero() {
		t.Error("the zero code is somebody's")
	}
}

// Any code is known by its own hash, and no other code is.
func TestCodesMatchTheirOwnHash(t *testing.T) {
	code := rapid.StringMatching(`[0-9]{4,8}`)
	rapid.Check(t, func(rt *rapid.T) {
		a, b := code.Draw(rt, "a"), code.Draw(rt, "b")
		salt := rapid.SliceOfN(rapid.Byte(), 8, 16).Draw(rt, "salt")
		enc := base64.RawStdEncoding.EncodeToString
		text := fmt.Sprintf("$argon2id$v=19$m=8,t=1,p=1$%s$%s", enc(salt), enc(argon2.IDKey([]byte(a), salt, 1, 8, 1, 32)))
		var c Code
		if err := c.UnmarshalText([]byte(text)); err != nil || c.String() != text || c.IsZero() {
			rt.Fatalf("%s: %v", text, err)
		}
		if !c.Matches(a) || c.Matches(b) != (a == b) {
			rt.Errorf("hash of %s: matches %s: %v", a, b, c.Matches(b))
		}
	})
}

func TestHashesThatAreNone(t *testing.T) {
	good := referenceProgram
	for _, text := range []string{
		"", "1234", "$argon2id$", strings.Replace(good, "argon2id", "argon2i", 1), strings.Replace(good, "v=19", "v=16", 1),
		strings.Replace(good, "p=1", "p=4", 1), strings.Replace(good, "m=65536", "m=65537", 1), strings.Replace(good, "m=65536", "m=7", 1),
		strings.Replace(good, "m=65536", "m=065536", 1), strings.Replace(good, "t=2", "t=0", 1), strings.Replace(good, "t=2", "t=17", 1),
		strings.Replace(good, "t=2", "t=-2", 1), strings.Replace(good, "c29tZXNhbHQ", "c29t", 1), good + "=", good + "$", good + "AAAA", good[:len(good)-8],
		good + strings.Repeat("A", maxCodeText),
	} {
		c := Code{text: "kept"}
		if err := c.UnmarshalText([]byte(text)); err == nil || c.text != "kept" {
			t.Errorf("%s was taken", text)
		}
	}
}

// A try at the keypad costs all codes of the file. A box is not put out of work by it, and nobody waits a minute to disarm.
func TestCodesThatCostTooMuch(t *testing.T) {
	for name, test := range map[string]struct {
		users int
		cost  string
		fine  bool
	}{
		"a town":                {32, "m=8192,t=2", true},
		"one more":              {33, "m=8192,t=2", false},
		"few that cost as much": {2, "m=65536,t=8", false},
		"one that costs a lot":  {1, "m=65536,t=8", true},
	} {
		text := "station: {id: cs-one, jurisdiction: changshan}\npartitions: [{id: house}]\nusers:\n"
		for i := range test.users {
			hash := func(n int) string { return fmt.Sprintf("$argon2id$v=19$%s,p=1$c2FsdHNhbHQ$%043d", test.cost, n*10) }
			text += fmt.Sprintf("  - {id: u%d, code: \"%s\", duress: \"%s\"}\n", i, hash(2*i), hash(2*i+1))
		}
		_, err := Parse("s.yaml", []byte(text))
		if test.fine != (err == nil) || err != nil && !strings.Contains(err.Error(), "users: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
