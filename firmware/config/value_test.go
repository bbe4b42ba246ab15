package config

import (
	"encoding/base64"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]Size{"0KiB": 0, "512KiB": 512 << 10, "64MiB": 64 << 20, "2 GiB": 2 << 30, "2147483647GiB": 2147483647 << 30} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "64", "64MB", "64M", "-1MiB", "1.5GiB", "MiB", "0x10KiB", "2147483648GiB", "9999999999999999999KiB"} {
		s := Size(7)
		if err := s.UnmarshalText([]byte(text)); err == nil || s != 7 {
			t.Errorf("%q was taken as %d", text, s)
		}
	}
}

func TestCommandKeys(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		raw := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(rt, "key")
		var k Key
		err := k.UnmarshalText([]byte(base64.StdEncoding.EncodeToString(raw)))
		if good := len(raw) == 32; (err == nil) != good || good && string(k) != string(raw) {
			rt.Errorf("%d bytes: %v", len(raw), err)
		}
	})
}

// The distance of words is one: nothing only to itself, the same both ways, and no way round is shorter.
func TestDistance(t *testing.T) {
	word := rapid.StringMatching(`[a-d]{0,6}`)
	rapid.Check(t, func(rt *rapid.T) {
		a, b, c := word.Draw(rt, "a"), word.Draw(rt, "b"), word.Draw(rt, "c")
		switch {
		case (distance(a, b) == 0) != (a == b):
			rt.Errorf("%q to %q: %d", a, b, distance(a, b))
		case distance(a, b) != distance(b, a):
			rt.Errorf("%q to %q: %d and %d", a, b, distance(a, b), distance(b, a))
		case distance(a, c) > distance(a, b)+distance(b, c):
			rt.Errorf("%q to %q is shorter by %q", a, c, b)
		case distance(a, "") != len(a):
			rt.Errorf("%q to nothing: %d", a, distance(a, ""))
		}
	})
}

// Whatever key one letter is left out of, at whatever depth, the key itself is what is offered, or another as near.
func TestAnyKeyWithALetterLeftOutIsFound(t *testing.T) {
	var types []reflect.Type
	var collect func(t reflect.Type)
	collect = func(t reflect.Type) {
		for t.Kind() == reflect.Slice {
			t = t.Elem()
		}
		if t.Kind() != reflect.Struct {
			return
		}
		types = append(types, t)
		for f := range t.Fields() {
			collect(f.Type)
		}
	}
	collect(reflect.TypeFor[Config]())
	checked := 0
	for _, typ := range types {
		for _, name := range fieldNames(typ) {
			if len(name) < 5 {
				continue // another short key may be as near
			}
			for i := range name {
				typo := name[:i] + name[i+1:]
				got, want := nearest(typo, fieldNames(typ)), fmt.Sprintf("; did you mean %s?", name)
				offered := strings.TrimSuffix(strings.TrimPrefix(got, "; did you mean "), "?")
				if got != want && distance(typo, offered) > 1 { // another key may be one letter away, too
					t.Errorf("%s in %s: %s, want %s", typo, typ.Name(), got, want)
				}
				checked++
			}
		}
	}
	if checked < 150 {
		t.Errorf("%d keys checked", checked)
	}
	if got := nearest("zzzzzzzzzzzz", []string{"alpha", "beta"}); !strings.HasSuffix(got, "known here: alpha, beta") {
		t.Errorf("far from all: %s", got)
	}
}
