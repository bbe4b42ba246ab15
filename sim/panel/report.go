package panel

import (
	"errors"
	"fmt"
	"strings"
)

// Format is how a report says what happened.
type Format string

// The two formats of DC-09 that nearly all panels speak.
const (
	FormatSIA Format = "sia" // DC-03 blocks under SIA-DCS
	FormatCID Format = "cid" // DC-05 codes under ADM-CID
)

// What fits into the running number of a format: six digits in the text of SIA,
// partition and zone in Contact ID, which has no text.
const (
	maxSIA        = 999999
	cidZones      = 999
	cidPartitions = 99
	siaZones      = 16
)

// Report is one event of the panel. Zero fields are filled in by the panel.
type Report struct {
	Code string // two letters of DC-03, or qualifier and three digits of DC-05 such as 1130
	Zone string // three digits
	Text string // SIA only, printable ASCII without ^ | [ ] "
}

// CIDPlace is where Contact ID carries the running number n, from 1: it is
// (partition-1)*999 + zone, with partitions 1 to 99 and zones 1 to 999.
func CIDPlace(n int) (partition, zone int) {
	return (n-1)/cidZones + 1, (n-1)%cidZones + 1
}

// Mark is how the text of a SIA report carries the running number n.
func Mark(n int) string { return fmt.Sprintf("WP-%06d", n) }

// data is the data block of report n of an account.
func (r Report) data(f Format, odd quirks, account string, n int) (string, error) {
	if strings.ContainsAny(r.Text, "^|[]\"\r\n") {
		return "", fmt.Errorf("report text %q: leave out ^ | [ ] and quotes", r.Text)
	}
	if f == FormatCID {
		if n > cidZones*cidPartitions {
			return "", fmt.Errorf("report %d: Contact ID ends at %d, use the format sia", n, cidZones*cidPartitions)
		}
		if r.Zone != "" || r.Text != "" {
			return "", errors.New("a Contact ID report has no room for zone and text beside its number: use the format sia")
		}
		partition, zone := CIDPlace(n)
		return fmt.Sprintf("#%s|%s %02d %03d", odd.named(account), r.Code, partition, zone), nil
	}
	if n > maxSIA {
		return "", fmt.Errorf("report %d: the text has room for %d", n, maxSIA)
	}
	zone, text := r.Zone, Mark(n)
	if zone == "" {
		zone = fmt.Sprintf("%03d", (n-1)%siaZones+1)
	}
	if r.Text != "" {
		text += " " + r.Text
	}
	return "#" + odd.named(account) + "|" + odd.block(r.Code, zone, text), nil
}

// id is the token of a format.
func (f Format) id() string {
	if f == FormatCID {
		return idCID
	}
	return idSIA
}

// checkCode tells whether a code has the shape of its format.
func (f Format) checkCode(code string) error {
	switch {
	case f == FormatSIA && (len(code) != 2 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != ""):
		return fmt.Errorf("code %q: SIA has two capital letters, for example BA", code)
	case f == FormatCID && (len(code) != 4 || strings.Trim(code[1:], "0123456789") != "" || !strings.ContainsAny(code[:1], "136")):
		return fmt.Errorf("code %q: Contact ID has a qualifier 1, 3 or 6 and three digits, for example 1130", code)
	}
	return nil
}
