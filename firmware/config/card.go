package config

import (
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
)

// maxCardBits is the longest card that readers take.
const maxCardBits = 512

// Card is what a user touches a reader with, as text: an iButton's code as [ROM] prints it, or what a card reader reads of a card,
// the count of its bits, a colon, and the bits in lower-case hex from the first on, filled up with zeros: 26:0123ab40.
type Card string

// UnmarshalText reads either form; an iButton's code may also be the 16 hex digits on it, and hex may be upper case.
func (c *Card) UnmarshalText(b []byte) error {
	count, digits, ok := strings.Cut(string(b), ":")
	if !ok {
		var rom ROM
		if err := rom.UnmarshalText(b); err != nil {
			return fmt.Errorf("%w; or a card's bits such as 26:0123ab40", err)
		}
		*c = Card(rom.String())
		return nil
	}
	bits, err := strconv.Atoi(count)
	if err != nil || bits < 1 || bits > maxCardBits || strconv.Itoa(bits) != count {
		return fmt.Errorf("%.32q: want the count of the card's bits, 1 to %d, before the colon, such as 26:0123ab40", b, maxCardBits)
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) != (bits+7)/8 {
		return fmt.Errorf("%.32q: a card of %d bits has %d hex digits behind the colon", b, bits, 2*((bits+7)/8))
	}
	if rest := bits % 8; rest != 0 && raw[len(raw)-1]<<rest != 0 {
		return fmt.Errorf("%.32q: it has more than %d bits: the first one is the highest of the first digit, and zeros fill up the last", b, bits)
	}
	*c = Card(count + ":" + hex.EncodeToString(raw))
	return nil
}

// String is the card as readers tell it.
func (c Card) String() string { return string(c) }

// ROM is the code of an iButton; ok is false for another card.
func (c Card) ROM() (rom ROM, ok bool) {
	if strings.Contains(string(c), ":") {
		return 0, false
	}
	return rom, rom.UnmarshalText([]byte(c)) == nil
}
