package ibutton

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"watchpost/drivers/bus"
)

// TestPresence polls: a letter is a button that is found, - is an empty reader, x a failed poll. A capital is a touch.
func TestPresence(t *testing.T) {
	for name, c := range map[string]struct{ polls, want string }{
		"two equal reads are a touch":   {"- a a a -", "- a A a -"},
		"one is none":                   {"a - a - a", "a - a - a"},
		"not over a failed poll":        {"a x a a", "a x a A"},
		"two are no leaving":            {"a a - - a a", "a A - - a a"},
		"three are":                     {"a a - - - a a", "a A - - - a A"},
		"a failed poll is no leaving":   {"a a - x - x a a", "a A - x - x a a"},
		"two buttons":                   {"ab ab b b", "ab AB b b"},
		"one after the other":           {"a a b b", "a A b B"},
		"found twice in one poll":       {"aa - aa aa", "aa - aa AA"},
		"many polls of the same button": {"a a a a a a", "a A a a a a"},
	} {
		var p presence
		var got []string
		for _, poll := range strings.Fields(c.polls) {
			var found []bus.ROM
			var err error
			for _, letter := range poll {
				switch letter {
				case '-':
				case 'x':
					err = errors.New("no answer")
				default:
					found = append(found, bus.NewROM(familyDS1990A, uint64(letter)))
				}
			}
			come, err2 := p.heard(found, err)
			if (err == nil) != (err2 == nil) {
				t.Errorf("%s: %v became %v", name, err, err2)
			}
			for _, rom := range come {
				letter := string(rune(rom.Serial()))
				poll = strings.ReplaceAll(poll, letter, strings.ToUpper(letter))
			}
			got = append(got, poll)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", name, s, c.want)
		}
	}
}

func TestReaderMissing(t *testing.T) {
	var p presence
	for i := range 5 {
		if p.missing() != (i >= lostAfter) {
			t.Errorf("missing after %d failed polls: %v", i, p.missing())
		}
		if _, err := p.heard(nil, bus.ErrStuck); !errors.Is(err, bus.ErrStuck) {
			t.Error(err)
		}
	}
	if _, err := p.heard(nil, nil); err != nil || p.missing() {
		t.Errorf("missing after a good poll: %v", err)
	}
}

// TestManyButtons holds that a reader on which codes rain remembers no more than it may.
func TestManyButtons(t *testing.T) {
	var p presence
	var all []bus.ROM
	for i := range 1000 {
		all = append(all, bus.NewROM(1, uint64(i)))
	}
	for range 3 {
		if _, err := p.heard(all, nil); err != nil || len(p.buttons) != maxThere {
			t.Fatalf("%d buttons, %v", len(p.buttons), err)
		}
	}
}

// FuzzROM reads polls of a reader, each code eight bytes as on the wire and a poll's end at each code of zeros, and holds that
// nobody is named by a code that no button can have, nor by one that was not found in two polls on end.
func FuzzROM(f *testing.F) {
	a, end := bus.NewROM(1, 0xfb3a2c1).Wire(), [8]byte{}
	f.Add(slices.Concat(a[:], end[:], a[:], end[:]))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p presence
		var found, before []bus.ROM
		for ; len(b) >= 8; b = b[8:] {
			rom, wrong := bus.ROMOfWire([8]byte(b))
			if wrong != nil != (rom.Check() != nil) || wrong == nil && bus.NewROM(rom.Family(), rom.Serial()) != rom {
				t.Fatalf("%s: %v, %v", rom, wrong, rom.Check())
			}
			if rom != 0 {
				found = append(found, rom)
				continue
			}
			come, err := p.heard(found, nil)
			for _, rom := range come {
				if err != nil || rom.Check() != nil || !slices.Contains(found, rom) || !slices.Contains(before, rom) {
					t.Fatalf("%s has come from %s and %s before, %v", rom, found, before, err)
				}
			}
			if len(p.buttons) > maxThere {
				t.Fatalf("%d buttons", len(p.buttons))
			}
			before, found = found, nil
		}
	})
}
