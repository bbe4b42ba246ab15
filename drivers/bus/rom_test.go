package bus

import (
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// noteROM is the worked example of Maxim application note 27: 02 1C B8 01 00 00 00 on the wire, checksum A2.
const noteROM ROM = 0xa200000001b81c02

func TestROMOfTheNote(t *testing.T) {
	r, err := ROMOfWire([8]byte{0x02, 0x1c, 0xb8, 0x01, 0, 0, 0, 0xa2})
	if err != nil || r != noteROM {
		t.Fatalf("%s, %v", r, err)
	}
	if r.String() != "a200000001b81c02" || r.Family() != 2 || r.Serial() != 0x01b81c {
		t.Errorf("%s: family %02x, serial %x", r, r.Family(), r.Serial())
	}
	for _, s := range []string{"a200000001b81c02", "A200000001B81C02", "02-00000001b81c"} {
		if got, err := ParseROM(s); err != nil || got != noteROM {
			t.Errorf("ParseROM(%q) = %s, %v", s, got, err)
		}
	}
}

func TestParseROMRefuses(t *testing.T) {
	for s, sum := range map[string]bool{
		"": false, "a2": false, "g200000001b81c02": false, "+200000001b81c02": false, "28-00000001b8": false, "zz-00000001b81c": false,
		"02-00000001b8zz": false, "a2000000-1b81c02": false, "a300000001b81c02": true, "a200000001b81c03": true, "0000000000000000": true,
		"00-000000000000": true, strings.Repeat("f", 16): true,
	} {
		got, err := ParseROM(s)
		if err == nil || errors.Is(err, ErrChecksum) != sum {
			t.Errorf("ParseROM(%q) = %s, %v; of the checksum: want %v", s, got, err, sum)
		}
	}
}

// TestOneBitIsSeen holds that no single damaged bit passes.
func TestOneBitIsSeen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := NewROM(byte(rapid.IntRange(1, 255).Draw(t, "family")), rapid.Uint64().Draw(t, "serial"))
		if err := r.Check(); err != nil {
			t.Fatal(err)
		}
		if again, err := ROMOfWire(r.Wire()); err != nil || again != r {
			t.Fatalf("%s over the wire is %s, %v", r, again, err)
		}
		bad := r ^ 1<<rapid.IntRange(0, 63).Draw(t, "bit")
		if err := bad.Check(); !errors.Is(err, ErrChecksum) {
			t.Fatalf("%s for %s: %v", bad, r, err)
		}
	})
}

// FuzzParseROM looks for texts that are taken and do not read back as themselves.
func FuzzParseROM(f *testing.F) {
	for _, s := range []string{"a200000001b81c02", "02-00000001b81c", "28-ffffffffffff", "0000000000000000", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseROM(s)
		if err != nil {
			return
		}
		if again, err := ParseROM(r.String()); err != nil || again != r || len(r.String()) != romDigits {
			t.Errorf("%q = %s, which reads as %s, %v", s, r, again, err)
		}
		if !strings.EqualFold(s, r.String()) && !strings.EqualFold(s, r.String()[14:]+"-"+r.String()[2:14]) {
			t.Errorf("%q was read as %s", s, r)
		}
	})
}
