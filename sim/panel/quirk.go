package panel

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Quirk is one way in which the panels of some maker differ from the standard.
type Quirk string

// The quirks, and who has them.
const (
	QuirkBinaryCRC    Quirk = "binary-crc"    // CRC as two bytes, big endian: Lupusec, Trikdis
	QuirkCRCOverCR    Quirk = "crc-over-cr"   // CRC and length count the final CR: Eldes
	QuirkZeroCRC      Quirk = "zero-crc"      // the first digit of each CRC is 0, as it is by chance of one frame in 16
	QuirkEmptyLine    Quirk = "empty-line"    // L without digits: G90B
	QuirkNoLine       Quirk = "no-line"       // no L at all: some G90B
	QuirkNUL          Quirk = "nul"           // a NUL behind each CR: G90B
	QuirkNullData     Quirk = "null-data"     // NULL with a data block: Hikvision
	QuirkNullNoBar    Quirk = "null-no-bar"   // an encrypted NULL without "|": Hikvision
	QuirkPeripheral   Quirk = "peripheral"    // pi0 where others say ri1: Satel
	QuirkOtherAccount Quirk = "other-account" // the data names another account than the header: Satel
	QuirkNoSlash      Quirk = "no-slash"      // ri1BA503
	QuirkTwoEvents    Quirk = "two-events"    // an alarm and its restoral in one block
	QuirkBarText      Quirk = "bar-text"      // the text stands behind "|A"
	QuirkBlanks       Quirk = "blanks"        // the text ends in blanks
	QuirkExtended     Quirk = "extended"      // blocks of longitude and latitude: Ajax
	QuirkConstantPad  Quirk = "constant-pad"  // the pad is made of zeros and not of chance
	QuirkStubborn     Quirk = "stubborn"      // a NAK does not set the clock
)

// AllQuirks are all of them.
func AllQuirks() []Quirk {
	return []Quirk{
		QuirkBinaryCRC, QuirkCRCOverCR, QuirkZeroCRC, QuirkEmptyLine, QuirkNoLine, QuirkNUL, QuirkNullData, QuirkNullNoBar, QuirkPeripheral,
		QuirkOtherAccount, QuirkNoSlash, QuirkTwoEvents, QuirkBarText, QuirkBlanks, QuirkExtended, QuirkConstantPad, QuirkStubborn,
	}
}

// otherAccount is what a panel with QuirkOtherAccount or QuirkNullData calls itself in the data.
const otherAccount = "0000"

// zeroTries bound the search for a CRC that begins with 0: one block in 16 gives one.
const zeroTries = 1000

// quirks are those of one panel.
type quirks []Quirk

func (q quirks) has(one Quirk) bool { return slices.Contains(q, one) }

// check tells quirks that are none, or that contradict each other or the format.
func (q quirks) check(format Format) error {
	for _, one := range q {
		if !slices.Contains(AllQuirks(), one) {
			return fmt.Errorf("quirk %q: there are %v", string(one), AllQuirks())
		}
	}
	for _, pair := range [][2]Quirk{{QuirkEmptyLine, QuirkNoLine}, {QuirkBarText, QuirkBlanks}} {
		if q.has(pair[0]) && q.has(pair[1]) {
			return fmt.Errorf("quirks %s and %s: choose one", pair[0], pair[1])
		}
	}
	for _, one := range []Quirk{QuirkPeripheral, QuirkNoSlash, QuirkTwoEvents, QuirkBarText, QuirkBlanks} {
		if format == FormatCID && q.has(one) {
			return fmt.Errorf("quirk %s: it is one of the format sia", one)
		}
	}
	return nil
}

// line is the L field of a panel whose line is called so.
func (q quirks) line(name string) string {
	switch {
	case q.has(QuirkNoLine):
		return ""
	case q.has(QuirkEmptyLine):
		return "L"
	}
	return "L" + name
}

// pad is where the pad bytes come from.
func (q quirks) pad(random io.Reader) io.Reader {
	if q.has(QuirkConstantPad) {
		return strings.NewReader(strings.Repeat("0", 16))
	}
	return random
}

// block is the SIA block of a report, from behind the "|" of the account on.
func (q quirks) block(code, zone, text string) string {
	modifier, slash := "ri1", "/"
	if q.has(QuirkPeripheral) {
		modifier = "pi0"
	}
	if q.has(QuirkNoSlash) {
		slash = ""
	}
	block := "N" + modifier + slash + code + zone
	if q.has(QuirkTwoEvents) {
		block += "/" + code[:1] + "R" + zone
	}
	switch {
	case q.has(QuirkBarText):
		return block + "|A" + text
	case q.has(QuirkBlanks):
		return block + "^" + text + "  ^"
	}
	return block + "^" + text + "^"
}

// named is the account as the data names it.
func (q quirks) named(account string) string {
	if q.has(QuirkOtherAccount) {
		return otherAccount
	}
	return account
}

// null is the data block of a NULL.
func (q quirks) null() string {
	if q.has(QuirkNullData) {
		return "#" + otherAccount + "|0000 00 000"
	}
	return ""
}

// extra are the extended blocks of each report.
func (q quirks) extra() []string {
	if q.has(QuirkExtended) {
		return []string{"X012W34.1", "Y045N12.2"}
	}
	return nil
}

// envelope puts CRC, length, LF and CR around a body.
func (q quirks) envelope(body string) []byte {
	counted := body
	if q.has(QuirkCRCOverCR) {
		counted += "\r"
	}
	sum := fmt.Appendf(nil, "%04X", crc16(counted))
	if q.has(QuirkBinaryCRC) {
		crc := crc16(counted)
		sum = []byte{byte(crc >> 8), byte(crc)}
	}
	frame := append([]byte("\n"), sum...)
	frame = fmt.Appendf(frame, "0%03X%s\r", len(counted), body)
	if q.has(QuirkNUL) {
		frame = append(frame, 0)
	}
	return frame
}
