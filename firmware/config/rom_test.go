package config

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// Application note 27, "CRC calculation": the ROM of family 02 with serial number 00000001B81C has the CRC A2.
func TestTheROMOfTheApplicationNote(t *testing.T) {
	for _, text := range []string{"02-00000001b81c", "02-00000001B81C", "a200000001b81c02", "A200000001B81C02"} {
		var r ROM
		if err := r.UnmarshalText([]byte(text)); err != nil || r != 0xa200000001b81c02 || r.String() != "02-00000001b81c" {
			t.Errorf("%s: %016x %s, %v", text, uint64(r), r, err)
		}
	}
}

// What is written one way is read the other way, and one wrong digit of the engraved form is found.
func TestROMsBothWays(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := fmt.Sprintf("%02x-%012x", rapid.Uint64Range(1, 255).Draw(rt, "family"), rapid.Uint64Range(0, 1<<48-1).Draw(rt, "serial"))
		var a, b ROM
		if err := a.UnmarshalText([]byte(text)); err != nil || a.String() != text {
			rt.Fatalf("%s: %s, %v", text, a, err)
		}
		engraved := []byte(fmt.Sprintf("%016x", uint64(a)))
		if err := b.UnmarshalText(engraved); err != nil || b != a {
			rt.Fatalf("%s: %s, %v", engraved, b, err)
		}
		at := rapid.IntRange(0, 15).Draw(rt, "digit")
		digit := rapid.SampledFrom([]byte("0123456789abcdef")).Draw(rt, "other")
		if digit == engraved[at] {
			return
		}
		engraved[at] = digit
		if err := b.UnmarshalText(engraved); err == nil {
			rt.Errorf("%s was taken for %s", engraved, a)
		}
	})
}

func TestROMsThatAreNone(t *testing.T) {
	for _, text := range []string{"", "28", "28-", "28-0316a2795cf", "28-0316a2795cfff", "2-80316a2795cff", "zz-0316a2795cff", strings.Repeat("0", 16), "00-000000000000", strings.Repeat("f", 17)} {
		r := ROM(7)
		if err := r.UnmarshalText([]byte(text)); err == nil || r != 7 {
			t.Errorf("%q was taken for %s", text, r)
		}
	}
}
